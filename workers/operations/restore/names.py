"""What the databases of a restore are called, and what their comments say of them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

FRESH: Final = "_restore_"
ASIDE: Final = "_before_"
LONGEST: Final = 63
"""Bytes of an identifier (https://www.postgresql.org/docs/current/limits.html)."""
UNDONE: Final = "undone"
"""In the place of a set's id: the database that an undo has taken out of the live one's place."""
_END: Final = re.compile(rf"[0-9a-f]{{6}}(_\d+)?|{UNDONE}")


def fresh(live: str, set_id: str) -> str:
    """Where a set is restored, beside the live database."""
    return f"{live[: LONGEST - len(FRESH) - len(set_id)]}{FRESH}{set_id}"


def aside(live: str, set_id: str, taken: Collection[str] = ()) -> str:
    """What the live database is called once the set has taken its place; none of those that are `taken`."""
    for number in itertools.count(1):
        end = f"{ASIDE}{set_id}" if number == 1 else f"{ASIDE}{set_id}_{number}"
        name = f"{live[: LONGEST - len(end)]}{end}"
        if name not in taken:
            return name
    raise AssertionError


def is_fresh(name: str, live: str) -> bool:
    """Whether that is one of ours that was not finished."""
    return _is_ours(name, live, FRESH)


def is_aside(name: str, live: str) -> bool:
    """Whether that was the live database once."""
    return _is_ours(name, live, ASIDE)


def _is_ours(name: str, live: str, mark: str) -> bool:
    # Somebody's own mlflow_restore_test is none of ours: what is taken for ours is removed sooner or later.
    head, _, end = name.rpartition(mark)
    cut = len(name) == LONGEST and bool(head) and live.startswith(head)
    return (head == live or cut) and _END.fullmatch(end) is not None


def comment(what: str, set_name: str) -> str:
    """What is written on a database of ours: what it is, of which set, and since when."""
    return json.dumps({"mlflow-ops": what, "set": set_name, "at": datetime.now(UTC).isoformat(timespec="milliseconds")})


def comments(live: str, aside: str, set_name: str) -> dict[str, str]:
    """What is written on both at the moment of a switch."""
    return {aside: comment("put aside", set_name), live: comment("restored", set_name)}


def since(comment: str) -> datetime | None:
    """The time in such a comment; None where it is none of ours."""
    try:
        return datetime.fromisoformat(json.loads(comment)["at"])
    except (ValueError, KeyError, TypeError):
        return None
