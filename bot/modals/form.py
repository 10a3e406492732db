"""A modal for a command with parameters, as data: what opens it, its fields, and the command that was filled in.

What is chosen becomes the command that could have been typed, and takes its way: grammar, policy, plan, approval. So a
form decides nothing, and what is wrong with it is told in the grammar's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.rendering.blocks import Block, asks, choice, plain_text, text_field

if TYPE_CHECKING:
    from redis import Redis

    from workers.settings import Ops

Values = Mapping[str, str]
"""By field: what was typed or chosen; empty where nothing was."""


@dataclass(frozen=True)
class Form:
    """name: Slack's callback id. opens: commands that are not whole without what it asks. label: of its button at home.
    sample: a command of its kind, by which it is judged who may use it. fields: made of what is known now, from Redis
    alone. words: the command. Its title and its button have 24 characters.
    """

    name: str
    opens: tuple[str, ...]
    label: str
    sample: str
    title: str
    submit: str
    fields: Callable[[Redis, Ops], list[Block]]
    words: Callable[[Values], str]


def filled(view: dict[str, Any]) -> dict[str, str]:
    """What was filled in. view: as it was submitted (docs.slack.dev/reference/interaction-payloads)."""
    found = {}
    for name, elements in view["state"]["values"].items():
        (element,) = elements.values()
        chosen = (element.get("selected_option") or {}).get("value")
        found[name] = " ".join(str(chosen or element.get("value") or "").split())
    return found


def typed(  # noqa: PLR0913 - a field's own properties, by name
    name: str, label: str, *, hint: str = "", like: str = "", most: int = 100, optional: bool = False
) -> Block:
    """A field to type in. like: what may stand there."""
    element = text_field(name, max_length=most, **({"placeholder": plain_text(like)} if like else {}))
    return asks(name, label, element, optional=optional, **({"hint": plain_text(hint)} if hint else {}))


def chosen(name: str, label: str, options: Mapping[str, str], *, hint: str = "", first: str = "") -> Block:
    """A field to choose in. options: by value, what each is called."""
    element = choice(name, options, first or next(iter(options)))
    return asks(name, label, element, **({"hint": plain_text(hint)} if hint else {}))
