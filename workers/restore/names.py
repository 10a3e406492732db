"""What the databases of a restore are called, and what their comments say of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final

FRESH: Final = "_restore_"
ASIDE: Final = "_before_"
LONGEST: Final = 63
"""Bytes of an identifier (https://www.postgresql.org/docs/current/limits.html)."""


def fresh(live: str, set_id: str) -> str:
    """Where a set is restored, beside the live database."""
    return f"{live[: LONGEST - len(FRESH) - len(set_id)]}{FRESH}{set_id}"


def aside(live: str, set_id: str) -> str:
    """What the live database is called once the set has taken its place."""
    return f"{live[: LONGEST - len(ASIDE) - len(set_id)]}{ASIDE}{set_id}"


def is_fresh(name: str, live: str) -> bool:
    """Whether that is one of ours that was not finished."""
    return name.startswith(f"{live}{FRESH}")


def is_aside(name: str, live: str) -> bool:
    """Whether that was the live database once."""
    return name.startswith(f"{live}{ASIDE}")


def comment(what: str, set_name: str) -> str:
    """What is written on a database of ours: what it is, of which set, and since when."""
    return json.dumps({"mlflow-ops": what, "set": set_name, "at": datetime.now(UTC).isoformat(timespec="seconds")})


def since(comment: str) -> datetime | None:
    """The time in such a comment; None where it is none of ours."""
    try:
        return datetime.fromisoformat(json.loads(comment)["at"])
    except (ValueError, KeyError, TypeError):
        return None
