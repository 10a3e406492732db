"""PostgreSQL: can the administering role do what a restore needs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status
from workers.systems.errors import DatabaseError, DatabasePooled

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.postgres.database import Database


def ask(asking: Asking) -> Answer:
    """Who we are there, and what that role may."""
    server = replace(asking.systems.server, admin=asking.systems.admin_database.within(asking.patience))
    role, lacking = server.admin.role(), server.lacking(asking.systems.database)
    facts = Facts(
        items=(
            ("role", role.name),
            ("may create databases", "yes" if role.creates_databases else "no"),
            ("may end all others' sessions", "yes" if role.ends_sessions else "no"),
            ("to grant", " ".join(each.grant for each in lacking) or "nothing"),
        )
    )
    if any(_behind_a_pooler(each.within(asking.patience)) for each in (asking.systems.database, server.admin)):
        return _pooled(asking.settings, facts)
    if lacking:
        what = " and ".join(each.what for each in lacking)
        sentence = f"The role {role.name} {what}: {' '.join(each.grant for each in lacking)}"
        return Answer(Status.FAIL, sentence, role.name, (facts,), own_fault=True)
    sentence = f"The role {role.name} may create databases and end the sessions of MLflow's role."
    return Answer(Status.OK, sentence, role.name, (facts,), own_fault=True)


def _behind_a_pooler(database: Database) -> bool:
    from workers.systems.postgres import pooler

    try:
        return pooler.between(database)
    except DatabasePooled:
        return True
    except DatabaseError:
        # What is wrong with it is another check's.
        return False


def _pooled(settings: Settings, facts: Facts) -> Answer:
    told = "PostgreSQL is behind a pooler: sessions are not ours alone, and a switch waits for clients that it keeps."
    if settings.environment.pgbouncer_url is None:
        hint = " Connect directly to it, or set MLFLOW_OPS_PGBOUNCER_URL."
        return Answer(Status.FAIL, told + hint, "a pooler", (facts,), own_fault=True)
    return Answer(Status.WARN, f"{told} Connect directly if you can.", "a pooler", (facts,), own_fault=True)


def _look(settings: Settings) -> str:  # noqa: ARG001 - nothing in it is configured
    return 'psql "$MLFLOW_OPS_DATABASE_ADMIN_URL" -c "\\du"'


QUESTION = Question("roles", "PostgreSQL roles", "PostgreSQL", ask, _look)
