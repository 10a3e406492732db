"""A dump with statements that nobody wrote: with the signature check off, none of them reaches the live database."""

import subprocess
from contextlib import nullcontext
from dataclasses import replace

import psycopg
import pytest

from tests.world.conftest import FOLDERS, OTHERS, OWNER, SUPERUSER
from tests.world.test_check import ask  # noqa: F401 - a fixture
from workers.errors import OperatorError
from workers.operations.preflight import restorable
from workers.operations.restore import extensions, pg_restore, replaying
from workers.report import Status
from workers.systems.postgres import catalog, programs, replay_role
from workers.systems.postgres.database import Database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOM = "x" * 600
ADMIN = "makes_roles"
HOSTILE = (
    "DROP DATABASE {live}",
    "RESET ROLE; DROP DATABASE {live}",
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    "GRANT {owner} TO CURRENT_USER",
    "ALTER DATABASE {live} RENAME TO mine",
    "ALTER DATABASE {live} OWNER TO CURRENT_USER",
    "ALTER DATABASE {live} SET default_transaction_read_only = on",
    "ALTER DATABASE {live} ALLOW_CONNECTIONS false",
    "REVOKE CONNECT ON DATABASE {live} FROM PUBLIC",
    "COMMENT ON DATABASE {live} IS 'mine'",
    "ALTER ROLE {owner} PASSWORD 'mine'",
    "ALTER ROLE CURRENT_USER CREATEDB CREATEROLE",
    "CREATE ROLE mine SUPERUSER",
    "DROP ROLE {owner}",
    "DROP DATABASE {others}",
    "CREATE DATABASE mine",
    "ALTER SYSTEM SET archive_command = 'touch /tmp/mine'",
    "COPY (SELECT 1) TO PROGRAM 'touch /tmp/mine'",
    "SELECT pg_catalog.pg_read_file('PG_VERSION')",
    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = '{live}'",
    "CREATE EXTENSION dblink",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION pg_catalog.now()",
    "DROP OWNED BY {owner}",
    "REASSIGN OWNED BY {owner} TO CURRENT_USER",
)


@pytest.fixture
def admin(server):
    """An administrator that may make roles and is no superuser."""
    server.do(f"CREATE ROLE {ADMIN} LOGIN CREATEDB CREATEROLE", f"GRANT {OWNER} TO {ADMIN}")
    yield ADMIN
    server.do(f"DROP OWNED BY {ADMIN}", f"DROP ROLE {ADMIN}")


@pytest.fixture
def dump(server, live, tmp_path):
    """A dump with room for a statement: a long comment, which stands in it as it is."""
    server.do(f"COMMENT ON TABLE metrics IS '{ROOM}'", role=OWNER, database=live)
    path = tmp_path / "database.dump"
    with path.open("wb") as file:
        subprocess.run([FOLDERS[max(FOLDERS)] / "pg_dump", "-Fc", server.url(OWNER, live)], stdout=file, check=True)
    return path


def forged(path, statement):
    """Put a statement in the place of the comment's; a string in a dump has its length before it."""
    content = path.read_bytes()
    begin = content.index(b"COMMENT ON TABLE ")
    end = content.index(ROOM.encode(), begin) + len(ROOM) + 2
    said = f"{statement}; --".encode()
    assert len(said) < end - begin
    path.write_bytes(content[:begin] + said.ljust(end - begin, b"x") + content[end:])


def replayed(systems, live, dump, progress, folder):
    """Replay it beside the live database, as a restore would; the error, if there is one."""
    program = programs.find("pg_restore", systems.settings)
    name, like = f"{live}_forged", systems.server.databases()[live]
    try:
        with replaying.into(systems.server, systems.database, name, like, "") as going:
            assert going.role is not None
            as_admin = systems.server.database(name, systems.admin_database)
            pg_restore.replay(going.target, dump, program, folder, progress, admin=as_admin)
    except OperatorError as error:
        return error.message
    return ""


def server_like(server, live):
    """What must not change: the live database, who there is, and which databases."""
    roles = server.do("SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolpassword FROM pg_authid ORDER BY 1")
    databases = server.do(
        "SELECT datname, datdba, datallowconn, coalesce(datacl, acldefault('d', datdba))::text, datconnlimit "
        "FROM pg_database ORDER BY 1"  # who may revoke nothing has the usual privileges written down as they are
    )
    members = server.do("SELECT roleid::regrole, member::regrole FROM pg_auth_members ORDER BY 1, 2")
    rows = server.do("SELECT count(*) FROM metrics", role=OWNER, database=live)
    return roles, databases, members, rows


@pytest.fixture
def lines(server, live):
    """The live database, line by line."""
    return lambda: catalog.read(Database(server.url(SUPERUSER, live)))


