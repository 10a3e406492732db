"""Open modals: each person has a stack of at most three, of which the top one shows.

A view keeps its id for as long as it is open; its hash changes with every update, so an app that updates
with an old hash learns that it came second. Closed views are forgotten.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.blocks import blocks
from mlflow_ops_sandbox.slack.blocks.findings import Findings, text
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from mlflow_ops_sandbox.slack.state.workspace import Workspace

STACK = 3
VIEW_BYTES = 250_000
_LABEL = 24
_FIELDS = {
    "title",
    "submit",
    "close",
    "blocks",
    "type",
    "callback_id",
    "private_metadata",
    "external_id",
    "clear_on_close",
    "notify_on_close",
    "submit_disabled",
}


class Modals:
    """The modals that are open, by person."""

    def __init__(
        self, workspace: Workspace, clock: Callable[[], float], lacking: Callable[[], Container[str]] = frozenset
    ) -> None:
        """Start with none open. lacking: blocks that the workspace does not have now."""
        self._workspace = workspace
        self._clock = clock
        self._lacking = lacking
        self._open: dict[str, list[Json]] = {}

    def stack(self, user: str) -> list[Json]:
        """Return a person's open views, the one that shows last."""
        return self._open.get(user, [])

    def top(self, user: str) -> Json | None:
        """Return the view that a person sees, or None."""
        stack = self.stack(user)
        return stack[-1] if stack else None

    def open(self, user: str, given: object) -> Json:
        """Show a new modal in place of whatever was open."""
        view = self.made(given, "modal")
        self._refuse_duplicate(view)
        view |= {"root_view_id": view["id"], "previous_view_id": None}
        self._open[user] = [view]
        return view

    def push(self, user: str, given: object) -> Json:
        """Show a modal on top of the open one."""
        stack = self.stack(user)
        if not stack:
            raise SlackError("not_found")
        if len(stack) >= STACK:
            raise SlackError("push_limit_reached")
        view = self.made(given, "modal")
        self._refuse_duplicate(view)
        view |= {"root_view_id": stack[0]["id"], "previous_view_id": stack[-1]["id"]}
        stack.append(view)
        return view

    def update(
        self,
        given: object,
        *,
        view_id: str | None = None,
        external_id: str | None = None,
        expected: str | None = None,
    ) -> tuple[str, Json]:
        """Change an open view; return whose it is, and the view."""
        for user, stack in self._open.items():
            for index, view in enumerate(stack):
                if view["id"] == view_id or (external_id and view["external_id"] == external_id):
                    if expected and expected != view["hash"]:
                        raise SlackError("hash_conflict")
                    fresh = self.made(given, "modal")
                    for name in ("id", "root_view_id", "previous_view_id"):
                        fresh[name] = view[name]
                    stack[index] = fresh
                    return user, fresh
        raise SlackError("not_found")

    def close(self, user: str, *, everything: bool = False) -> list[Json]:
        """Close the top view, or all; return those closed."""
        stack = self.stack(user)
        closed = stack[:] if everything else stack[-1:]
        del stack[len(stack) - len(closed) :]
        return closed

    def made(self, given: object, kind: str) -> Json:
        """Return a view as Slack would store it; raise SlackError where it is not valid."""
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except ValueError as error:
                raise InvalidArgumentsError("view must be a JSON object") from error
        if not isinstance(given, dict):
            raise InvalidArgumentsError("missing required field: view")
        if len(json.dumps(given)) > VIEW_BYTES:
            raise SlackError("view_too_large")
        stored, wrong = blocks.checked(given.get("blocks"), limit=blocks.IN_VIEW, surface=kind, lacking=self._lacking())
        wrong += _wrong(given, kind)
        if wrong:
            pointed = [message.replace("pointer:", "pointer:/view", 1) for message in wrong]
            raise SlackError("invalid_arguments", response_metadata={"messages": pointed})
        bot = self._workspace.bot
        return {
            "id": "V" + secrets.token_hex(5).upper(),
            "team_id": self._workspace.team.id,
            "title": None,
            "submit": None,
            "close": None,
            "callback_id": "",
            "private_metadata": "",
            "external_id": "",
            "clear_on_close": False,
            "notify_on_close": False,
            "submit_disabled": False,
            **{key: value for key, value in given.items() if key in _FIELDS},
            "blocks": stored,
            "state": {"values": {}},
            "hash": f"{int(self._clock())}.{secrets.token_hex(4)}",
            "root_view_id": None,
            "previous_view_id": None,
            "app_id": bot.app_id,
            "app_installed_team_id": self._workspace.team.id,
            "bot_id": bot.bot_id,
        }

    def _refuse_duplicate(self, view: Json) -> None:
        name = view["external_id"]
        taken = any(v["external_id"] == name for stack in self._open.values() for v in stack)
        if name and taken:
            raise SlackError("duplicate_external_id")


def _wrong(given: Json, kind: str) -> list[str]:
    found = Findings()
    if given.get("type") != kind:
        found.add("/type", f"must be {kind}")
    for name, limit in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        if given.get(name):
            found.length(f"/{name}", given[name], limit)
    if kind == "home":
        return found.messages
    if found.required("", given, "title"):
        text(found, "/title", given["title"], _LABEL, plain=True)
    for name in ("submit", "close"):
        if given.get(name):
            text(found, f"/{name}", given[name], _LABEL, plain=True)
    inputs = any(isinstance(b, dict) and b.get("type") == "input" for b in given.get("blocks") or [])
    if inputs and not given.get("submit"):
        found.add("", "missing required field: submit")
    return found.messages
