"""A restore, tried: one small table of MLflow's is dumped, restored into a scratch database, and that is dropped.

Rights and versions that look well are not enough: a server may refuse what the programs write. The table is
alembic_version, which has one row; whatever fails here would fail on the day of a restore.
"""

from __future__ import annotations

import json
import secrets
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.health.questions import Answer, Question
from workers.operations.restore import pg_restore, replaying, side_database
from workers.report import Facts, Status
from workers.systems import temporary
from workers.systems.postgres import replay_role

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.postgres.admin import Server
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.programs import Program

MARK: Final = "_check_"
WHAT: Final = "made by check"
ENDING: Final = 6
STALE: Final = timedelta(minutes=10)
DUMP_SECONDS: Final = 60
TABLE: Final = "alembic_version"


def ask(asking: Asking) -> Answer:
    """Do it; what stops it is told in its own words, rights with the statement that gives them."""
    from workers.systems.postgres import programs

    began = time.monotonic()
    server, live = asking.systems.server, asking.systems.database
    lacking = server.lacking(live)
    if lacking:
        grants = " ".join(each.grant for each in lacking)
        sentence = f"A restore would fail: our role {' and '.join(each.what for each in lacking)}. Do: {grants}"
        return Answer(Status.FAIL, sentence)
    schema = _schema(live)
    if not schema:
        return Answer(Status.UNKNOWN, f"{live.name} has no table of MLflow's, so no restore can be tried.")
    dumper, restorer = (programs.find(name, asking.settings) for name in ("pg_dump", "pg_restore"))
    _sweep(server, live.name)
    name = f"{_head(live.name)}{secrets.token_hex(ENDING // 2)}"
    like, said = server.databases()[live.name], side_database.comment(WHAT, "")
    exposed = replaying.exposed(server)
    try:
        with (
            temporary.folder("check") as folder,
            replaying.into(server, live, name, like, said) as going,
        ):
            by = going.role.name if going.role else str(going.target.role().name)
            dump = folder / "one.dump"
            _dump(dumper, live, schema, dump)
            with going.target.session() as connection:
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            admin = server.database(name, server.admin)
            pg_restore.replay(going.target, dump, restorer, folder, Unwatched(), admin=admin)
            going.hand_over()
            same = _rows(server.database(name, live), schema) == _rows(live, schema)
            if not exposed and by == _login(live):
                exposed = (f"A role that is made for a restore is not let in: see pg_hba.conf. {replaying.ALONE}",)
    finally:
        server.drop(name)
    facts = Facts(
        items=(
            ("tried with", f"{schema}.{TABLE}"),
            ("pg_dump", dumper.version),
            ("pg_restore", restorer.version),
            ("replayed by", "a role of its own" if replay_role.is_one(by) else f"{by}, MLflow's role"),
            ("took", f"{time.monotonic() - began:.1f} s"),
        )
    )
    if not same:
        return Answer(Status.FAIL, "A table came back with other rows than it was dumped with.", "", (facts,))
    if exposed:
        return Answer(Status.WARN, f"A restore was tried, and works. {exposed[0]}", "", (facts,), own_fault=True)
    return Answer(Status.OK, "A table was dumped, restored beside the live database, and compared.", "", (facts,))


def _login(live: Database) -> str:
    return str(conninfo_to_dict(live.url).get("user") or "")


def _schema(live: Database) -> str:
    from workers.systems.postgres import mlflow_schema

    with live.session() as connection:
        row = connection.execute(mlflow_schema.FOUND).fetchone()
    return str(row[0]) if row else ""


def _rows(database: Database, schema: str) -> list[tuple[object, ...]]:
    query = sql.SQL("SELECT version_num::text FROM {} ORDER BY 1").format(sql.Identifier(schema, TABLE))
    with database.session() as connection:
        return list(connection.execute(query).fetchall())


def _dump(dumper: Program, live: Database, schema: str, into: Path) -> None:
    from workers.systems.postgres import programs

    quoted = '"{}"."{}"'.format(*(each.replace('"', '""') for each in (schema, TABLE)))
    command: list[str | Path] = [
        dumper.path,
        "--format=custom",
        "--no-password",
        f"--table={quoted}",
        f"--dbname={programs.address(live)}",
    ]
    with into.open("wb") as file, programs.running(command, live, output=file) as dumping:
        if dumping.wait(DUMP_SECONDS) != 0:
            raise OperatorError(f"pg_dump failed: {live.explained(dumping.said() or 'it said nothing').message}")


def _sweep(server: Server, live: str) -> None:
    """Remove what a check that was killed has left."""
    replay_role.sweep(server)
    before = datetime.now(UTC) - STALE
    for each in server.databases().values():
        if each.name.startswith(_head(live)) and _made(each.comment):
            since = side_database.since(each.comment)
            if since and since < before:
                replaying.discard(server, each)


def _made(comment: str) -> bool:
    try:
        return bool(json.loads(comment)["mlflow-ops"] == WHAT)
    except (ValueError, KeyError, TypeError):
        return False


def _head(live: str) -> str:
    return f"{live[: side_database.LONGEST - len(MARK) - ENDING]}{MARK}"


def _look(_settings: Settings) -> str:
    return "drill"


QUESTION = Question("restorable", "A restore, tried", "PostgreSQL", ask, _look, rests_on=("roles", "programs"))
