"""What point-in-time recovery needs: the server's settings, a role, the programs, and a bound for the slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.errors import OperatorError
from workers.operations.backup.wal import access, incremental
from workers.operations.health.questions import Answer, Question
from workers.operations.preflight import archiving
from workers.report import Facts, Status, Text
from workers.wording import size

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.postgres.replication import Replication


def ask(asking: Asking) -> Answer:
    """Compare what there is with what is needed."""
    from workers.systems.postgres import private_server, programs

    if not asking.settings.ops.recovery.keeps_wal:
        return archiving.ask(asking)
    replication = access.replication(asking.systems)
    lacking = replication.lacking()
    if lacking:
        sentence = f"Point-in-time recovery isn't possible: {'; '.join(each.what for each in lacking)}."
        text = "\n".join(each.remedy for each in lacking)
        return Answer(Status.FAIL, sentence, "not possible", (Text(text=text),), own_fault=True)
    known = replication.identity()
    found = [programs.find(name, asking.settings) for name in ("pg_receivewal", "pg_basebackup")]
    for each in found:
        each.not_older_than(known.major)
    warnings = []
    try:
        private_server.refuse_root(asking.settings)
        server = str(private_server.find(asking.settings, known.major).path)
    except OperatorError as error:
        server = "none"
        warnings.append(f"{error.message} {error.hint}")
    wanted = asking.settings.ops.recovery
    bound = replication.keeps_at_most()
    if bound is None:
        most = f"{wanted.slot_bytes >> 20}MB"
        warnings.append(
            "max_slot_wal_keep_size is not set: while the process mlflow-ops wal is away, nothing bounds the WAL that "
            f"the server keeps. As a superuser: ALTER SYSTEM SET max_slot_wal_keep_size = '{most}';"
        )
    facts = Facts(
        items=(
            ("server", f"PostgreSQL {known.version}, system {known.system}, timeline {known.timeline}"),
            *((each.name, f"{each.version}, {each.path}") for each in found),
            ("postgres", server),
            ("max_slot_wal_keep_size", size(bound) if bound is not None else "not set"),
            ("incremental bases", _incremental(replication, known.major)),
        )
    )
    sentence = " ".join(warnings) or "The server's WAL can be kept, and any moment brought back here."
    return Answer(Status.WARN if warnings else Status.OK, sentence, "", (facts,), own_fault=True)


def _incremental(replication: Replication, major: int) -> str:
    if major < incremental.SINCE:
        return f"since PostgreSQL {incremental.SINCE}"
    return "yes" if replication.summarizes() else "no: ALTER SYSTEM SET summarize_wal = on; then reload"


def _look(_settings: Settings) -> str:
    return "psql -c 'SHOW wal_level'"


QUESTION = Question("recovery", "Point-in-time recovery", "PostgreSQL", ask, _look)
