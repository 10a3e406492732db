"""PostgreSQL: can the administering role do what a restore needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings


def ask(asking: Asking) -> Answer:
    """Who we are there, and what that role may."""
    role = asking.systems.admin_database.within(asking.patience).role()
    facts = Facts(
        items=(
            ("role", role.name),
            ("may create databases", "yes" if role.creates_databases else "no"),
            ("may end others' sessions", "yes" if role.ends_sessions else "no"),
        )
    )
    status, sentence = Status.OK, f"The role {role.name} may create databases and end sessions."
    if not role.creates_databases:
        status = Status.FAIL
        sentence = f"The role {role.name} may not create databases: ALTER ROLE {role.name} CREATEDB."
    elif not role.ends_sessions:
        status = Status.FAIL
        sentence = f"The role {role.name} may not end sessions: GRANT pg_signal_backend TO {role.name}."
    return Answer(status, sentence, role.name, (facts,), own_fault=True)


def _look(settings: Settings) -> str:  # noqa: ARG001 - nothing in it is configured
    return 'psql "$MLFLOW_OPS_DATABASE_ADMIN_URL" -c "\\du"'


QUESTION = Question("roles", "PostgreSQL roles", "PostgreSQL", ask, _look)
