"""Back to any second with CloudNativePG's backups: a real server's archive, recovered for real by the stand-in."""

import threading
import time
from datetime import timedelta

import pytest

from tests.workers.operations.backup.wal.conftest import add_run, now, purged_experiment, runs, until
from tests.workers.operations.cloudnativepg.cnpg_operator import LIVE
from tests.world.conftest import OURS, OWNER, TABLES
from workers.errors import OperatorError
from workers.operation import Cancelled, Unwatched
from workers.operations.backup.wal import access, drilled
from workers.operations.cloudnativepg import archived, beside
from workers.operations.health import recovery
from workers.operations.health.questions import Asking
from workers.operations.preflight import recovery as preflight
from workers.operations.restore import moment, rows, side_database
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill_moment import DrillMoment
from workers.operations.restore.undo import RestoreUndo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECOND = f"{LIVE}-moment"


def left(api, operator):
    """What is there of a second Cluster."""
    return [name for _, name in api.objects if name.startswith(SECOND)] + list(operator.running)


@pytest.fixture
def backed(cnpg, operator, server, live):
    """The same, once there is a backup with MLflow's database in it."""
    operator.backup()
    time.sleep(2.1)  # a Cluster's status says seconds, so it is sure of the next one only
    return cnpg


def test_restore_to_a_moment_has_what_was_committed_then_and_undo_goes_back(
    backed, api, operator, server, live, progress
):
    add_run(server, live, "run 1")
    between = add_run(server, live, "run 2")
    time.sleep(0.05)
    server.do("DELETE FROM metrics", "DELETE FROM runs", role=OWNER, database=live)
    add_run(server, live, "run 3")

    operation = RestoreDatabase(at=between)
    plan = operation.plan(backed)
    assert any(f"recover cluster/{SECOND}" in step for step in plan.steps)
    report = operation.run(backed, progress)

    assert runs(server, live) == ["run 1", "run 2"]
    assert server.do("SELECT count(*) FROM metrics", role=OWNER, database=live) == [(30000,)]
    assert "as it was at" in report.summary
    assert left(api, operator) == []
    RestoreUndo().run(backed, progress)
    assert runs(server, live) == ["run 3"]
    rules = {number for number, _ in api.used}
    logs = {number for number, rule in enumerate(api.rules) if {"pods", "pods/log"} & set(rule["resources"])}
    assert rules | logs == set(range(len(api.rules))), "the Role has what nobody uses"


def test_a_moment_after_the_last_commit_is_reached_too(backed, server, live, progress):
    add_run(server, live, "run 1")
    time.sleep(0.3)
    quiet = now(server)

    RestoreDatabase(at=quiet, beside="mlflow_then").run(backed, progress)

    assert runs(server, "mlflow_then") == ["run 1"]


def test_with_the_backups_of_before_the_plugin(backed, operator, server, live, progress):
    store = {"destinationPath": "s3://backups/", "s3Credentials": {"inheritFromIAMRole": True}}
    del operator.api.objects["clusters", LIVE]["spec"]["plugins"]
    operator.api.objects["clusters", LIVE]["spec"]["backup"] = {"barmanObjectStore": store}
    operator.tell()
    at = add_run(server, live, "run 1")
    add_run(server, live, "run 2")

    RestoreDatabase(at=at, beside="mlflow_then").run(backed, progress)

    assert runs(server, "mlflow_then") == ["run 1"]


def test_a_purged_experiment_comes_back_and_later_runs_of_others_stay(backed, api, operator, server, live, progress):
    there = purged_experiment(server, live)
    add_run(server, live, "run later")

    with (
        moment.taken(backed, moment.choose(backed, there), progress) as found,
        side_database.restored_beside(backed, found, progress, side_database.ROWS) as side,
    ):
        rows.copy(side, backed.database, ("experiments", "experiment_id"), 77, progress)

    assert runs(server, live) == ["run churn", "run later"]
    assert left(api, operator) == []


def test_a_drill_of_a_random_moment_leaves_nothing_but_its_result(backed, api, operator, server, live, progress):
    add_run(server, live, "run 1")

    report = DrillMoment().run(backed, progress)

    assert report.status == "ok"
    assert "Drill passed" in report.summary
    assert left(api, operator) == []
    assert drilled.last(access.archive(backed, access.places_of(operator.system))).well
    asking = Asking(backed, 10.0)
    answer = recovery.ask(asking)
    asking.close()
    assert answer.figures["drill_well"] == 1.0


def test_a_database_that_was_not_there_then_is_not_an_empty_one(backed, api, operator, server, live, progress):
    server.do(f"DROP DATABASE {live} WITH (FORCE)")
    early = now(server)
    server.do(f"CREATE DATABASE {live} OWNER {OWNER}")
    server.do(TABLES, role=OWNER, database=live)
    chosen = moment.choose(backed, early)
    with pytest.raises(OperatorError, match="wasn't there"), moment.taken(backed, chosen, progress):
        pass
    assert left(api, operator) == []


def test_moments_that_cannot_be_reached_are_refused_with_those_that_can(cnpg, operator, server, live):
    early = now(server)
    with pytest.raises(OperatorError, match="no completed backup"):
        RestoreDatabase(at=early).plan(cnpg)
    time.sleep(1.1)
    operator.backup()
    with pytest.raises(OperatorError, match="begins at"):
        RestoreDatabase(at=early).plan(cnpg)
    with pytest.raises(OperatorError, match="can't be brought back"):
        RestoreDatabase(at=now(server) + timedelta(hours=1)).plan(cnpg)


