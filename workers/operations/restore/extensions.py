"""Extensions that a dump asks for: made by the administrator's role, because MLflow's own may not make most of them.

A platform that has pg_stat_statements in MLflow's database would find out on the day of a restore otherwise: pg_restore
stops at CREATE EXTENSION. Where a dump has none, which is MLflow's own case, nothing of this happens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from workers.errors import OperatorError

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database

_EXTENSION: Final = re.compile(r"\d+; \d+ \d+ EXTENSION - (\S+)")
_COMMENT: Final = re.compile(r"\d+; \d+ \d+ COMMENT - EXTENSION (\S+)")


def named(lines: Iterable[str]) -> tuple[str, ...]:
    """The extensions in a table of contents."""
    return tuple(found[1] for line in lines if (found := _EXTENSION.match(line)))


def without(lines: Iterable[str]) -> str:
    """The table of contents without its extensions and what is said of them, for pg_restore's --use-list."""
    return "\n".join(line for line in lines if not (_EXTENSION.match(line) or _COMMENT.match(line))) + "\n"


def make(admin: Database, names: Iterable[str]) -> None:
    """Make them in the administrator's name. Raises OperatorError that says which one could not be."""
    for name in names:
        try:
            with psycopg.connect(admin.url, autocommit=True, connect_timeout=5) as connection:
                connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(sql.Identifier(name)))
        except psycopg.Error as error:
            raise OperatorError(
                f"The backup needs the extension {name}, which could not be made: {admin.explained(error).message}",
                "Install it on the server, and let the role of MLFLOW_OPS_DATABASE_ADMIN_URL make it.",
            ) from None
