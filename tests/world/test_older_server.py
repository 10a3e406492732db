"""Where what is given to psql cannot be replayed, that is said, whoever failed, and nothing hangs."""

import subprocess
import time

import pytest

from tests.world.conftest import FOLDERS, OWNER
from workers.errors import OperatorError
from workers.operation import Cancelled, Unwatched
from workers.operations.restore import pg_restore
from workers.systems.postgres import programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def dump(server, live, tmp_path):
    """A dump of it by the newest pg_dump, as it is stored."""
    if server.major >= 17:
        pytest.skip("this server knows every setting")
    path = tmp_path / "database.dump"
    with path.open("wb") as file:
        subprocess.run([FOLDERS[max(FOLDERS)] / "pg_dump", "-Fc", server.url(OWNER, live)], stdout=file, check=True)
    return path


@pytest.fixture
def replay(server, live, made, tmp_path):
    """Replays a dump in an empty database, or in another one; a file, or its bytes in pieces."""
    systems = made()
    empty = f"{live}_empty"
    server.do(f"CREATE DATABASE {empty} OWNER {OWNER}")
    program = programs.find("pg_restore", systems.settings)

    def do(dump, into=empty, progress=None):
        target = systems.server.database(into, systems.database)
        admin = systems.server.database(into, systems.admin_database)
        pg_restore.replay(target, dump, program, tmp_path, progress or Unwatched(), admin=admin)
        return empty

    return do


class Pieces:
    """A file's bytes as they come from a store."""

    def __init__(self, content):
        self.content = content

    def __iter__(self):
        for at in range(0, len(self.content), 4096):
            yield self.content[at : at + 4096]


@pytest.fixture(params=["file", "stream"])
def given(request):
    """A dump as it is given."""
    return (lambda path: path) if request.param == "file" else lambda path: Pieces(path.read_bytes())


def test_all_of_it_is_there(dump, given, replay, content, server, live):
    before = content(live)
    restored = replay(given(dump))
    schema = live.removeprefix("mlflow_")
    server.do(f"ALTER DATABASE {restored} SET search_path = {schema}, public")
    assert content(restored) == before


def test_what_the_server_refuses_is_told_in_its_words(dump, given, replay, live):
    with pytest.raises(OperatorError, match=r"pg_restore failed: .*already exists"):
        replay(given(dump), into=live)


def test_a_dump_that_ends_too_early_does_not_pass_for_a_whole_one(dump, given, replay):
    content = dump.read_bytes()
    dump.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(OperatorError, match="pg_restore failed"):
        replay(given(dump))


def test_it_can_be_cancelled_at_any_time(dump, given, replay):
    class Stopped(Unwatched):
        def checkpoint(self):
            raise Cancelled

    began = time.monotonic()
    with pytest.raises(Cancelled):
        replay(given(dump), progress=Stopped())
    assert time.monotonic() - began < 30
