"""Care of a real PostgreSQL: sizes, dead rows, vacuum, indexes, and sessions that wait for each other."""

import base64
import re
import threading
import time
from contextlib import contextmanager

import psycopg
import pytest

from commands import grammar
from mlflow_ops_sandbox.patience import stretched
from workers import settings
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Cancelled, Risk, Unwatched
from workers.operations.database import mlflow_indexes
from workers.operations.database.activity import shown_query
from workers.report import Status
from workers.systems import Systems
from workers.systems.errors import DatabaseRefused, DatabaseUnreachable

pytestmark = pytest.mark.slow

PIECES = ("slack", "bot", "scheduler", "worker-quick", "worker-ops", "kubernetes", "objects")


SILENT = Unwatched()


@pytest.fixture(scope="module")
def sandbox(start_sandbox_once, tmp_path_factory, seeded):
    """A PostgreSQL that MLflow has made its schema in."""
    left_out = PIECES if seeded is None else (*PIECES, "mlflow")
    words = (word for part in left_out for word in ("--without", part))
    return start_sandbox_once(tmp_path_factory.mktemp("care") / "data", *words, like=seeded)


@pytest.fixture(scope="module")
def url(sandbox):
    return sandbox.env["MLFLOW_OPS_DATABASE_URL"]


@pytest.fixture(scope="module")
def systems(sandbox):
    return Systems(settings.load(sandbox.process_env))


@pytest.fixture
def do(systems):
    return lambda words, progress=SILENT: performing.perform_here(
        grammar.parse(words), words, "olga", systems, progress
    )


@pytest.fixture
def sql(url):
    with psycopg.connect(url, autocommit=True, application_name="tests") as connection:
        yield connection.execute


@pytest.fixture
def table(sql):
    """A table of some 40 MB."""
    sql("CREATE TABLE care_test (id int, filler text)")
    sql("INSERT INTO care_test SELECT n, repeat('x', 300) FROM generate_series(1, 100000) n")
    yield "care_test"
    sql("DROP TABLE IF EXISTS care_test")


@contextmanager
def session(url, *statements, name="trainer"):
    """Another session with an open transaction; its connection."""
    with psycopg.connect(url, application_name=name) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection
        connection.rollback()


def cells(report, title):
    (found,) = [each for each in report.sections if each.title.startswith(title)]
    return found.rows


