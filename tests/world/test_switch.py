"""The switch among everything that may be in a database: who is in its way is named, and nobody is shut out."""

import os
import random
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise

import psycopg
import pytest
import yaml

from commands import grammar
from mlflow_ops_sandbox.slack.controls import wait_for
from tests.world.conftest import OURS, OWNER
from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Unwatched
from workers.operations.health import postgres
from workers.operations.health.questions import Asking
from workers.operations.restore import switching
from workers.report import Status
from workers.systems.errors import DatabaseOccupied
from workers.systems.postgres import switch
from workers.systems.postgres.switch import Names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.parametrize("live", ["public"], indirect=True, ids=["in_public"]),
]

SEEDS = 30
ACTIVE = "SELECT active_pid FROM pg_replication_slots WHERE active"
SHUT_OUT_SECONDS = 60


@pytest.fixture
def fresh(server, live):
    """A database to switch to, which says that it is."""
    name = f"{live}_restore_abcdef"
    server.do(f"CREATE DATABASE {name} OWNER {OWNER}")
    server.do("CREATE TABLE fresh (n int)", role=OWNER, database=name)
    return name


@pytest.fixture
def names(live, fresh):
    return Names(live, fresh, f"{live}_before_abcdef")


@pytest.fixture
def systems(made, tmp_path):
    """Systems that are soon out of patience."""
    ops = tmp_path / "ops.yaml"
    ops.write_text(yaml.safe_dump({"restore": {"switch_seconds": 1}}))
    return made(MLFLOW_OPS_CONFIG=str(ops))


def is_fresh(server, name):
    return server.do("SELECT to_regclass('fresh') IS NOT NULL", role=OWNER, database=name) == [(True,)]


def left_as_it_was(server, names):
    assert not is_fresh(server, names.live)
    assert is_fresh(server, names.fresh)


@contextmanager
def clients(server, live, number=8):
    """Clients that connect, ask, and connect again at once; yields when each could get in, seconds since the start."""
    stop, came = threading.Event(), []

    def work():
        while not stop.is_set():
            with (
                suppress(psycopg.Error),
                psycopg.connect(server.url(OWNER, live), autocommit=True, connect_timeout=30) as connection,
            ):
                connection.execute("SELECT 1")
                came.append(time.monotonic())
                connection.execute("SELECT pg_sleep(0.02)")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for each in threads:
        each.start()
    wait_for(lambda: len(came) > number, 20)
    try:
        yield came
    finally:
        stop.set()
        for each in threads:
            each.join(30)


def longest_without(came, since):
    """The longest time, from a moment on, in which nobody could get in."""
    moments = [since, *sorted(each for each in came if each > since), time.monotonic()]
    return max(later - earlier for earlier, later in pairwise(moments))


def test_eight_clients_that_reconnect_at_once(systems, server, names):
    with clients(server, names.live) as came:
        since = time.monotonic()
        gap = switching.do(systems, names, {names.live: "restored", names.aside: "put aside"})
        wait_for(lambda: any(each > since + gap + 0.2 for each in came), 20)
        shut_out = longest_without(came, since)
    assert is_fresh(server, names.live)
    assert gap < 5
    assert shut_out < gap + 2
    known = systems.server.databases()
    assert known[names.live].open
    assert not known[names.aside].open
    assert (known[names.live].comment, known[names.aside].comment) == ("restored", "put aside")


def test_and_back_again_although_the_one_put_aside_is_closed(systems, server, names):
    switching.do(systems, names, {})
    switching.do(systems, Names(names.live, names.aside, names.fresh), {})
    assert not is_fresh(server, names.live)
    assert systems.server.databases()[names.live].open


def test_an_idle_superuser_is_named_and_nobody_is_disturbed_for_it(systems, server, names):
    with (
        psycopg.connect(server.url("postgres", names.live), autocommit=True, application_name="a dba's psql") as dba,
        psycopg.connect(server.url(OWNER, names.live), autocommit=True) as user,
    ):
        pid = dba.info.backend_pid
        words = rf"session {pid} of postgres \(a dba's psql\)"
        with pytest.raises(OperatorError, match=rf"cannot be switched while it is in use by {words}") as told:
            switching.refuse_obstacles(systems)
        assert f"pg_terminate_backend({pid})" in told.value.hint
        with pytest.raises(DatabaseOccupied, match=rf"was still in use after 1 s: {words}"):
            switching.do(systems, names, {})
        user.execute("SELECT 1")
        left_as_it_was(server, names)
    assert switching.refuse_obstacles(systems) == ()
    switching.do(systems, names, {})
    assert is_fresh(server, names.live)


