"""The private server of a moment with a door: who comes in, and that nobody writes."""

import psycopg
import pytest

from mlflow_ops_sandbox.parts import ports
from tests.workers.operations.backup.wal.conftest import add_run, now, reaches, until
from tests.world.conftest import OURS, OWNER, SUPERUSER
from workers.operations.backup.wal import access
from workers.operations.backup.wal.base import BackupBase
from workers.operations.moments import Moment
from workers.operations.restore import from_base
from workers.systems.postgres.private_server import Door

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HERE = "127.0.0.1"


def test_mlflows_role_reads_and_nobody_writes(kept, server, live, progress):
    server.do(f"ALTER ROLE {OWNER} PASSWORD 'then'", f"ALTER ROLE {OURS} PASSWORD 'ours'")
    server.do(f"ALTER ROLE {SUPERUSER} PASSWORD 'all'")
    until(lambda: access.replication(kept).look())
    BackupBase(now=True).run(kept, progress)
    at = add_run(server, live, "run 1")
    server.do("DELETE FROM runs WHERE run_uuid = 'run 1'", role=OWNER, database=live)
    late = now(server)
    until(lambda: reaches(kept, late))
    door = Door(HERE, ports.free(), live, OWNER)

    def come(role, password, database=live):
        return psycopg.connect(
            host=HERE, port=door.port, dbname=database, user=role, password=password, connect_timeout=5, autocommit=True
        )

    to, source = from_base.choose(kept, Moment(at))
    with from_base.replayed(kept, source, to, progress, door):
        with come(OWNER, "then") as connection:
            assert connection.execute("SELECT count(*) FROM runs WHERE run_uuid = 'run 1'").fetchone() == (1,)
            for statement in (
                "INSERT INTO runs VALUES ('run 2', 1, 0, '')",
                "UPDATE runs SET note = 'x'",
                "DELETE FROM runs",
                "CREATE TABLE mine (a int)",
                "SET default_transaction_read_only = off; DROP TABLE metrics",
                "BEGIN READ WRITE",
            ):
                with pytest.raises((psycopg.errors.ReadOnlySqlTransaction, psycopg.errors.FeatureNotSupported)):
                    connection.execute(statement)
            with pytest.raises(psycopg.Error):
                connection.execute("SELECT pg_promote()")
        for role, password, database in (
            (OWNER, "wrong", live),
            (OWNER, "then", "postgres"),
            (OURS, "ours", live),
            (SUPERUSER, "all", live),
        ):
            with pytest.raises(psycopg.OperationalError):
                come(role, password, database)
    with pytest.raises(psycopg.OperationalError):
        come(OWNER, "then")
