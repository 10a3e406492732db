"""What an operation has said, as a file: a report, a plan, or why it was refused, with its figures and its links."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from workers.errors import OperatorError
from workers.operation import Plan
from workers.report import Attachment, Report
from workers.wording import Figure, Linked

SAID = Path(__file__).parent / "said"
PICTURE = "iVBORw0KGgo="
LINES = 20

Said = Report | Plan | OperatorError


def write(name: str, words: str, said: Said, place: str) -> None:
    """Keep it. place: where the sandbox was, which is nowhere else."""
    (SAID / f"{name}.json").write_text(text(words, said, place), encoding="utf-8")


def text(words: str, said: Said, place: str) -> str:
    """It as the file has it."""
    kind = {Report: "report", Plan: "plan"}.get(type(said), "refused")
    body = {"message": said.message, "hint": said.hint} if isinstance(said, OperatorError) else _plain(said)
    return json.dumps({"words": words, kind: body}, indent=1, ensure_ascii=False).replace(place, "/sandbox") + "\n"


def read(name: str) -> tuple[str, Said]:
    """What was asked for, and what was said to it."""
    kept = _said(json.loads((SAID / f"{name}.json").read_text(encoding="utf-8")))
    words = kept.pop("words")
    match kept:
        case {"report": body}:
            return words, Report.model_validate(body)
        case {"plan": body}:
            return words, Plan.model_validate(body)
        case _:
            return words, OperatorError(**kept["refused"])


def _plain(value: Any) -> Any:  # noqa: PLR0911 - a way for each kind
    match value:
        case Figure():
            return {"figure": str(value), "value": value.value, "unit": value.unit}
        case Linked():
            return {"linked": str(value), "url": value.url}
        case Attachment():
            shown = PICTURE if value.alt else "\n".join(value.content.splitlines()[:LINES])
            return _fields(value) | {"content": shown}
        case BaseModel():
            return _fields(value)
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case tuple() | list():
            return [_plain(each) for each in value]
        case _:
            return value


def _fields(value: BaseModel) -> dict[str, Any]:
    """Those that differ from what they are without being given."""
    return {
        name: _plain(getattr(value, name))
        for name, field in type(value).model_fields.items()
        if name == "kind" or getattr(value, name) != field.get_default(call_default_factory=True)
    }


def _said(value: Any) -> Any:
    match value:
        case {"figure": shown, "value": number, "unit": unit}:
            return Figure(shown, number, unit)
        case {"linked": shown, "url": url}:
            return Linked(shown, url)
        case dict():
            return {key: _said(each) for key, each in value.items()}
        case list():
            return [_said(each) for each in value]
        case _:
            return value
