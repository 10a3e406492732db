"""What people filled in: element values as Slack reports them in `state.values` and in `actions`.

The page and the client send plain values (a string, a list of strings, true/false); here they become the
objects that apps receive. Initial values count as filled in when nothing else was chosen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlflow_ops_sandbox.slack.blocks.blocks import interactive
from mlflow_ops_sandbox.slack.blocks.elements import offered_options
from mlflow_ops_sandbox.slack.errors import Json

_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_URL = re.compile(r"^https?://\S+$")
# Element type → the field in which Slack reports what was chosen, and the one with the initial value.
_SINGLE = {
    "users_select": ("selected_user", "initial_user"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "channels_select": ("selected_channel", "initial_channel"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
    "plain_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "file_input": ("files", "initial_files"),
    "multi_users_select": ("selected_users", "initial_users"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
}
_OPTION = ("static_select", "external_select", "radio_buttons", "overflow")
_OPTIONS = ("checkboxes", "multi_static_select", "multi_external_select")

Values = Mapping[str, Any]


def state(blocks: list[Json], given: Values) -> Json:
    """Return `state.values` of a message or view.

    `given` maps `block_id/action_id`, a block_id or an action_id to a plain value.
    """
    values: dict[str, dict[str, Json]] = {}
    for block, item in _stateful(blocks):
        key = (block["block_id"], item["action_id"])
        value = _given(given, *key)
        values.setdefault(key[0], {})[key[1]] = filled(item, value)
    return {"values": values}


def filled(item: Json, value: object) -> Json:
    """Return one element's entry in the state, from a plain value (None: nothing chosen by hand)."""
    kind = item["type"]
    if kind in _OPTION:
        return {"type": kind, "selected_option": _option(item, value)}
    if kind in _OPTIONS:
        return {"type": kind, "selected_options": _options(item, value)}
    field, initial = _SINGLE[kind]
    if value is None:
        value = item.get(initial)
    if kind == "datetimepicker" and isinstance(value, str):
        value = int(value) if value.isdigit() else None
    if field == "value" and value is not None:
        value = str(value)
    if value == "":
        value = None
    if kind.startswith("multi_") or field == "files":
        value = value or []
    return {"type": kind, field: value}


def missing(blocks: list[Json], values: Json) -> dict[str, str]:
    """Return what Slack itself refuses before the app is asked: block_id → sentence."""
    wrong: dict[str, str] = {}
    for block, item in _stateful(blocks):
        if block.get("type") != "input":
            continue
        entry = values[block["block_id"]][item["action_id"]]
        value = next((v for k, v in entry.items() if k != "type"), None)
        if value in (None, [], ""):
            if not block.get("optional"):
                wrong[block["block_id"]] = "Please complete this required field."
        elif sentence := _unfit(item, value):
            wrong[block["block_id"]] = sentence
    return wrong


def _unfit(item: Json, value: object) -> str | None:
    kind, text = item["type"], str(value)
    if kind == "plain_text_input" and not (item.get("min_length", 0) <= len(text) <= item.get("max_length", 3000)):
        least, most = item.get("min_length", 0), item.get("max_length", 3000)
        return f"Use between {least} and {most} characters."
    if kind == "email_text_input" and not _EMAIL.match(text):
        return "Please enter a valid email address."
    if kind == "url_text_input" and not _URL.match(text):
        return "Please enter a valid URL."
    if kind == "number_input":
        return _unfit_number(item, text)
    return None


def _unfit_number(item: Json, text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return "Please enter a number."
    if not item.get("is_decimal_allowed") and not number.is_integer():
        return "Please enter a whole number."
    if "min_value" in item and number < float(item["min_value"]):
        return f"Please enter a number of at least {item['min_value']}."
    if "max_value" in item and number > float(item["max_value"]):
        return f"Please enter a number of at most {item['max_value']}."
    return None


def _stateful(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    for block in blocks:
        for item in interactive(block):
            if item["type"] not in ("button", "overflow"):
                yield block, item


def _given(given: Values, block_id: str, action_id: str) -> object:
    for key in (f"{block_id}/{action_id}", block_id, action_id):
        if key in given:
            return given[key]
    return None


def _option(item: Json, value: object) -> Json | None:
    if isinstance(value, dict):
        return value
    if value is None:
        initial = item.get("initial_option")
        return dict(initial) if isinstance(initial, dict) else None
    return next((option for option in offered_options(item) if option["value"] == value), None)


def _options(item: Json, value: object) -> list[Json]:
    if value is None:
        return list(item.get("initial_options") or [])
    chosen = value if isinstance(value, list) else [value]
    whole = [option for option in chosen if isinstance(option, dict)]
    return whole + [option for option in offered_options(item) if option["value"] in chosen]
