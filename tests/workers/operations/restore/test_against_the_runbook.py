"""What the runbook's own script does with a backup, and what ours does: table by table against what was backed up."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from workers.operations.backup.backup import Backup
from workers.operations.restore.database import RestoreDatabase

MAINTENANCE = "maintenance_postgres"


def tables(url):
    """Each table with its rows and a hash over them."""
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        return {
            name: connection.execute(
                sql.SQL("SELECT count(*), sum(hashtext(t::text)::bigint) FROM {} t").format(sql.Identifier(name))
            ).fetchone()
            for (name,) in names
        }


@pytest.fixture
def maintenance(parts):
    """What is called `postgres` in the runbook: an administrator's database that should hold nothing."""
    admin = parts.env["MLFLOW_OPS_DATABASE_ADMIN_URL"]
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {MAINTENANCE} OWNER mlflow")
    yield urlsplit(parts.env["MLFLOW_OPS_DATABASE_URL"])._replace(path=f"/{MAINTENANCE}").geturl()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {MAINTENANCE} WITH (FORCE)")


def test_theirs_drops_the_live_one_and_fills_another_and_ours_is_what_was_backed_up(
    systems, parts, database_url, maintenance, progress, tmp_path
):
    made, programs = systems(), Path(parts.env["MLFLOW_OPS_POSTGRES_BIN"])
    live = made.database.name
    right = tables(database_url)
    Backup(parts=("database",)).run(made, progress)

    dump = tmp_path / "mlflow_postgres.sql"
    with dump.open("wb") as file:
        subprocess.run([programs / "pg_dump", "--no-owner", database_url], stdout=file, check=True)
    with psycopg.connect(made.admin_database.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(live)))
    with dump.open("rb") as file:
        done = subprocess.run([programs / "psql", "-q", maintenance], stdin=file, check=False, capture_output=True)
    assert done.returncode == 0, "it says that it is complete"
    assert live not in made.server.databases()
    assert tables(maintenance) == right

    made.server.create(live, made.server.databases()[MAINTENANCE], "")
    RestoreDatabase().run(made, progress)
    assert tables(database_url) == right
    for name in made.server.databases():
        if name.startswith(f"{live}_"):
            made.server.drop(name)
