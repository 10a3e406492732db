"""The rules for interactive elements, text objects and options: what Slack refuses inside a block.

Each checker adds sentences to a `Findings`; none stops at the first mistake, because Slack lists them
all, each with the JSON pointer of the place. Figures: Slack, reference/block-kit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlflow_ops_sandbox.slack.blocks.findings import Findings, text
from mlflow_ops_sandbox.slack.errors import Json

BUTTON_TEXT = 75
BUTTON_VALUE = 2000
URL = 3000
OPTIONS = 100
OPTION_GROUPS = 100
OVERFLOW_OPTIONS = 5
INPUT_TEXT = 3000
CHECKBOXES = 10
PLACEHOLDER = 150
IDENTIFIER = 255
_BUTTON_FIELDS = ("type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label")


def _confirm(found: Findings, pointer: str, item: Json) -> None:
    if "confirm" not in item:
        return
    dialog, at = item["confirm"], f"{pointer}/confirm"
    if not isinstance(dialog, dict):
        found.add(at, "must be an object")
        return
    for name, limit, plain in (
        ("title", 100, True),
        ("text", 300, False),
        ("confirm", 30, True),
        ("deny", 30, True),
    ):
        if name in dialog:
            text(found, f"{at}/{name}", dialog[name], limit, plain=plain)


def _option(found: Findings, pointer: str, item: object, *, mrkdwn: bool, limit: int) -> None:
    if not isinstance(item, dict):
        found.add(pointer, "must be an object")
        return
    if not found.required(pointer, item, "text", "value"):
        return
    text(found, f"{pointer}/text", item["text"], 75, plain=not mrkdwn)
    found.length(f"{pointer}/value", item["value"], limit)
    if "description" in item:
        text(found, f"{pointer}/description", item["description"], 75, plain=not mrkdwn)


def _options(found: Findings, pointer: str, item: Json, limit: int = OPTIONS, *, mrkdwn: bool = False) -> None:
    for index, option in enumerate(found.count(f"{pointer}/options", item.get("options"), limit)):
        _option(found, f"{pointer}/options/{index}", option, mrkdwn=mrkdwn, limit=150)


def _button(found: Findings, pointer: str, item: Json) -> None:
    found.only(pointer, item, *_BUTTON_FIELDS)
    if found.required(pointer, item, "text"):
        text(found, f"{pointer}/text", item["text"], BUTTON_TEXT, plain=True)
    if "value" in item:
        found.length(f"{pointer}/value", item["value"], BUTTON_VALUE)
    if "url" in item:
        found.length(f"{pointer}/url", item["url"], URL)
    if item.get("style", "primary") not in ("primary", "danger"):
        found.add(f"{pointer}/style", 'must be one of "primary", "danger"')


def _static_select(found: Findings, pointer: str, item: Json) -> None:
    if ("options" in item) == ("option_groups" in item):
        found.add(pointer, "must define either `options` or `option_groups`")
    elif "options" in item:
        _options(found, pointer, item)
    else:
        at = f"{pointer}/option_groups"
        for index, group in enumerate(found.count(at, item["option_groups"], OPTION_GROUPS)):
            if isinstance(group, dict) and found.required(f"{at}/{index}", group, "label"):
                text(found, f"{at}/{index}/label", group["label"], 75, plain=True)
                _options(found, f"{at}/{index}", group)
    offered = [option.get("value") for option in offered_options(item)]
    initial = item.get("initial_option")
    if isinstance(initial, dict) and initial.get("value") not in offered:
        found.add(f"{pointer}/initial_option", "must be one of the provided options")


def _choices(found: Findings, pointer: str, item: Json) -> None:
    _options(found, pointer, item, CHECKBOXES, mrkdwn=True)


def _overflow(found: Findings, pointer: str, item: Json) -> None:
    _options(found, pointer, item, OVERFLOW_OPTIONS)


def _image(found: Findings, pointer: str, item: Json) -> None:
    image(found, pointer, item)


def _text_input(found: Findings, pointer: str, item: Json) -> None:
    for name in ("min_length", "max_length"):
        if name in item and not (isinstance(item[name], int) and 0 <= item[name] <= INPUT_TEXT):
            found.add(f"{pointer}/{name}", "must be between 0 and 3000")
    if "initial_value" in item:
        found.length(f"{pointer}/initial_value", item["initial_value"], 3000)


def _number_input(found: Findings, pointer: str, item: Json) -> None:
    if not isinstance(item.get("is_decimal_allowed"), bool):
        found.add(pointer, "missing required field: is_decimal_allowed")


def _nothing_more(found: Findings, pointer: str, item: Json) -> None:
    """Accept an element whose fields are all covered by the common checks."""


def image(found: Findings, pointer: str, item: Json) -> None:
    """Check an image, as a block or as an element."""
    if not item.get("image_url") and not item.get("slack_file"):
        found.add(pointer, "missing required field: image_url")
    if "image_url" in item:
        found.length(f"{pointer}/image_url", item["image_url"], URL, least=1)
    if found.required(pointer, item, "alt_text"):
        found.length(f"{pointer}/alt_text", item["alt_text"], 2000)


_CHECKS: dict[str, Callable[[Findings, str, Json], None]] = {
    "button": _button,
    "image": _image,
    "overflow": _overflow,
    "static_select": _static_select,
    "multi_static_select": _static_select,
    "external_select": _nothing_more,
    "multi_external_select": _nothing_more,
    "users_select": _nothing_more,
    "multi_users_select": _nothing_more,
    "conversations_select": _nothing_more,
    "multi_conversations_select": _nothing_more,
    "channels_select": _nothing_more,
    "multi_channels_select": _nothing_more,
    "datepicker": _nothing_more,
    "timepicker": _nothing_more,
    "datetimepicker": _nothing_more,
    "radio_buttons": _choices,
    "checkboxes": _choices,
    "plain_text_input": _text_input,
    "number_input": _number_input,
    "email_text_input": _nothing_more,
    "url_text_input": _nothing_more,
    "file_input": _nothing_more,
    "rich_text_input": _nothing_more,
}
SELECTS = frozenset(name for name in _CHECKS if name.endswith("_select"))
_PICKERS = SELECTS | {"datepicker", "timepicker", "datetimepicker", "radio_buttons", "checkboxes"}
IN_ACTIONS = _PICKERS | {"button", "overflow"}
IN_SECTION = IN_ACTIONS | {"image"}
IN_INPUT = _PICKERS | {
    "plain_text_input",
    "number_input",
    "email_text_input",
    "url_text_input",
    "file_input",
    "rich_text_input",
}


def element(found: Findings, pointer: str, item: object, allowed: frozenset[str]) -> None:
    """Check one element of a block that allows only the types in `allowed`."""
    if not isinstance(item, dict):
        found.add(pointer, "must be an object")
        return
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in allowed:
        found.add(f"{pointer}/type", f"unsupported type: {kind}")
        return
    if "action_id" in item:
        found.length(f"{pointer}/action_id", item["action_id"], IDENTIFIER, least=1)
    if "placeholder" in item:
        text(found, f"{pointer}/placeholder", item["placeholder"], PLACEHOLDER, plain=True)
    _confirm(found, pointer, item)
    _CHECKS[kind](found, pointer, item)


def offered_options(item: Json) -> Iterator[Json]:
    """Yield an element's options, in groups or not."""
    groups = [item, *(item.get("option_groups") or [])]
    for group in groups:
        if isinstance(group, dict):
            yield from (o for o in group.get("options") or [] if isinstance(o, dict))