def test_since_when_somebody_is_there_is_told_to_who_may_know_it(systems, server, names):
    server.do(f"GRANT pg_read_all_stats TO {OURS}")
    try:
        with (
            psycopg.connect(server.url("postgres", names.live)),
            pytest.raises(OperatorError, match=r"session \d+ of postgres, connected \d s ago"),
        ):
            switching.refuse_obstacles(systems)
    finally:
        server.do(f"REVOKE pg_read_all_stats FROM {OURS}")


def test_a_colleagues_session_needs_a_right_that_is_named(systems, server, names):
    server.do("CREATE ROLE colleague LOGIN")
    with psycopg.connect(server.url("colleague", names.live)):
        with pytest.raises(OperatorError, match=r"session \d+ of colleague") as told:
            switching.refuse_obstacles(systems)
        assert "GRANT pg_signal_backend" in told.value.hint
        server.do(f"GRANT pg_signal_backend TO {OURS}")
        assert switching.refuse_obstacles(systems) == ()
        switching.do(systems, names, {})
    server.do(f"REVOKE pg_signal_backend FROM {OURS}", "DROP ROLE colleague")
    assert is_fresh(server, names.live)


def test_whoever_is_there_for_a_moment_is_in_nobodys_way(systems, server, names):
    exporter = psycopg.connect(server.url("postgres", names.live))
    threading.Timer(0.5, exporter.close).start()
    assert switching.refuse_obstacles(systems) == ()
    exporter = psycopg.connect(server.url("postgres", names.live))
    threading.Timer(0.5, exporter.close).start()
    switching.do(systems, names, {})
    assert is_fresh(server, names.live)


def test_a_prepared_transaction_is_named(systems, server, names):
    server.do(
        "BEGIN", "CREATE TABLE held (n int)", "PREPARE TRANSACTION 'left-by-a-job'", role=OWNER, database=names.live
    )
    with pytest.raises(OperatorError, match=rf"prepared transaction 'left-by-a-job' of {OWNER}, \d+ s old") as told:
        switching.refuse_obstacles(systems)
    assert "ROLLBACK PREPARED 'left-by-a-job'" in told.value.hint
    with pytest.raises(DatabaseOccupied, match="left-by-a-job"):
        switching.do(systems, names, {})
    left_as_it_was(server, names)
    server.do("ROLLBACK PREPARED 'left-by-a-job'", role=OWNER, database=names.live)
    assert switching.refuse_obstacles(systems) == ()


