"""What a backup needs beside the systems: PostgreSQL's programs, not older than the server, and a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.errors import OperatorError
from workers.operations.backup.encryption import Keys
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings


def ask(asking: Asking) -> Answer:
    """Find the programs, and compare their version with the server's."""
    from workers.systems.postgres import programs as postgres_programs

    programs = [postgres_programs.find(name, asking.settings) for name in ("pg_dump", "pg_restore")]
    server = asking.systems.database.vitals().version
    for each in programs:
        each.not_older_than(int(server.split(".")[0]))
    try:
        psql = programs[1].beside("psql")
        fed = f"{psql.version}, {psql.path}"
    except OperatorError as error:
        # Only a server older than pg_restore is restored into by it.
        if programs[1].major > int(server.split(".")[0]):
            raise
        fed = f"none: {error.message}"
    keys = Keys.of(asking.settings)
    facts = Facts(
        items=(
            *((each.name, f"{each.version}, {each.path}") for each in programs),
            ("psql", fed),
            ("server", server),
            ("key", keys.current.id if keys else "none"),
            ("encrypted", _WORDS[asking.settings.ops.backup.encrypt] if keys else "nothing"),
        )
    )
    if keys is None:
        sentence = (
            "Backups are WITHOUT SECRETS, NOT SIGNED and NOT ENCRYPTED: anyone who can write to the bucket can forge "
            "one, and anyone who can read it has all that it holds. Set MLFLOW_OPS_BACKUP_KEY to what openssl rand "
            "-base64 32 prints."
        )
        return Answer(Status.WARN, sentence, "no key", (facts,), own_fault=True)
    sentence = "PostgreSQL's programs can dump the server, and there is a key to encrypt and sign with."
    return Answer(Status.OK, sentence, f"pg_dump {programs[0].version}", (facts,), own_fault=True)


_WORDS = {
    "all": "database, artifacts and configuration",
    "config": "the configuration; database and artifacts are kept as they are (backup.encrypt)",
    "none": "nothing, and the configuration holds no secrets (backup.encrypt)",
}


def _look(_settings: Settings) -> str:
    return "pg_dump --version"


QUESTION = Question("programs", "Backup programs", "PostgreSQL", ask, _look)
