"""What the panel shows: things with a state and a few actions, gathered in groups."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.errors import Json

State = Literal["well", "broken", "unknown"]
BREAK, HEAL, DO = "break", "heal", "do"


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing. A switch has no actions of its own: it is broken or healed; others name theirs, by id and label."""

    id: str
    label: str
    help: str
    state: State = "well"
    detail: str = ""
    actions: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> Json:
        """Return it as the page reads it."""
        actions = [{"id": key, "label": label} for key, label in self.actions]
        return asdict(self) | {"actions": actions, "switch": not actions}


class Group(Protocol):
    """Things that are broken in the same way."""

    id: str
    title: str

    async def things(self) -> list[Thing]:
        """Return the things as they are now."""

    async def order(self, thing: str, action: str) -> None:
        """Do what was asked. Raises SlackError where there is no such thing or it cannot be done."""

    async def heal(self) -> None:
        """Mend everything of this group."""