def until(ask, wanted, seconds=20):
    deadline = time.monotonic() + stretched(seconds)
    while not wanted(found := ask()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_size_names_the_largest_tables_and_the_servers_databases(do, table):
    report = do("db size")
    assert report.status is Status.OK
    assert cells(report, "Largest tables")[0][0] == table
    assert "mlflow" in [row[0] for row in cells(report, "Databases")]


def test_dead_rows_are_told_until_a_vacuum_removes_them(do, sql, table):
    sql("ALTER TABLE care_test SET (autovacuum_enabled = off)")
    # What was inserted counts twice where it is told after the analysis.
    sql("SELECT pg_stat_force_next_flush()")
    sql("ANALYZE care_test")
    sql("DELETE FROM care_test WHERE id > 50000")
    report = until(lambda: do("db tables"), lambda found: found.status is Status.WARN)
    row = next(row for row in cells(report, "Tables") if row[0] == table)
    assert (row[3], row[4], row[6]) == ("50,000", "never", "50 % dead rows")
    assert "db vacuum care_test" in report.hints
    done = do("db vacuum care_test")
    assert done.status is Status.OK
    after = until(lambda: do("db tables"), lambda found: found.status is Status.OK or table not in found.summary)
    row = next(row for row in cells(after, "Tables") if row[0] == table)
    assert row[3] == "0"
    assert row[4].endswith("ago")


def test_a_full_vacuum_gives_the_space_back_and_needs_approval(do, sql, systems, table):
    sql("DELETE FROM care_test WHERE id % 10 > 0")
    # A reader that began before the rows went keeps them, MLflow's for example: until it is gone.
    for _ in range(50):
        sql("VACUUM ANALYZE care_test")
        rows = cells(do("db tables"), "Tables")
        if any(row[0] == table and "empty" in row[6] for row in rows):
            break
        time.sleep(0.2)
    assert any(row[0] == table and "empty" in row[6] for row in rows)
    operation = grammar.parse("db vacuum care_test --full")
    assert operation.gated(systems.settings.ops)
    assert not grammar.parse("db vacuum care_test").gated(systems.settings.ops)
    plan = operation.plan(systems)
    assert "it can't be read or written" in plan.warnings[0]
    assert plan.digest == operation.plan(systems).digest
    before = sql("SELECT pg_table_size('care_test')").fetchone()[0]
    assert do("db vacuum care_test --full").status is Status.OK
    assert sql("SELECT pg_table_size('care_test')").fetchone()[0] < before / 5


def test_a_full_vacuum_does_not_queue_behind_a_lock_for_ever(do, url, table, monkeypatch):
    monkeypatch.setattr("workers.systems.postgres.maintenance.LOCK_SECONDS", 1)
    with session(url, "SELECT 1 FROM care_test LIMIT 1"):
        report = do("db vacuum care_test --full")
    assert report.status is Status.FAIL
    assert "another session held the table" in report.summary


def test_progress_is_told_and_a_cancelled_vacuum_leaves_the_server(do, sql, table):
    sql("DELETE FROM care_test WHERE id % 2 = 0")

    class Stops(Unwatched):
        looks = 0
        blocks = ()

        def advance(self, done, total, unit):
            self.blocks = (*self.blocks, (done, total, unit))

        def checkpoint(self):
            self.looks += 1
            if self.looks > 1:
                raise Cancelled

    sql("SET vacuum_cost_delay = 0")
    with pytest.raises(Cancelled) as stopped:
        do("db vacuum care_test", Stops())
    assert "care_test is as it was" in stopped.value.left
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'VACUUM%' AND state = 'active'"
    assert sql(busy).fetchone()[0] == 0


def test_a_long_vacuum_shows_how_many_blocks_are_done(systems, sql, sandbox, table):
    # Slowed down as a busy server would be, so that there is something to look at.
    sql("ALTER ROLE mlflow SET vacuum_cost_delay = 20")
    sql("DELETE FROM care_test WHERE id % 2 = 0")
    told = []
    try:
        systems.maintenance.vacuum("care_test", full=False, how_far=lambda *far: told.append(far))
    finally:
        sql("ALTER ROLE mlflow RESET vacuum_cost_delay")
    assert any(phase and total > 1000 for phase, _, total in told), told
    assert any(0 < done <= total for _, done, total in told)


@pytest.mark.parametrize("words", ["db vacuum metrcs", 'db vacuum "metrics; DROP TABLE runs"', 'db vacuum "a\\"b"'])
def test_a_table_that_is_not_there_is_told_so(do, words):
    with pytest.raises(OperatorError, match="has no table") as told:
        do(words)
    assert told.value.hint in ("Did you mean “metrics”?", "db tables lists them.")


def test_a_table_with_any_name_is_vacuumed(do, sql):
    name = 'Robert"); DROP TABLE runs;--'
    quoted = name.replace('"', '""')
    sql(f'CREATE TABLE "{quoted}" (id int)')
    try:
        assert do(f"db vacuum '{name}'").status is Status.OK
        assert sql("SELECT count(*) FROM runs").fetchone()[0] >= 0
    finally:
        sql(f'DROP TABLE "{quoted}"')


def test_the_list_of_indexes_is_that_of_mlflow(systems, sql):
    wanted = {(each.table, each.name) for each in mlflow_indexes.of(systems.database.schema_revision())}
    there = {(each.table, each.name) for each in systems.maintenance.indexes() if not each.constraint}
    assert {each for each in there if each[0] != "care_test"} == wanted


def test_of_a_schema_that_is_not_known_nothing_is_built(do, sql):
    (revision,) = sql("SELECT version_num FROM alembic_version").fetchone()
    sql("DROP INDEX index_params_run_uuid")
    sql("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    try:
        report = do("db indexes")
        assert not [each for each in report.sections if each.title.startswith("Missing")]
        assert "revision ffffffffffff, which is not known here" in str(report.sections)
        with pytest.raises(OperatorError, match="nothing is built"):
            do("db indexes create")
    finally:
        sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    assert do("db indexes create").status is Status.OK


def test_what_is_missing_is_found_and_built_while_others_write(do, sql):
    assert "none is missing" in do("db indexes").summary
    sql("DROP INDEX index_params_run_uuid")
    sql("DROP INDEX idx_spans_cost_exp_time_cover")
    report = do("db indexes")
    assert report.status is Status.WARN
    assert {row[1] for row in cells(report, "Missing")} == {"index_params_run_uuid", "idx_spans_cost_exp_time_cover"}
    built = do("db indexes create")
    assert (built.status, "index_params_run_uuid" in built.summary) == (Status.OK, True)
    assert "none is missing" in do("db indexes").summary
    assert "No index of MLflow's schema is missing" in do("db indexes create").summary
    assert "is there and valid" in do("db indexes create index_params_run_uuid").summary
    with pytest.raises(OperatorError, match="is not a missing index"):
        do("db indexes create nosuch")


def test_an_index_of_another_name_that_does_the_same_counts(do, sql):
    sql("ALTER INDEX index_params_run_uuid RENAME TO by_hand")
    try:
        assert "none is missing" in do("db indexes").summary
    finally:
        sql("ALTER INDEX by_hand RENAME TO index_params_run_uuid")


def test_an_invalid_leftover_is_cleaned_before_it_is_built_again(do, sql, url, systems):
    sql("DROP INDEX index_params_run_uuid")
    sql("SET statement_timeout = '500ms'")
    with session(url, "LOCK TABLE params IN ROW EXCLUSIVE MODE"), pytest.raises(psycopg.errors.QueryCanceled):
        sql("CREATE INDEX CONCURRENTLY index_params_run_uuid ON params (run_uuid)")
    sql("RESET statement_timeout")
    report = do("db indexes")
    assert [row[1] for row in cells(report, "Invalid")] == ["index_params_run_uuid"]
    plan = grammar.parse("db indexes create").plan(systems)
    assert plan.steps[0] == "Drop the invalid leftover index_params_run_uuid, concurrently"
    assert "Left unfinished: index_params_run_uuid" in grammar.parse("db indexes create").aftermath(systems, plan)
    assert do("db indexes create").status is Status.OK
    assert "none is missing, invalid" in do("db indexes").summary


def test_a_build_that_is_cancelled_leaves_nothing(do, sql, url):
    sql("DROP INDEX index_params_run_uuid")

    class Stops(Unwatched):
        def __init__(self):
            self.ends = time.monotonic() + 1

        def checkpoint(self):
            if time.monotonic() > self.ends:
                released.set()
                raise Cancelled

    released = threading.Event()

    def hold():
        with session(url, "LOCK TABLE params IN ROW EXCLUSIVE MODE"):
            held.set()
            released.wait(20)
            time.sleep(1)

    held = threading.Event()
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    with pytest.raises(Cancelled, match="nothing is left of index_params_run_uuid") as stopped:
        do("db indexes create", Stops())
    holder.join()
    assert stopped.value.left.startswith("0 of 1 are built")
    assert sql("SELECT count(*) FROM pg_class WHERE relname = 'index_params_run_uuid'").fetchone()[0] == 0
    assert do("db indexes create").status is Status.OK


def test_indexes_that_do_the_same_work_are_told(do, sql, table):
    sql("CREATE INDEX care_one ON care_test (id)")
    sql("CREATE INDEX care_two ON care_test (id)")
    sql("CREATE INDEX care_other ON care_test (id) WHERE id > 5")
    report = do("db indexes")
    assert [row[1] for row in cells(report, "Doing the same work")] == ["care_one, care_two"]
    assert "1 index there twice" in report.summary
    assert {"care_one", "care_two", "care_other"} <= {row[1] for row in cells(report, "Never used")}


def test_activity_shows_who_waits_for_whom_and_no_values(do, url, table):
    secret = "hunter2-of-the-customer"
    with psycopg.connect(url, application_name="reader") as waiter:
        pid = waiter.info.backend_pid
        query = f"SELECT * FROM care_test WHERE filler = '{secret}' AND id < 0"
        thread = threading.Thread(target=lambda: waiter.execute(query))
        with session(url, "LOCK TABLE care_test"):
            thread.start()
            report = until(lambda: do("db activity"), lambda found: found.status is Status.WARN)
        thread.join()
    holder = cells(report, "Locks")[0][3]
    assert f"1 session waits for a lock: pid {pid} (reader)" in report.summary
    assert "(trainer, idle in transaction)" in report.summary
    assert report.hints == (f"db cancel {holder} --dry-run",)
    assert cells(report, "Locks")[0][1:3] == ("care_test", "AccessShare")
    work = {row[2]: row[5] for row in cells(report, "At work")}
    assert work["reader"] == "SELECT * FROM care_test WHERE filler = '…' AND id < 0"
    assert secret not in report.model_dump_json()
    assert {"reader", "trainer"} <= {row[0] for row in cells(report, "Connections")}


def test_an_idle_transaction_is_ended_and_not_cancelled(do, url, systems, table):
    with psycopg.connect(url, application_name="forgotten") as forgotten:
        forgotten.execute("LOCK TABLE care_test")
        pid = forgotten.info.backend_pid
        with pytest.raises(OperatorError, match="its transaction is open and idle") as told:
            do(f"db cancel {pid}")
        assert told.value.hint == f"End it with its transaction: db cancel {pid} --end."
        operation = grammar.parse(f"db cancel {pid} --end")
        assert operation.gated(systems.settings.ops)
        assert operation.risk is Risk.CHANGE
        assert do(f"db cancel {pid} --end").status is Status.OK
        with pytest.raises(psycopg.OperationalError):
            forgotten.execute("SELECT 1")
    with pytest.raises(OperatorError, match="no client session with the pid"):
        do(f"db cancel {pid}")


def test_a_query_is_cancelled_and_only_that_one(do, url, systems):
    with psycopg.connect(url, autocommit=True, application_name="trainer") as busy:
        pid = busy.info.backend_pid

        def sleep(seconds):
            with pytest.raises(psycopg.errors.QueryCanceled):
                busy.execute(f"SELECT pg_sleep({seconds})")

        assert "is idle" in do(f"db cancel {pid}").summary
        first = threading.Thread(target=sleep, args=(60,))
        first.start()
        operation = grammar.parse(f"db cancel {pid}")
        seen = until(
            systems.maintenance.sessions, lambda found: any(s.pid == pid and s.state == "active" for s in found)
        )
        plan = operation.plan(systems)
        assert "pg_sleep(60)" in plan.summary
        assert plan.digest == operation.plan(systems).digest
        assert do(f"db cancel {pid}").status is Status.OK
        first.join(20)
        second = threading.Thread(target=sleep, args=(61,))
        second.start()
        until(
            systems.maintenance.sessions,
            lambda found: any("sleep(61)" in s.query and s.state == "active" for s in found),
        )
        (old,) = [each for each in seen if each.pid == pid]
        assert not systems.maintenance.signal(old, end=False)
        assert operation.plan(systems).digest != plan.digest
        assert do(f"db cancel {pid}").status is Status.OK
        second.join(20)


def test_a_session_of_another_role_needs_the_admin(do, sandbox, systems):
    other = sandbox.env["MLFLOW_OPS_DATABASE_ADMIN_URL"]
    with psycopg.connect(other, application_name="elsewhere") as admin:
        pid = admin.info.backend_pid
        admin.execute("SELECT 1")
        alone = Systems(settings.load({k: v for k, v in sandbox.process_env.items() if "ADMIN_URL" not in k}))
        with pytest.raises(OperatorError, match="only that one or an admin may cancel it"):
            grammar.parse(f"db cancel {pid} --end").plan(alone)
        assert do(f"db cancel {pid} --end").status is Status.OK
        with pytest.raises(psycopg.OperationalError):
            admin.execute("SELECT 1")


def test_stats_are_one_overview(do, sql, systems):
    # A session as MLflow's: of its role, with no name of its own.
    with psycopg.connect(systems.settings.environment.database_url.get_secret_value()):
        report = do("db stats")
    facts = dict(report.sections[0].items)
    assert facts["version"].startswith("PostgreSQL ")
    assert facts["invalid indexes"] == "none"
    assert " of " in facts["connections"]
    (picture,) = report.attachments
    assert base64.b64decode(picture.content).startswith(b"\x89PNG")
    largest, total, _ = next(section for section in do("db size").sections if section.kind == "table").rows[0]
    assert picture.alt.startswith(f"The database in one picture. Largest tables: {largest} {total}, ")
    assert re.search(r"Connections, of \d+: .*mlflow \d+", picture.alt)


def test_where_nobody_answers_it_is_said(sandbox, free_port):
    url = f"postgresql://mlflow:hunter2secret@127.0.0.1:{free_port}/mlflow"
    lost = Systems(settings.load({**sandbox.process_env, "MLFLOW_OPS_DATABASE_URL": url}))
    for words in ("db size", "db tables", "db indexes", "db activity", "db stats"):
        with pytest.raises(DatabaseUnreachable, match="refuses connections") as told:
            performing.perform_here(grammar.parse(words), words, "olga", lost, Unwatched())
        assert "hunter2" not in str(told.value)


def test_a_role_that_does_not_own_a_table_may_not_vacuum_it(sandbox, systems):
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as owner:
        assert not [each for each in systems.maintenance.tables() if not each.ours]
        assert owner.execute("SELECT current_user").fetchone()[0] == "mlflow"
    assert issubclass(DatabaseRefused, OperatorError)


@pytest.mark.parametrize(
    ("query", "bare"),
    [
        ("SELECT 1", "SELECT 1"),
        ("ALTER ROLE x PASSWORD 'hunter2'", "ALTER ROLE x PASSWORD '…'"),
        ("SELECT 'it''s' , $$secret$$, $a$ se'cret $a$, E'a\\'secret'", "SELECT '…' , '…', '…', '…'"),
        ("INSERT INTO t VALUES ('cut off in the mid", "INSERT INTO t VALUES ('…'"),
        ("SELECT /* key: secret */ 1 -- secret", "SELECT 1"),
        ("SELECT\n\t1", "SELECT 1"),
    ],
)
def test_values_of_queries_are_not_shown(query, bare):
    assert shown_query(query) == bare
