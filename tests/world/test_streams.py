"""Dumps whose largest tables are apart, into every version of PostgreSQL: by files and by streams."""

import subprocess

import pytest

from tests.world.conftest import FOLDERS, OWNER
from workers.errors import SetDamaged
from workers.operation import Unwatched
from workers.operations.backup.sharing import rows_only, without_rows
from workers.operations.restore import pg_restore
from workers.systems.postgres import programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Pieces:
    """A file's bytes as they come from a store."""

    def __init__(self, path):
        self.path = path

    def __iter__(self):
        with self.path.open("rb") as file:
            yield from iter(lambda: file.read(4096), b"")


@pytest.fixture
def dumps(server, live, tmp_path):
    """Three dumps of it by the newest pg_dump: the rows of metrics and of runs are in the last two."""
    schema = live.removeprefix("mlflow_")
    shared = [[(schema, "metrics")], [(schema, "runs")]]
    made = []
    for number, options in enumerate((without_rows(shared), *map(rows_only, shared))):
        made.append(tmp_path / f"{number}.dump")
        program = FOLDERS[max(FOLDERS)] / "pg_dump"
        with made[-1].open("wb") as file:
            subprocess.run([program, "-Fc", *options, server.url(OWNER, live)], stdout=file, check=True)
    return made


@pytest.fixture(params=["files", "streams"])
def replay(request, server, live, made, tmp_path):
    """Replays them in an empty database, as they are given; its name."""
    systems = made()
    empty = f"{live}_empty"
    server.do(f"CREATE DATABASE {empty} OWNER {OWNER}")
    program = programs.find("pg_restore", systems.settings)

    def do(paths):
        given = paths if request.param == "files" else [Pieces(path) for path in paths]
        target = systems.server.database(empty, systems.database)
        admin = systems.server.database(empty, systems.admin_database)
        pg_restore.replay(target, given[0], program, tmp_path, Unwatched(), admin=admin, apart=given[1:])
        return empty

    return do


def test_all_of_it_is_there(dumps, replay, content, server, live):
    before = content(live)
    restored = replay(dumps)
    schema = live.removeprefix("mlflow_")
    server.do(f"ALTER DATABASE {restored} SET search_path = {schema}, public")
    assert content(restored) == before


def test_without_one_of_them_its_keys_do_not_hold(dumps, replay):
    with pytest.raises(SetDamaged, match="violates foreign key"):
        replay(dumps[:2])
