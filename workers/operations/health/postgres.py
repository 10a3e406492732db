"""PostgreSQL: a real connection, as MLflow would open one, and how full and how busy the server is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from workers.operations.backup import waiting
from workers.operations.health import dependency_pods
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Offer, Section, Status, Table, Text
from workers.systems.errors import DatabaseClosed, DatabaseError, Unreachable
from workers.wording import duration, milliseconds, share, size

if TYPE_CHECKING:
    from concurrent.futures import Future

    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.postgres.database import Vitals

_OPEN: Final = Offer(
    sentence="MLflow is shut out of its database: it takes no sessions.",
    label="Open it again",
    command="restore repair",
)
_RESUME: Final = Offer(
    sentence="MLflow waits for its database at PgBouncer, and no restore lets it go on.",
    label="Let it go on",
    command="restore repair",
)
BESIDE_SHOWN: Final = 5
"""Of the databases that restores have put aside, or left half done."""


def ask(asking: Asking) -> Answer:
    """The server, and beside it its pods."""
    database = asking.systems.database.within(round(asking.patience, 1))
    pods = dependency_pods.look(asking, asking.names.postgres_selector)
    waiting_at = asking.aside(lambda: _paused(asking.settings, database.name))
    try:
        vitals = database.vitals(*filter(None, (_users(asking.settings),)))
    except DatabaseError as error:
        table, trouble = pods()
        sentence = f"{error.message.rstrip('.')}; {trouble}." if trouble else error.message
        hint = (Text(text=error.hint),) if error.hint else ()
        unreachable = isinstance(error, Unreachable)
        closed = (_OPEN,) if isinstance(error, DatabaseClosed) else ()
        return Answer(
            Status.FAIL, sentence, details=(*hint, *table), own_fault=True, unreachable=unreachable, offers=closed
        )
    answer = judge(vitals, asking.settings, pods()[0])
    if _heard(waiting_at, asking.left):
        sentence = f"PgBouncer keeps the clients of {database.name} waiting: it is paused."
        return replace(answer, status=Status.FAIL, sentence=sentence, offers=(_RESUME, *answer.offers))
    return answer


def _heard(answer: Future[bool], within_seconds: float) -> bool:
    try:
        return answer.result(timeout=within_seconds)
    except TimeoutError:
        return False


def _paused(settings: Settings, name: str) -> bool:
    from workers.systems.postgres.pooler import PgBouncer

    bouncer = PgBouncer.connect(settings)
    try:
        return bouncer is not None and bool(bouncer.paused_of(name))
    except DatabaseError:
        # MLflow's own check tells what that does to MLflow.
        return False


def judge(vitals: Vitals, settings: Settings, pods: tuple[Section, ...] = ()) -> Answer:
    """From what the server said of itself."""
    used = vitals.connections / vitals.max_connections if vitals.max_connections else 0.0
    status, sentence = _verdict(vitals, used, settings)
    facts = Facts(
        items=(
            ("version", vitals.version),
            ("connecting", milliseconds(vitals.connect_seconds)),
            ("one round trip", milliseconds(vitals.round_trip_seconds)),
            ("connections", f"{vitals.connections} of {vitals.max_connections} ({share(used)})"),
            ("database size", size(vitals.size_bytes)),
            *((f"beside it: {each.name}", size(each.size_bytes)) for each in vitals.beside[:BESIDE_SHOWN]),
        )
    )
    figures = {
        "connect_seconds": vitals.connect_seconds,
        "latency_seconds": vitals.round_trip_seconds,
        "connections": float(vitals.connections),
        "max_connections": float(vitals.max_connections),
        "connections_share": used,
        "size_bytes": float(vitals.size_bytes),
        "longest_query_seconds": vitals.longest.age_seconds if vitals.longest else 0.0,
    }
    figure = f"{milliseconds(vitals.round_trip_seconds)}, {size(vitals.size_bytes)}"
    return Answer(
        status,
        sentence,
        figure,
        (facts, *_longest(vitals), *pods),
        figures,
        {"version": (vitals.version,)},
        own_fault=True,
        offers=_waiting(vitals, _users(settings)),
    )


def _users(settings: Settings) -> str:
    """The name of basic-auth's database; empty where there is none."""
    from workers.systems.postgres.database import Database

    return Database.at(settings, "auth_database_url").name if settings.environment.auth_database_url else ""


def _waiting(vitals: Vitals, users: str) -> tuple[Offer, ...]:
    """The restored databases that wait to be switched to. users: the name of basic-auth's."""
    return tuple(
        Offer(
            sentence=f"{each.name} was restored from the backup {found} and checked {age}, and is not live.",
            label="Switch to it",
            command=f"restore {'auth' if users and waiting.live(each.comment) == users else 'database'} {found}",
        )
        for each in vitals.beside[:BESIDE_SHOWN]
        if (age := waiting.age(each.comment)) and (found := waiting.set_id(each.comment))
    )


def _verdict(vitals: Vitals, used: float, settings: Settings) -> tuple[Status, str]:
    thresholds = settings.ops.health.thresholds
    connections = f"{vitals.connections} of {vitals.max_connections} connections are in use"
    longest = vitals.longest
    if used >= thresholds.connections_fail:
        return Status.FAIL, f"PostgreSQL is nearly full: {connections}."
    if used >= thresholds.connections_warn:
        return Status.WARN, f"PostgreSQL fills up: {connections}."
    if longest and longest.age_seconds >= thresholds.query_warn_seconds:
        who = longest.application or longest.user or "a session"
        return Status.WARN, f"{who} (pid {longest.pid}) is {longest.state} for {duration(longest.age_seconds)} already."
    if vitals.round_trip_seconds >= thresholds.postgres_latency_warn_seconds:
        return Status.WARN, f"PostgreSQL is slow: one round trip took {milliseconds(vitals.round_trip_seconds)}."
    return Status.OK, f"PostgreSQL {vitals.version} answers; {connections}."


def _longest(vitals: Vitals) -> tuple[Section, ...]:
    if vitals.longest is None:
        return ()
    query = vitals.longest
    row = (duration(query.age_seconds), str(query.pid), query.application, query.user, query.state, query.text)
    return (
        Table(
            title="Longest running query", columns=("age", "pid", "application", "user", "state", "query"), rows=(row,)
        ),
    )


def _look(settings: Settings) -> str:
    names = settings.ops.kubernetes
    return f"kubectl get pods -n {names.namespace} -l {names.postgres_selector} -o wide"


QUESTION = Question("postgres", "PostgreSQL", "PostgreSQL", ask, _look, command="db activity")