@pytest.mark.parametrize("ours", [ADMIN, SUPERUSER])
def test_no_statement_reaches_the_live_database(ours, server, live, made, admin, dump, lines, progress, tmp_path):
    systems = made(ours)
    whole = dump.read_bytes()
    with psycopg.connect(server.url(OWNER, live), autocommit=True) as somebody:
        before = server_like(server, live), lines()
        for statement in HOSTILE:
            dump.write_bytes(whole)
            forged(dump, statement.format(live=live, owner=OWNER, others=OTHERS))
            said = replayed(systems, live, dump, progress, tmp_path)
            systems.server.drop(f"{live}_forged")
            assert not said or "pg_restore failed" in said
            assert (server_like(server, live), lines()) == before, statement
        assert somebody.execute("SELECT 1").fetchone() == (1,)
    # That statements which are put there are carried out at all:
    dump.write_bytes(whole)
    forged(dump, "CREATE TABLE public.was_here AS SELECT current_user::text AS name")
    said = replayed(systems, live, dump, progress, tmp_path)
    assert not said, said
    name = server.do("SELECT name FROM was_here", database=f"{live}_forged")[0][0]
    systems.server.drop(f"{live}_forged")
    assert name.startswith(replay_role.HEAD)


def test_the_role_that_replays_enters_no_other_database(server, live, made, admin):
    systems = made(ADMIN)
    like = systems.server.databases()[live]
    with replaying.into(systems.server, systems.database, f"{live}_new", like, "") as going:
        assert going.target.role().creates_databases is False
        for other in (live, "postgres", "template1"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(going.role.database(other, systems.database).url)
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(server.url("outsider", f"{live}_new"))
        assert going.role.password not in repr(going)
    assert systems.server.databases()[f"{live}_new"].owner == OWNER
    systems.server.drop(f"{live}_new")


@pytest.fixture(autouse=True)
def outsider(server):
    """Any other role of the server."""
    server.do("CREATE ROLE outsider LOGIN")
    yield
    server.do("DROP ROLE outsider")


def test_what_a_killed_run_has_left_is_swept(server, live, made, admin):
    systems = made(ADMIN)
    young, old = replay_role.make(systems.server), replay_role.make(systems.server)
    told = '{"mlflow-ops": "replays a dump", "at": "2026-01-01T00:00:00+00:00"}'
    server.do(f"COMMENT ON ROLE {old.name} IS '{told}'", f"CREATE ROLE {replay_role.HEAD}mine")
    like = systems.server.databases()[live]
    busy = replay_role.make(systems.server)
    systems.server.create(f"{live}_busy", replace(like, owner=busy.name), "")
    server.do(f"COMMENT ON ROLE {busy.name} IS '{told}'")
    replay_role.sweep(systems.server)
    query = f"SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{replay_role.HEAD}')"
    assert {name for (name,) in server.do(query)} == {young.name, busy.name, f"{replay_role.HEAD}mine"}
    replaying.discard(systems.server, systems.server.databases()[f"{live}_busy"])
    replay_role.drop(systems.server, young.name)
    server.do(f"DROP ROLE {replay_role.HEAD}mine")
    assert server.do(query) == []


def test_check_says_who_replays(ask, admin, live):  # noqa: F811 - a fixture
    alone = ask(restorable.QUESTION)
    assert alone.status is Status.WARN
    assert "Only a set's signature stands between" in alone.sentence
    assert "ALTER ROLE mlflow_ops CREATEROLE;" in alone.sentence
    answer = ask(restorable.QUESTION, ADMIN)
    assert answer.status is Status.OK, answer.sentence
    assert "a role of its own" in str(answer.details)


def test_an_extension_is_not_made_because_a_dump_says_so(server, live, made, progress, tmp_path):
    available = {name for (name,) in server.do("SELECT name FROM pg_available_extensions")}
    name = next(each for each in ("dblink", "vector") if each in available)
    trusted = server.do(f"SELECT bool_or(trusted) FROM pg_available_extension_versions WHERE name = '{name}'")[0][0]
    assert not trusted
    server.do(f"CREATE DATABASE {live}_with OWNER {OWNER}")
    server.do("CREATE SCHEMA tools", f"CREATE EXTENSION {name} SCHEMA tools", database=f"{live}_with")
    path = tmp_path / "with.dump"
    with path.open("wb") as file:
        url = server.url(SUPERUSER, f"{live}_with")
        subprocess.run([FOLDERS[max(FOLDERS)] / "pg_dump", "-Fc", url], stdout=file, check=True)
    systems = made(SUPERUSER)
    program = programs.find("pg_restore", systems.settings)
    like = systems.server.databases()[live]
    version = server.do(f"SELECT extversion FROM pg_extension WHERE extname = '{name}'", database=f"{live}_with")[0][0]
    for allowed in (frozenset(), frozenset({name})):
        refused = nullcontext() if allowed else pytest.raises(OperatorError, match="a dump alone is no reason")
        with refused, replaying.into(systems.server, systems.database, f"{live}_into", like, "") as going:
            admin = systems.server.database(f"{live}_into", systems.admin_database)
            given = extensions.Known({name: f"{version} in tools"}, allowed)
            pg_restore.replay(going.target, path, program, tmp_path, progress, admin=admin, known=given)
    rows = server.do(
        "SELECT extname, extversion, extnamespace::regnamespace::text FROM pg_extension WHERE extname <> 'plpgsql'",
        database=f"{live}_into",
    )
    assert rows == [(name, version, "tools")]