def test_what_the_operator_does_not_recover_is_told_in_its_words_and_removed(
    backed, api, operator, server, live, progress, monkeypatch
):
    at = add_run(server, live, "run 1")
    # Nothing is committed after it, and so PostgreSQL never gets there.
    monkeypatch.setattr(archived, "until_now", lambda *_: server.do("SELECT pg_switch_wal()"))
    chosen = moment.choose(backed, at + timedelta(microseconds=1))
    early = pytest.raises(OperatorError, match="recovery ended before configured recovery target")
    with early, moment.taken(backed, chosen, progress):
        pass
    until(lambda: left(api, operator) == [])


def test_what_a_killed_worker_left_is_removed_by_the_next(backed, api, operator, server, live, progress):
    at = add_run(server, live, "run 1")
    chosen = moment.choose(backed, at)
    archived.until_now(backed.admin_database, progress)
    killed = beside.recovered(backed, chosen.source.of, chosen.to, progress)
    killed.__enter__()
    assert SECOND in operator.running

    RestoreDatabase(at=at, beside="mlflow_then").run(backed, progress)
    assert runs(server, "mlflow_then") == ["run 1"]
    assert left(api, operator) == []

    again = beside.recovered(backed, chosen.source.of, chosen.to, progress)
    again.__enter__()
    assert SECOND in operator.running
    assert "Nothing had been changed" in _aftermath(RestoreDatabase(at=at), backed)
    until(lambda: left(api, operator) == [])


def _aftermath(operation, systems):
    return operation.aftermath(systems, operation.plan(systems))


def test_a_cluster_of_somebody_elses_with_that_name_stays(backed, api, operator, server, live, progress):
    at = add_run(server, live, "run 1")
    theirs = {"metadata": {"name": SECOND, "labels": {"mlflow-ops/purpose": "moment", "mlflow-ops/target": "other"}}}
    api.objects["clusters", SECOND] = theirs
    with pytest.raises(OperatorError, match="isn't this MLflow's"):
        RestoreDatabase(at=at, beside="mlflow_then").run(backed, progress)
    moment.clear(backed)
    assert api.get("clusters", SECOND) is theirs


def test_stopped_while_it_waits_nothing_is_left(backed, api, operator, server, live):
    operator.hold.clear()

    class Stopped(Unwatched):
        def checkpoint(self):
            if SECOND in operator.running:
                raise Cancelled

    at = add_run(server, live, "run 1")
    with pytest.raises(Cancelled):
        RestoreDatabase(at=at, beside="mlflow_then").run(backed, Stopped())
    assert left(api, operator) == []


def test_the_api_server_may_be_away_meanwhile(backed, api, operator, server, live, progress):
    operator.hold.clear()
    at = add_run(server, live, "run 1")

    def away():
        until(lambda: SECOND in operator.running)
        api.down = True
        time.sleep(3)
        api.down = False
        operator.hold.set()

    thread = threading.Thread(target=away)
    thread.start()
    RestoreDatabase(at=at, beside="mlflow_then").run(backed, progress)
    thread.join()
    assert runs(server, "mlflow_then") == ["run 1"]


def test_a_quiet_server_whose_segments_nobody_ends_is_said_before(backed, server, live):
    server.do(f"REVOKE EXECUTE ON FUNCTION pg_switch_wal() FROM {OURS}")
    try:
        with pytest.raises(OperatorError, match="archive_timeout is 0") as caught:
            RestoreDatabase(at=now(server)).plan(backed)
        assert "GRANT EXECUTE" in caught.value.hint
    finally:
        server.do(f"GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {OURS}")


def asked(question, systems):
    """What health or check answers."""
    asking = Asking(systems, 10.0)
    try:
        return question.ask(asking)
    finally:
        asking.close()


def test_check_says_what_is_missing(cnpg, api, operator, server, live):
    api.installed = False
    with pytest.raises(OperatorError, match="isn't installed"):
        asked(preflight, cnpg)
    api.installed = True
    rules, api.rules = api.rules, [each for each in api.rules if "delete" not in each["verbs"]]
    answer = asked(preflight, cnpg)
    assert answer.status == "fail"
    assert f"delete clusters/{SECOND}" in answer.sentence
    api.rules = rules
    with pytest.raises(OperatorError, match="no completed backup"):
        asked(preflight, cnpg)
    operator.backup()
    assert asked(preflight, cnpg).status == "ok"
    spec = api.get("clusters", LIVE)["spec"]
    plugins = spec.pop("plugins")
    with pytest.raises(OperatorError, match="no backups in an object store"):
        asked(preflight, cnpg)
    spec["plugins"] = plugins
    api.drop("clusters", LIVE)
    with pytest.raises(OperatorError, match="There is no CloudNativePG Cluster"):
        asked(preflight, cnpg)


def test_health_sees_an_archive_that_fails(backed, api, server, live):
    assert asked(recovery, backed).status == "warn"  # archive_timeout is 0
    server.do("ALTER SYSTEM SET archive_timeout = 300", "SELECT pg_reload_conf()")
    until(lambda: server.do("SHOW archive_timeout") == [("5min",)])
    try:
        good = asked(recovery, backed)
        assert good.status == "ok", good
        assert good.figures["point_seconds"] <= 300
        condition = api.get("clusters", LIVE)["status"]["conditions"][0]
        condition |= {"status": "False", "message": "unexpected failure"}
        assert asked(recovery, backed).status == "fail"
    finally:
        server.do("ALTER SYSTEM RESET archive_timeout", "SELECT pg_reload_conf()")
