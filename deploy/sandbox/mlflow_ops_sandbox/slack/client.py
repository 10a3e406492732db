"""A person at the local Slack, for tests and benchmarks. Standard library only.

    anna = SlackPerson("http://127.0.0.1:8100", "U0ANNA")
    outcome = anna.command("C0OPS", "/mlflow health")
    assert outcome.ok, outcome.message
    report = anna.wait_for(lambda: anna.find("C0OPS", "All checks passed"), deadline=10)
    anna.press("C0OPS", report["ts"], "approve")

Every call blocks as long as Slack's own client would wait: a command until the app acknowledged it
or Slack gave up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mlflow_ops_sandbox.errors import RefusedError
from mlflow_ops_sandbox.slack.controls import Json, Sandbox, wait_for

__all__ = ["Outcome", "Sandbox", "SlackPerson", "actions", "wait_for", "words"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What somebody sees right after doing something.

    `error` is Slack's name for what went wrong (`operation_timeout`), `message` the sentence that is
    shown, `seconds` the time until the app acknowledged (or Slack gave up), `errors` what a modal
    marks, by block.
    """

    ok: bool
    error: str | None
    seconds: float
    message: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, body: Json) -> Outcome:
        """Read an outcome from the answer of the local Slack."""
        return cls(
            ok=bool(body["ok"]),
            error=body.get("error"),
            seconds=float(body.get("seconds", 0)),
            message=body.get("message", ""),
            errors=body.get("errors") or {},
        )


class SlackPerson:
    """Somebody who uses Slack."""

    def __init__(self, base_url: str, user_id: str) -> None:
        """Be the person with this id."""
        self.sandbox = Sandbox(base_url)
        self.user_id = user_id
        self._seen: list[Json] = []

    # What people do

    def command(self, channel: str, text: str) -> Outcome:
        """Type a slash command and press Enter."""
        return Outcome.of(self._do("/sandbox/command", channel=channel, text=text))

    def post(self, channel: str, text: str, thread_ts: str | None = None) -> Json:
        """Write a message, or a reply; return it."""
        body = self._do("/sandbox/post", channel=channel, text=text, thread_ts=thread_ts)
        return dict(body["message"])

    def press(
        self,
        channel: str,
        ts: str,
        action_id: str,
        block_id: str | None = None,
        *,
        values: Mapping[str, object] | None = None,
    ) -> Outcome:
        """Press a button in a message, also in one that only this person sees."""
        return self.choose(channel, ts, action_id, None, block_id, values=values)

    def choose(  # noqa: PLR0913 - the place takes three
        self,
        channel: str,
        ts: str,
        action_id: str,
        value: object,
        block_id: str | None = None,
        *,
        values: Mapping[str, object] | None = None,
    ) -> Outcome:
        """Choose something in a select, menu or picker of a message."""
        return Outcome.of(
            self._do(
                "/sandbox/action",
                channel=channel,
                ts=ts,
                action_id=action_id,
                block_id=block_id,
                value=value,
                values=dict(values or {}),
            )
        )

    def press_in_view(
        self,
        action_id: str,
        value: object = None,
        *,
        block_id: str | None = None,
        view: Json | None = None,
    ) -> Outcome:
        """Press or choose something in the open modal, or in the view given (the home tab)."""
        view = view or self.view()
        if view is None:
            raise RefusedError("/sandbox/action", "no modal is open")
        return Outcome.of(
            self._do(
                "/sandbox/action",
                view_id=view["id"],
                action_id=action_id,
                block_id=block_id,
                value=value,
            )
        )

    def open_home(self) -> Json | None:
        """Open the app's Home tab; return what is published there so far."""
        return _maybe(self._do("/sandbox/home/open")["view"])

    def home(self) -> Json | None:
        """Return what the app's Home tab shows now, without opening it."""
        return _maybe(self._get("/sandbox/home")["view"])

    def view(self) -> Json | None:
        """Return the modal that this person sees, or None."""
        return _maybe(self._get("/sandbox/view")["view"])

    def submit_view(self, values: Mapping[str, object] | None = None) -> Outcome:
        """Fill in and submit the open modal.

        Keys are block ids, action ids or `block/action`; values are plain: a string, a list, an option's
        value. What is not named keeps its initial value.
        """
        return Outcome.of(self._do("/sandbox/view/submit", values=dict(values or {})))

    def close_view(self) -> None:
        """Close the open modal without submitting it."""
        self._do("/sandbox/view/close")

    def react(self, channel: str, ts: str, name: str) -> None:
        """React to a message, or take the reaction back."""
        self._do("/sandbox/react", channel=channel, ts=ts, name=name)

    # What people see

    def messages(self, channel: str) -> list[Json]:
        """Return the newest messages of a channel, oldest first, without replies."""
        return self._look("/sandbox/messages", channel=channel)

    def thread(self, channel: str, ts: str) -> list[Json]:
        """Return a thread: its first message, then the replies."""
        return self._look("/sandbox/thread", channel=channel, ts=ts)

    def ephemerals(self, channel: str) -> list[Json]:
        """Return what only this person sees in a channel, oldest first."""
        return self._look("/sandbox/ephemerals", channel=channel)

    def find(self, channel: str, said: str) -> Json | None:
        """Return the newest message of a channel that says something (in text or blocks), or None."""
        return _newest(self.messages(channel), said)

    def find_reply(self, channel: str, ts: str, said: str) -> Json | None:
        """Return the newest message of a thread that says something, or None."""
        return _newest(self.thread(channel, ts), said)

    def find_ephemeral(self, channel: str, said: str) -> Json | None:
        """Return the newest message that only this person sees and that says something, or None."""
        return _newest(self.ephemerals(channel), said)

    def wait_for(self, predicate: Callable[[], T | None], deadline: float = 10.0) -> T:
        """Wait until `predicate` returns something true, and return that.

        Raises TimeoutError after `deadline` seconds, with the newest words that this person sees where he last looked.
        """
        try:
            return wait_for(predicate, deadline)
        except TimeoutError as nothing:
            nothing.add_note("\n---\n".join(["The newest messages there:", *map(words, self._seen[-3:])]))
            raise

    def _look(self, path: str, **query: str) -> list[Json]:
        self._seen = list(self._get(path, **query)["messages"])
        return self._seen

    def _do(self, path: str, **body: object) -> Json:
        return self.sandbox.do(path, user=self.user_id, **body)

    def _get(self, path: str, **query: str) -> Json:
        return self.sandbox.get(path, user=self.user_id, **query)


def words(message: Json) -> str:
    """Return everything that a message says: its text, and each text in its blocks."""
    return "\n".join([message.get("text") or "", *_texts(message.get("blocks"))])


def actions(message: Json) -> list[str]:
    """Return the action ids of the buttons and menus in a message."""
    return [str(item["action_id"]) for item in _dicts(message.get("blocks")) if "action_id" in item]


def _newest(messages: list[Json], said: str) -> Json | None:
    return next((message for message in reversed(messages) if said in words(message)), None)


def _dicts(part: object) -> Iterator[Json]:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from _dicts(item)


def _texts(part: object) -> Iterator[str]:
    for item in _dicts(part):
        yield from (item[name] for name in ("text", "title", "caption") if isinstance(item.get(name), str))


def _maybe(view: Json | None) -> Json | None:
    return view
