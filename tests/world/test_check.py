"""`check` tries what a restore will need, on every version, and prints the GRANT that is missing."""

from urllib.parse import urlsplit

import pytest

from tests.world.conftest import FOLDERS, OURS, OWNER
from workers.operations.health.questions import Asking
from workers.operations.preflight import programs, restorable, roles
from workers.report import Status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def ask(made):
    """Puts one of check's questions, as a role."""

    def put(question, ours=OURS, **changed):
        asking = Asking(made(ours, **changed), 60)
        try:
            return question.ask(asking)
        finally:
            asking.close()

    return put


@pytest.fixture
def role(server):
    """A role without any right, of this test's own."""
    server.do("CREATE ROLE newcomer LOGIN")
    yield "newcomer"
    server.do("DROP OWNED BY newcomer", "DROP ROLE newcomer")


def test_a_restore_is_tried_and_nothing_of_it_stays(ask, made, live):
    answer = ask(restorable.QUESTION)
    assert answer.status is Status.WARN, answer.sentence
    assert answer.sentence.startswith("A restore was tried, and works.")
    assert [name for name in made().server.databases() if name.startswith(live)] == [live]


def test_what_a_killed_check_has_left_is_removed(ask, made, server, live):
    left = f"{live}_check_0a1b2c"
    server.do(f"CREATE DATABASE {left} OWNER {OWNER}", f"CREATE DATABASE {live}_check_mine OWNER {OWNER}")
    told = '{"mlflow-ops": "made by check", "set": "", "at": "2026-01-01T00:00:00+00:00"}'
    server.do(f"COMMENT ON DATABASE {left} IS '{told}'")
    ask(restorable.QUESTION)
    assert [name for name in made().server.databases() if name.startswith(live)] == [live, f"{live}_check_mine"]


def test_each_right_is_asked_for_by_the_statement_that_gives_it(ask, server, role):
    answer = ask(roles.QUESTION, role)
    assert answer.status is Status.FAIL
    assert f"ALTER ROLE {role} CREATEDB;" in answer.sentence
    assert f"GRANT {OWNER} TO {role}" in answer.sentence
    assert "pg_signal_backend" not in answer.sentence
    tried = ask(restorable.QUESTION, role)
    assert tried.status is Status.FAIL
    for statement in answer.sentence.partition(": ")[2].split(";"):
        if statement.strip():
            server.do(statement)
    assert ask(roles.QUESTION, role).status is Status.OK
    assert ask(restorable.QUESTION, role).status is Status.WARN
    server.do(f"ALTER ROLE {role} CREATEROLE")
    assert ask(restorable.QUESTION, role).status is Status.OK


def test_the_owner_itself_needs_no_more_than_to_make_databases(ask, server):
    answer = ask(roles.QUESTION, OWNER)
    assert answer.sentence.endswith(f"ALTER ROLE {OWNER} CREATEDB;")
    server.do(f"ALTER ROLE {OWNER} CREATEDB")
    try:
        assert ask(roles.QUESTION, OWNER).status is Status.OK
        assert ask(restorable.QUESTION, OWNER).status is Status.WARN
    finally:
        server.do(f"ALTER ROLE {OWNER} NOCREATEDB")


def test_psql_is_demanded_where_the_server_is_older_and_only_there(ask, server, tmp_path):
    newest = FOLDERS[max(FOLDERS)]
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).symlink_to(newest / name)
    if server.major == max(FOLDERS):
        answer = ask(programs.QUESTION, MLFLOW_OPS_POSTGRES_BIN=str(tmp_path))
        assert "psql is not in" in str(answer.details)
    else:
        with pytest.raises(Exception, match=r"psql is not in .*older than pg_restore"):
            ask(programs.QUESTION, MLFLOW_OPS_POSTGRES_BIN=str(tmp_path))
    assert "psql" in str(ask(programs.QUESTION).details)


def test_a_database_without_tables_is_told(ask, server, made, live):
    server.do(f"CREATE DATABASE {live}_empty OWNER {OWNER}")
    url = urlsplit(server.url(OWNER, f"{live}_empty")).geturl()
    assert ask(restorable.QUESTION, MLFLOW_OPS_DATABASE_URL=url).status is Status.UNKNOWN
