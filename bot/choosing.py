"""`/mlflow restore` without more: a window to choose what comes back, and from which backup.

What is chosen becomes the command that could have been typed, and takes its way: policy, plan, approval. The bot cannot
see the backups (it has no credentials of the store), so the id is typed, or `latest` is taken.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

import structlog
from slack_bolt import Ack, App
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from bot import slash
from bot.windows import plain_text
from commands import policy
from workers.records.record import Records
from workers.settings import Ops

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS: Final = "restore"
VIEW: Final = "restore"
"""The callback id (https://docs.slack.dev/reference/views/modal-views)."""
_WHAT, _SET, _NAME = "what", "set", "name"
_NAMED: Final = {"run", "experiment"}
_CHOICES: Final = {
    "database": "The database, beside the live one, then switched",
    "artifacts": "Artifacts that are missing or differ",
    "config": "The objects in the cluster",
    "all": "All of these: database, artifacts, objects",
    "experiment": "One deleted experiment",
    "run": "One deleted run",
    "undo": "Undo the last restore of the database",
}

_log = structlog.get_logger(__name__)


class Choosing:
    """The listeners of that window, made from what they decide by."""

    def __init__(self, ops: Ops, records: Records, members: policy.Members, client: WebClient) -> None:
        self._ops = ops
        self._records = records
        self._members = members
        self._client = client

    def listen(self, app: App) -> None:
        """Register them."""
        app.view(VIEW)(self.submitted)

    def around(self, listener: Callable[[Ack, dict[str, Any]], None]) -> Callable[[Ack, dict[str, Any]], None]:
        """The slash command's listener, with `restore` alone answered by a window."""

        def on_command(ack: Ack, command: dict[str, Any]) -> None:
            if str(command.get("text", "")).strip() != WORDS or not self._opened(command):
                listener(ack, command)
                return
            ack()

        return on_command

    def _opened(self, command: dict[str, Any]) -> bool:
        user, channel = str(command.get("user_id", "")), str(command.get("channel_id", ""))
        if not user or policy.refusal_here(user, channel, self._ops, self._members):
            return False
        try:
            self._client.views_open(trigger_id=command["trigger_id"], view=window(channel))
        except (SlackClientError, OSError, KeyError) as error:
            _log.warning("a window could not be opened", error=str(error))
            return False
        return True

    def submitted(self, ack: Ack, body: dict[str, Any]) -> None:
        """Ask for what was chosen; what is wrong with it is marked in the window."""
        view = body["view"]
        values = view["state"]["values"]
        what = values[_WHAT][_WHAT]["selected_option"]["value"]
        chosen, name = (str(values[each][each].get("value") or "").strip() for each in (_SET, _NAME))
        if what in _NAMED and not name:
            ack(response_action="errors", errors={_NAME: f"Say which {what}."})
            return
        asked = {
            "user_id": body["user"]["id"],
            "channel_id": json.loads(view["private_metadata"])["channel"],
            "text": words(what, chosen, name),
            "trigger_id": view["id"],
        }
        said = slash.answered(asked, self._ops, self._records, self._members)
        if said:
            ack(response_action="errors", errors={_WHAT: said[:2000]})
        else:
            ack()


def words(what: str, chosen: str, name: str) -> str:
    """The command as it could have been typed."""
    if what == "undo":
        return "restore undo"
    if what in _NAMED:
        return shlex.join(["restore", what, name, *(("--from", chosen) if chosen else ())])
    return shlex.join(["restore", what, chosen or "latest"])


def window(channel: str) -> dict[str, Any]:
    """The view."""
    options = [{"text": plain_text(text), "value": value} for value, text in _CHOICES.items()]
    return {
        "type": "modal",
        "callback_id": VIEW,
        "private_metadata": json.dumps({"channel": channel}),
        "title": plain_text("Restore"),
        "submit": plain_text("Plan it"),
        "close": plain_text("Back"),
        "blocks": [
            _input(
                _WHAT, "What?", {"type": "static_select", "options": options, "initial_option": options[0]}, needed=True
            ),
            _input(
                _SET,
                "From which backup?",
                {"type": "plain_text_input", "placeholder": plain_text("latest"), "max_length": 80},
                hint="An id, as /mlflow backup list shows it.",
            ),
            _input(
                _NAME,
                "Which run or experiment?",
                {"type": "plain_text_input", "max_length": 500},
                hint="Only where one of these is to come back.",
            ),
        ],
    }


def _input(block: str, label: str, element: dict[str, Any], *, hint: str = "", needed: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": "input",
        "block_id": block,
        "optional": not needed,
        "label": plain_text(label),
        "element": {**element, "action_id": block},
    }
    return shown | ({"hint": plain_text(hint)} if hint else {})