def test_a_slot_stays_behind_and_its_reader_is_in_the_way(systems, server, names):
    server.do("SELECT pg_create_logical_replication_slot('debezium', 'pgoutput')", database=names.live)
    try:
        (warning,) = switching.refuse_obstacles(systems)
        assert warning.startswith("logical slot debezium")
        assert "pg_drop_replication_slot('debezium')" in warning
        reader = subprocess.Popen(
            [server.programs / "pg_recvlogical", "-d", server.url("postgres", names.live), "--slot=debezium", "--start",
             "-f", "-", "-o", "proto_version=1", "-o", "publication_names=p"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            (pid,) = wait_for(lambda: server.do(ACTIVE) or None, 20)[0]
            with pytest.raises(OperatorError, match=rf"session {pid} of postgres \(pg_recvlogical\)"):
                switching.refuse_obstacles(systems)
        finally:
            reader.kill()
            reader.wait()
        wait_for(lambda: not server.do(ACTIVE) or None, 20)
        switching.do(systems, names, {})
        assert is_fresh(server, names.live)
    finally:
        server.do("SELECT pg_drop_replication_slot('debezium')")


def test_a_subscription_writes_into_the_old_one(systems, server, names):
    server.do(
        "CREATE SUBSCRIPTION copy CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p "
        "WITH (connect = false, enabled = false, slot_name = NONE)",
        database=names.live,
    )
    (warning,) = switching.refuse_obstacles(systems)
    assert warning.startswith("subscription copy of postgres: It stays with the previous database")
    server.do("ALTER SUBSCRIPTION copy SET (slot_name = 's')", "ALTER SUBSCRIPTION copy ENABLE", database=names.live)
    try:
        with pytest.raises(OperatorError, match="subscription copy of postgres") as told:
            switching.refuse_obstacles(systems)
        assert "ALTER SUBSCRIPTION copy DISABLE;" in told.value.hint
    finally:
        server.do(
            "ALTER SUBSCRIPTION copy DISABLE",
            "ALTER SUBSCRIPTION copy SET (slot_name = NONE)",
            "DROP SUBSCRIPTION copy",
            database=names.live,
        )


@pytest.fixture
def busy_autovacuum(server):
    """Autovacuum looks every second."""
    server.do("ALTER SYSTEM SET autovacuum_naptime = '1s'", "SELECT pg_reload_conf()")
    yield
    server.do("ALTER SYSTEM RESET autovacuum_naptime", "SELECT pg_reload_conf()")


def test_autovacuum_steps_aside(systems, server, names, busy_autovacuum):
    server.do(
        "CREATE TABLE loaded (n int, note text) WITH (autovacuum_vacuum_cost_delay = 100, "
        "autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0)",
        "INSERT INTO loaded SELECT n, 'row' FROM generate_series(1, 2500000) n",
        "DELETE FROM loaded WHERE n % 10 = 0",
        role=OWNER,
        database=names.live,
    )
    busy = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{names.live}' AND backend_type = 'autovacuum worker'"
    wait_for(lambda: server.do(busy) or None, 60)
    assert switching.refuse_obstacles(systems) == ()
    gap = switching.do(systems, names, {})
    assert is_fresh(server, names.live)
    assert gap < 5


class Stops(dict):
    """Comments that have our process stop in the middle of the switch, as with its machine."""

    def items(self):
        os.kill(os.getpid(), signal.SIGSTOP)
        return super().items()


def begun(work):
    """A process of ours that does this."""
    child = os.fork()
    if child:
        return child
    with suppress(BaseException):
        work()
    os._exit(0)


def killed(child):
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_worker_that_vanishes_with_its_machine_is_given_up_by_the_server(systems, server, names):
    child = begun(lambda: switching.do(systems, names, Stops({names.live: "never written"})))
    os.waitpid(child, os.WUNTRACED)
    try:
        began = time.monotonic()
        with psycopg.connect(server.url(OWNER, names.live), connect_timeout=60) as connection:
            connection.execute("SELECT 1")
        assert time.monotonic() - began < switch.IDLE_SECONDS + 5
        left_as_it_was(server, names)
    finally:
        killed(child)


def test_killed_twice_in_the_switch_nobody_is_shut_out(systems, server, names):
    """Each seed: the switch killed at some moment, then the look at what it has left killed as well."""
    trio = [names.live, names.fresh, names.aside]
    outcomes, longest = set(), 0.0
    with clients(server, names.live, 3) as came:
        for seed in range(SEEDS):
            chance = random.Random(seed)
            since = time.monotonic()
            told = {trio[0]: "restored", trio[2]: "put aside"}
            child = begun(partial(switching.do, systems, Names(*trio), told))
            time.sleep(chance.uniform(0, 0.35))
            killed(child)
            child = begun(lambda: switching.repair(systems.server, names.live))
            time.sleep(chance.uniform(0, 0.05))
            killed(child)
            seen = time.monotonic()
            wait_for(lambda seen=seen: any(each > seen for each in came) or None, SHUT_OUT_SECONDS)
            longest = max(longest, longest_without(came, since))
            there = set(systems.server.databases()) & set(trio)
            assert names.live in there, f"seed {seed}: {there}"
            assert systems.server.databases()[names.live].open, f"seed {seed}"
            switched = trio[2] in there
            outcomes.add(switched)
            if switched:
                # The one put aside is the next one that is switched to.
                trio = [trio[0], trio[2], trio[1]]
    assert longest < SHUT_OUT_SECONDS, longest
    assert outcomes == {True, False}, outcomes
    print(f"PostgreSQL {server.major}: at most {longest:.1f} s without anybody in over {SEEDS} seeds")  # noqa: T201


def test_a_database_that_is_closed_is_told_by_health_and_opened_with_one_press(systems, server, live):
    server.do(f"ALTER DATABASE {live} WITH ALLOW_CONNECTIONS false")
    asking = Asking(systems, 30)
    try:
        answer = postgres.ask(asking)
    finally:
        asking.close()
    assert answer.status is Status.FAIL
    (offer,) = answer.offers
    operation = grammar.parse(offer.command)
    assert operation.plan(systems).changes == (
        Change(what=f"database {live}", before="closed to sessions", after="open"),
    )
    assert operation.run(systems, Unwatched()).status is Status.OK
    server.do("SELECT 1", role=OWNER, database=live)
    with pytest.raises(AlreadySo):
        operation.plan(systems)


def test_a_database_that_was_left_closed_is_opened_by_the_next_look(systems, server, live):
    server.do(f"ALTER DATABASE {live} WITH ALLOW_CONNECTIONS false")
    assert "had been closed to sessions, and is open again" in switching.mended(systems)
    assert switching.mended(systems) == ""
    server.do("SELECT 1", role=OWNER, database=live)
