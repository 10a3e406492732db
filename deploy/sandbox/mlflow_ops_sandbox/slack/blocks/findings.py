"""What is wrong with blocks, as Slack tells it: every mistake at once, each with the JSON pointer of its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlflow_ops_sandbox.slack.errors import Json


@dataclass(slots=True)
class Findings:
    """What is wrong, and the ids seen so far (they must be unique)."""

    messages: list[str] = field(default_factory=list)

    def add(self, pointer: str, sentence: str, *, at: int | None = None) -> None:
        """Note a mistake at a JSON pointer, last or in front of others."""
        place = len(self.messages) if at is None else at
        self.messages.insert(place, f"[ERROR] {sentence} [json-pointer:{pointer}]")

    def only(self, pointer: str, item: Json, *names: str) -> None:
        """Note fields that Slack does not know here."""
        for name in sorted(set(item) - set(names)):
            self.add(pointer, f"additional property: {name}")

    def length(self, pointer: str, value: object, limit: int, *, least: int = 0) -> None:
        """Note a string that is too long, too short or no string at all."""
        if not isinstance(value, str):
            self.add(pointer, "must be a string")
        elif len(value) > limit:
            self.add(pointer, f"must be less than {limit + 1} characters")
        elif len(value) < least:
            self.add(pointer, f"must be more than {least - 1} characters")

    def count(self, pointer: str, value: object, limit: int, *, least: int = 1) -> list[Any]:
        """Note a list with too many or too few items; return it, or an empty list where it is none."""
        if not isinstance(value, list):
            self.add(pointer, "must be an array")
            return []
        if len(value) > limit:
            self.add(pointer, f"no more than {limit} items allowed")
        elif len(value) < least:
            self.add(pointer, f"must have at least {least} items")
        return value

    def required(self, pointer: str, item: Json, *names: str) -> bool:
        """Note fields that are missing; say whether all are there."""
        missing = [name for name in names if item.get(name) is None]
        for name in missing:
            self.add(pointer, f"missing required field: {name}")
        return not missing


def text(found: Findings, pointer: str, item: object, limit: int, *, plain: bool = False) -> None:
    """Check a text object, `plain_text` only where `plain` is true."""
    if not isinstance(item, dict):
        found.add(pointer, "must be an object")
        return
    before = len(found.messages)
    kinds = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    if item.get("type") not in kinds:
        found.add(f"{pointer}/type", f"unsupported type: {item.get('type')}")
    else:
        if found.required(pointer, item, "text"):
            found.length(f"{pointer}/text", item["text"], limit, least=1)
        known = "emoji" if item["type"] == "plain_text" else "verbatim"
        found.only(pointer, item, "type", "text", known)
    if len(found.messages) > before:
        # Slack names the place first, then what is wrong inside it.
        found.add(pointer, "failed to match all allowed schemas", at=before)
