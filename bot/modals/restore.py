"""`/mlflow restore` without more: a modal to choose what comes back, and from which backup.

What is chosen becomes the command that could have been typed, and takes its way: policy, plan, approval. The bot cannot
see the backups (it has no credentials of the store), so the id is typed, or `latest` is taken.
"""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

from slack_bolt import Ack, App
from slack_bolt.context.respond import Respond
from slack_sdk import WebClient

from bot import slash
from bot.modals import views
from commands import grammar, policy
from workers.records.store import Records
from workers.rendering.blocks import asks, choice, form, plain_text, text_field
from workers.settings import Ops

WORDS: Final = "restore"
CALLBACK: Final = "restore"
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


class RestoreModal:
    """Its listeners, made from what they decide by."""

    def __init__(self, ops: Ops, records: Records, members: policy.Members, client: WebClient) -> None:
        self._ops = ops
        self._records = records
        self._members = members
        self._client = client

    def listen(self, app: App) -> None:
        """Register them."""
        app.view(CALLBACK)(self.submitted)

    def around(self, listener: slash.Listener) -> slash.Listener:
        """The slash command's listener, with `restore` alone answered by a modal."""

        def on_command(ack: Ack, command: dict[str, Any], respond: Respond) -> None:
            if grammar.recorded(str(command.get("text") or "")) != WORDS or not self._may(command):
                listener(ack, command, respond)
                return
            # Before Slack is asked for the window: an acknowledgement must not wait for Slack.
            ack()
            if not views.opened(self._client, command["trigger_id"], view(command["channel_id"])):
                said = slash.answered(command, self._ops, self._records, self._members)
                respond(response_type="ephemeral", **slash.shown(said))

        return on_command

    def _may(self, command: dict[str, Any]) -> bool:
        user, channel = str(command.get("user_id", "")), str(command.get("channel_id", ""))
        whole = bool(user and command.get("trigger_id"))
        return whole and policy.refusal_here(user, channel, self._ops, self._members) is None

    def submitted(self, ack: Ack, body: dict[str, Any]) -> None:
        """Ask for what was chosen; what is wrong with it is marked in the modal."""
        submitted = body["view"]
        values = submitted["state"]["values"]
        what = values[_WHAT][_WHAT]["selected_option"]["value"]
        chosen, name = (str(values[each][each].get("value") or "").strip() for each in (_SET, _NAME))
        if what in _NAMED and not name:
            ack(response_action="errors", errors={_NAME: f"Say which {what}."})
            return
        asked = {
            "user_id": body["user"]["id"],
            "channel_id": json.loads(submitted["private_metadata"])["channel"],
            "text": words(what, chosen, name),
            "trigger_id": submitted["id"],
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


def view(channel: str) -> dict[str, Any]:
    """The modal."""
    latest = text_field(_SET, placeholder=plain_text("latest"), max_length=80)
    blocks = [
        asks(_WHAT, "What?", choice(_WHAT, _CHOICES, next(iter(_CHOICES))), optional=False),
        asks(
            _SET,
            "From which backup?",
            latest,
            optional=True,
            hint=plain_text("An id, as /mlflow backup list shows it."),
        ),
        asks(
            _NAME,
            "Which run or experiment?",
            text_field(_NAME, max_length=500),
            optional=True,
            hint=plain_text("Only to bring one of these back."),
        ),
    ]
    return form(CALLBACK, json.dumps({"channel": channel}), "Restore", "Plan it", blocks)
