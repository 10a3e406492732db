"""What the comment of a database says that was restored and checked and is not live yet: read without any gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from workers.operations.backup import sets
from workers.wording import ago

if TYPE_CHECKING:
    from workers.operations.backup.manifest import DatabasePart

WHAT: Final = "restored and checked"
"""In the place of what else such comments say."""


def since(comment: str, part: DatabasePart, revision: str) -> str:
    """Since when, as in "5 min ago", where a comment is of that dump's database in that schema; empty where not.

    revision: of MLflow's schema, as it is to be once the database is live.
    """
    told = read(comment)
    if told.get("sha256") != part.sha256 or told.get("revision") != revision:
        return ""
    return age(comment)


def age(comment: str) -> str:
    """Since when a database waits, by its comment; empty where that says that it is something else."""
    told = read(comment)
    if told.get("mlflow-ops") != WHAT:
        return ""
    try:
        at = datetime.fromisoformat(str(told.get("at")))
        return ago((datetime.now(UTC) - at).total_seconds())
    except (ValueError, TypeError):
        return ""


def set_id(comment: str) -> str:
    """The id of the set that a database of ours holds; empty where its comment does not say."""
    name = str(read(comment).get("set") or "")
    return sets.id_of(name) if name and sets.name_in(name) == name else ""


def live(comment: str) -> str:
    """The database whose place it is to take; empty where its comment does not say."""
    return str(read(comment).get("live") or "")


def read(comment: str) -> dict[str, Any]:
    """What is written there; nothing where it is none of ours."""
    try:
        told = json.loads(comment)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
