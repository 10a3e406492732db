"""The switch as restore and undo do it: who is in its way, the pooler kept waiting, MLflow asked, and what was cut off.

Who may not be sent away is found before anything is restored, named with what to do, and once more when it begins; who
comes later is waited for, for as long as ops.yaml says (restore.switch_seconds), and named as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.restore import downtime
from workers.systems.errors import DatabasePooled, GatewayError
from workers.systems.postgres import pooler, switch
from workers.systems.postgres.pooler import PgBouncer
from workers.wording import listed

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.postgres.admin import Server
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.switch import Names

ANSWER_SECONDS: Final = 60.0
START_SECONDS: Final = 300.0
"""For MLflow to answer where its pods were taken away."""
LOOK_SECONDS: Final = 0.25
PASSING_SECONDS: Final = 2.0
"""Whoever is in the database for less (an exporter that asks and leaves) is in nobody's way."""


def refuse_obstacles(systems: Systems) -> tuple[str, ...]:
    """What stays with the live database when another one takes its name, as warnings.

    Raises OperatorError where the switch could not be done: no live database, a pooler in between, or sessions,
    prepared transactions and subscriptions that stay, each named with what to do.
    """
    if PgBouncer.connect(systems.settings) is None:
        for database in (systems.database, systems.admin_database):
            _refuse_pooler(database)
    live, until = systems.database.name, time.monotonic() + PASSING_SECONDS
    if live not in systems.server.databases():
        raise OperatorError(f"There is no database {live} to be replaced.", "Restore beside: --as NAME.")
    while True:
        found = systems.server.occupants(live)
        if not found.blocking:
            return tuple(f"{what}: {remedy}" for what, remedy in found.left_behind)
        if time.monotonic() >= until:
            break
        time.sleep(LOOK_SECONDS)
    who = listed([what for what, _ in found.blocking], most=5)
    remedies = " ".join(dict.fromkeys(remedy for _, remedy in found.blocking[:5]))
    raise OperatorError(f"{live} cannot be switched while it is in use by {who}.", remedies)


def _refuse_pooler(database: Database) -> None:
    try:
        found = pooler.between(database)
    except DatabasePooled:
        raise
    except GatewayError:
        # It is closed, or gone: its restore is what helps.
        return
    if found:
        raise DatabasePooled(
            f"PostgreSQL at {database.address} is behind a pooler, which keeps sessions of its own.",
            "Connect directly to PostgreSQL, not through a pooler; or set MLFLOW_OPS_PGBOUNCER_URL.",
        )


def do(systems: Systems, names: Names, comments: Mapping[str, str]) -> float:
    """Switch; the seconds that nobody could get in. Raises OperatorError; the live database is as it was then."""
    patience = systems.settings.ops.restore.switch_seconds
    with _waiting_at_the_pooler(systems, names.live):
        return switch.switch(systems.server, names, comments, patience_seconds=patience)


@contextmanager
def _waiting_at_the_pooler(systems: Systems, live: str) -> Iterator[None]:
    bouncer = PgBouncer.connect(systems.settings)
    if bouncer is None:
        yield
        return
    with bouncer.paused(live):
        yield


def answers(systems: Systems) -> str:
    """Why MLflow does not answer from its database, at last; empty where it does."""
    if systems.settings.environment.mlflow_tracking_uri is None:
        return ""
    patience = START_SECONDS if downtime.wanted(systems) else ANSWER_SECONDS
    until, why = time.monotonic() + patience, ""
    while time.monotonic() < until:
        try:
            systems.tracking.search_experiments()
        except GatewayError as error:
            why = error.message.rstrip(".")
            time.sleep(LOOK_SECONDS)
        else:
            return ""
    return why


def repair(server: Server, live: str) -> bool:
    """Let sessions into a live database that is closed to them; whether that was so."""
    known = server.databases().get(live)
    if known is None or known.open:
        return False
    server.allow(live, connections=True)
    return True


def mended(systems: Systems) -> str:
    """Undo what a switch that was cut off has done to who may get in; what that was, in sentences.

    Raises OperatorError where it could not be looked at: then it is to be looked at again.
    """
    live = systems.database.name
    said = f"{live} had been closed to sessions, and is open again. " if repair(systems.server, live) else ""
    bouncer = PgBouncer.connect(systems.settings)
    if bouncer is not None and bouncer.resume(live):
        said += f"PgBouncer had kept the clients of {live} waiting, and lets them go on. "
    return said + downtime.mended(systems)


def mended_and(systems: Systems, look: Callable[[], str]) -> str:
    """The same, and then what `look` says of a run that was cut off, also where it would be refused now.

    Raises GatewayError where it could not be looked at.
    """
    said = mended(systems)
    try:
        return said + look()
    except GatewayError:
        raise
    except OperatorError as error:
        return f"{said}The live database is {systems.database.name}. Asked now, it would be refused: {error.message}"


RENAME: Final = "Refuse sessions, end those that are there, and rename"
ASK: Final = "Ask MLflow"


def steps(systems: Systems, live: str, becomes: str, comes: str) -> tuple[str, ...]:
    """What a plan says of the switch in which the live database `becomes` one name and another `comes` in its place."""
    name = systems.settings.ops.kubernetes.deployment
    away, back = downtime.steps(name) if downtime.wanted(systems) else ((), ())
    return (
        *away,
        f"{RENAME}: {live} → {becomes}, {comes} → {live}",
        *back,
        f"{ASK}; if it doesn't answer, switch back",
    )
