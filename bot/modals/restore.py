"""The form of `restore`: what comes back, and from which backup.

The bot cannot see the backups (it has no credentials of the store), so the menu has the sets as a worker saw them last,
and says when that was; before anything is planned, they are looked at again. Where none was seen, the id is typed.
"""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Final

from bot.modals.form import Form, chosen, typed
from workers.operations.backup import seen
from workers.wording import duration, size

if TYPE_CHECKING:
    from redis import Redis

    from bot.modals.form import Values
    from workers.operations.backup.seen import Seen
    from workers.rendering.blocks import Block
    from workers.settings import Ops

LATEST: Final = "latest"
OPTION: Final = 75
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


def _fields(redis: Redis, _ops: Ops) -> list[Block]:
    at, sets = seen.known(redis)
    now = time.time()
    if sets:
        menu = {LATEST: "The latest good one"} | {each.id: _called(each, now) for each in sets}
        hint = f"As they were {duration(max(0.0, now - at))} ago; /mlflow backup list looks again."
        of = chosen("set", "From which backup?", menu, hint=hint)
    else:
        hint = "An id, as /mlflow backup list shows it."
        of = typed("set", "From which backup?", like=LATEST, hint=hint, most=80, optional=True)
    which = "Only to bring one of these back."
    return [
        chosen("what", "What?", _CHOICES),
        of,
        typed("name", "Which run or experiment?", hint=which, most=500, optional=True),
    ]


def _called(each: Seen, now: float) -> str:
    """Its id, how old it is, how large, and what is known of it."""
    parts = (
        each.id,
        f"{duration(max(0.0, now - each.begun))} old",
        size(each.bytes) if each.bytes else "",
        each.verdict,
    )
    said = ", ".join(filter(None, parts))
    return said if len(said) <= OPTION else f"{said[: OPTION - 1]}…"


def words(values: Values) -> str:
    """The command as it could have been typed."""
    what, of, name = values["what"], values.get("set", ""), values.get("name", "")
    if what == "undo":
        return "restore undo"
    if what in _NAMED:
        named = [name] if name else []
        of = "" if of == LATEST else of
        return shlex.join(["restore", what, *named, *(("--from", of) if of else ())])
    return shlex.join(["restore", what, of or LATEST])


FORM: Final = Form(
    "restore",
    opens=("restore",),
    label="Restore …",
    sample="restore database latest",
    title="Restore",
    submit="Plan it",
    fields=_fields,
    words=words,
)
