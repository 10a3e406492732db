"""Why a container died: its end, its last words, the events about it, and what was changed before."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import redaction, settings
from workers.operations.health import changes_before, death, logs, pods
from workers.records import audit_log
from workers.records.record import Record
from workers.records.store import asked
from workers.report import Facts, Status, Text
from workers.systems.errors import ClusterForbidden, ClusterNotReady

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
TOLD = settings.load({})


def ago(**before):
    return (NOW - timedelta(**before)).isoformat().replace("+00:00", "Z")


def pod(state=None, last=None, *, name="mlflow-5d9c7b6f4-x7k2p", container="mlflow", init=False, unwell=None, **status):
    """A pod with one container. unwell: since when it is not ready."""
    found = {"name": container, "ready": unwell is None, "restartCount": 4, "image": "mlflow:v1", **status}
    found |= {"state": state or {"running": {"startedAt": ago(seconds=30)}}, "lastState": last or {}}
    spec = {"name": container, "image": "mlflow:v1", "resources": {"limits": {"memory": "4Gi"}}}
    ready = {
        "type": "Ready",
        "status": "True" if unwell is None else "False",
        "lastTransitionTime": unwell or ago(hours=9),
    }
    kind = "initContainer" if init else "container"
    return {
        "metadata": {"name": name, "ownerReferences": [{"uid": "new"}], "creationTimestamp": ago(hours=9)},
        "spec": {"containers": [spec] if not init else [], "initContainers": [spec] if init else []},
        "status": {"phase": "Running", f"{kind}Statuses": [found], "conditions": [ready]},
    }


def ended(reason="OOMKilled", code=137, **before):
    end = {
        "reason": reason,
        "exitCode": code,
        "startedAt": ago(minutes=9),
        "finishedAt": ago(**(before or {"seconds": 40})),
    }
    return {"terminated": end}


@pytest.mark.parametrize(
    ("reason", "code", "said"),
    [
        ("OOMKilled", 137, "was killed for memory (OOMKilled, exit code 137, SIGKILL), at its limit of 4Gi"),
        ("OOMKilled", 0, "was killed for memory (OOMKilled, exit code 0), at its limit of 4Gi"),
        ("Error", 137, "was ended by SIGKILL (Error, exit code 137)"),
        ("Error", 143, "was ended by SIGTERM (Error, exit code 143)"),
        ("Error", 139, "was ended by SIGSEGV (Error, exit code 139)"),
        ("Error", 1, "ended with exit code 1 (Error)"),
        ("", 3, "ended with exit code 3 (ended)"),
        ("ContainerStatusUnknown", 255, "ended with exit code 255 (ContainerStatusUnknown)"),
        ("Completed", 0, None),
    ],
)
def test_how_it_ended(reason, code, said):
    for state, last in ((ended(reason, code), None), (None, ended(reason, code))):
        found = death.deaths(pod(state, last))
        assert [each.how for each in found] == ([said] if said else [])
        assert all(each.replaced == (last is not None) for each in found)


def test_the_memory_limit_is_that_of_the_pod_then_and_not_the_deployments_now():
    (found,) = death.deaths(pod(last=ended(), resources={"limits": {"memory": "6Gi"}}))
    assert found.memory_limit == "6Gi"
    without = pod(last=ended())
    del without["spec"]["containers"][0]["resources"]
    assert death.deaths(without)[0].how.endswith("with no memory limit of its own")


def test_an_init_container_dies_too_and_the_newest_death_is_told():
    init = pod(
        {"waiting": {"reason": "CrashLoopBackOff"}}, ended("Error", 1, seconds=9), container="migrate", init=True
    )
    assert death.deaths(init)[0].container == "migrate"
    assert pods.read(init, NOW).trouble == "CrashLoopBackOff"
    older = pod(last=ended(seconds=50), name="mlflow-older")
    assert death.latest([older, init], NOW).pod == init["metadata"]["name"]
    assert death.latest([pod(last=ended(hours=2))], NOW) is None
    unready = pod(last=ended(seconds=30), name="mlflow-unready", unwell=ago(seconds=30))
    assert death.latest([pod(last=ended(seconds=5)), unready], NOW).pod == "mlflow-unready"
    # One that is still down says more than one that died later and runs again.
    again = pod(last=ended(seconds=5), name="mlflow-again")
    assert death.latest([again, init], NOW).pod == init["metadata"]["name"]


EVENTS = [
    {
        "reason": "BackOff",
        "message": "Back-off restarting failed container",
        "type": "Warning",
        "lastTimestamp": ago(seconds=20),
    },
    {
        "reason": "Killing",
        "message": "Container mlflow failed liveness probe, will be restarted",
        "lastTimestamp": ago(seconds=41),
    },
]


LONG_AGO = ago(days=9)


class Cluster:
    """Knows one pod's past. refused: what it may not tell."""

    def __init__(self, *, lines=(), told=EVENTS, refused=(), sets=(), written=LONG_AGO):
        self.lines, self.told, self.refused, self.sets, self.written = lines, told, refused, sets, written
        self.asked = []

    def _may(self, what):
        if what in self.refused:
            raise ClusterForbidden(f"Our account may not list {what}.")

    def log_lines(self, name, container, *, previous=False, **given):
        self.asked.append((name, container, previous))
        if "gone" in self.refused:
            raise ClusterNotReady("Kubernetes: previous terminated container not found.")
        return iter([f"2026-11-30T11:59:{second:02}.5Z {line}" for second, line in enumerate(self.lines)])

    def every(self, kind):
        self._may(kind)
        about = {"kind": "Pod", "name": "mlflow-5d9c7b6f4-x7k2p"}
        others = [{**EVENTS[0], "involvedObject": {"kind": "Pod", "name": "other"}}]
        return [{**each, "involvedObject": about} for each in self.told] + others

    def replica_sets(self, selector):
        self._may("replicasets")
        return self.sets

    def _object(self, name, manager):
        self._may(name)
        fields = [
            {"manager": manager, "time": self.written},
            {"manager": "kube-controller-manager", "time": ago(minutes=1)},
            {"manager": "kubectl", "time": ago(minutes=1), "subresource": "status"},
        ]
        return {"metadata": {"name": name, "managedFields": fields}}

    def configmap(self, name):
        return self._object(name, "kubectl-edit")

    def secret(self, name):
        return self._object(name, "vault")

    def deployment(self, name):
        return self._object(name, "helm")


def told(cluster, of=None, given=TOLD):
    (found,) = death.deaths(of or pod(last=ended("Error", 1)))
    return death.inquire(found, cluster, given, death.at_once)


def facts(inquest):
    return dict(next(each for each in inquest.sections(NOW) if isinstance(each, Facts)).items)


def test_its_last_words_are_those_before_the_restart_and_the_last_error_is_told():
    lines = [f"INFO request {number}" for number in range(30)]
    lines += [
        "Traceback (most recent call last):",
        '  File "x.py", line 1',
        "sqlalchemy.exc.OperationalError: no database",
    ]
    cluster = Cluster(lines=[*lines, "ERROR:    Application startup failed. Exiting."], told=EVENTS[:1])
    inquest = told(cluster)
    assert cluster.asked == [("mlflow-5d9c7b6f4-x7k2p", "mlflow", True)]
    assert inquest.because == "sqlalchemy.exc.OperationalError: no database"
    text = next(each for each in inquest.sections(NOW) if isinstance(each, Text) and each.literal).text
    assert text.splitlines()[-1] == "11:59:33 ERROR:    Application startup failed. Exiting."
    assert len(text.splitlines()) == death.LAST_LINES
    said = facts(inquest)
    assert said["exit code"] == "1"
    assert said["when"] == "2026-11-30 11:59:20 UTC (40 s ago), 8 min after its start"
    assert said["memory limit then"] == "4Gi"
    assert said["restarts"] == "4"


def test_what_just_died_has_its_words_in_the_log_of_now():
    cluster = Cluster()
    assert facts(told(cluster, pod(ended("Error", 1))))["its log"].startswith("it said nothing; Kubernetes keeps")
    assert cluster.asked == [("mlflow-5d9c7b6f4-x7k2p", "mlflow", False)]


def test_the_events_are_its_own_and_a_failed_probe_is_why():
    inquest = told(Cluster(lines=["ERROR something else"]))
    assert [each.reason for each in inquest.told] == ["BackOff", "Killing"]
    assert inquest.because == "Container mlflow failed liveness probe, will be restarted"
    shown = next(each for each in inquest.sections(NOW) if each.title == "Its events")
    assert shown.items[0] == ("20 s ago", "BackOff: Back-off restarting failed container")


def test_what_cannot_be_had_is_named_and_stops_nothing():
    inquest = told(Cluster(refused={"gone", "events", "replicasets", "mlflow-config"}))
    said = facts(inquest)
    assert said["its log"] == "is gone"
    assert said["its events"].startswith("could not be read: Our account may not list events.")
    assert set(inquest.changes.missed) == {"the audit record", "the revisions", "ConfigMap mlflow-config"}
    assert (
        "Nothing known was changed in the 2 h before it. Could not be asked: the audit"
        in inquest.sections(NOW)[-1].text
    )


def test_a_deadline_costs_what_is_late_and_no_more():
    def late(call):
        def wait():
            raise TimeoutError

        return wait

    (found,) = death.deaths(pod(last=ended()))
    inquest = death.inquire(found, Cluster(), TOLD, late)
    assert facts(inquest)["its log"] == "could not be read in time"


def revision(number, uid, made, image="mlflow:v1", memory="4Gi", **annotations):
    container = {"name": "mlflow", "image": image, "resources": {"limits": {"memory": memory}}}
    return {
        "metadata": {
            "name": f"mlflow-{uid}",
            "uid": uid,
            "creationTimestamp": made,
            "annotations": {"deployment.kubernetes.io/revision": str(number)},
            "ownerReferences": [{"uid": "d"}],
        },
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}},
    }


def changes(inquest):
    return [what for _, what in inquest.sections(NOW)[-1].items]


def test_what_was_rolled_out_and_written_before_is_told_by_whomever():
    restarted = {"kubectl.kubernetes.io/restartedAt": "now"}
    sets = [
        revision(1, "old", ago(days=3)),
        revision(2, "mid", ago(minutes=40), image="mlflow:v2", **restarted),
        revision(3, "new", ago(minutes=12), image="mlflow:v2", memory="256Mi", **restarted),
        {**revision(9, "other", ago(minutes=5)), "metadata": {"uid": "other", "ownerReferences": [{"uid": "else"}]}},
    ]
    found = changes(told(Cluster(sets=sets, written=ago(minutes=20))))
    assert found[0] == "revision 3 of mlflow: memory limit 4Gi → 256Mi"
    assert "ConfigMap mlflow-config was written, by kubectl-edit" in found
    assert "Secret mlflow-backend-secret was written, by vault" in found
    assert "Deployment mlflow was written, by helm" in found
    assert found[-2].startswith("revision 2 of mlflow: image mlflow:v1 → mlflow:v2, a restart")
    assert found[-1] == "the audit record"
    assert len(found) == 6


def test_one_that_crashes_for_hours_is_told_what_was_changed_before_it_began():
    crashing = pod({"waiting": {"reason": "CrashLoopBackOff"}}, ended(), unwell=ago(hours=8))
    sets = [revision(1, "old", ago(days=3)), revision(2, "new", ago(hours=8, minutes=5), image="mlflow:v2")]
    assert changes(told(Cluster(sets=sets), crashing))[0] == "revision 2 of mlflow: image mlflow:v1 → mlflow:v2"


def test_commands_that_changed_something_are_told_and_looks_are_not(redis, redis_url):
    def happened(record_id, words, *moments):
        record = Record(id=record_id, operation="x", arguments={}, words=words, requester="U1", channel="C1")
        audit_log.note(redis, asked(record))
        for what in moments:
            audit_log.note(redis, f'{{"what": "{what}", "id": "{record_id}"}}')

    happened("1", "config set gunicorn_workers=64", "planning", "pending", "approved", "started", "done")
    happened("2", "health", "started", "done")
    happened("3", "scale 9", "planning", "pending", "denied")
    given = settings.load({"REDIS_URL": redis_url})
    until = datetime.now(UTC) + timedelta(minutes=1)
    found = changes_before.begin(Cluster(), given, until, "new", death.at_once)()
    assert [(each.what, each.by) for each in found.found if "/mlflow" in each.what] == [
        ("/mlflow config set gunicorn_workers=64: done", "U1")
    ]
    assert found.missed == ()


@given(secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=12, max_size=30))
def test_no_secret_comes_through(secret):
    redaction.remember([secret])
    line = f"ERROR cannot reach postgresql://mlflow:{secret}@db/x with password={secret} and {secret}"
    events = [{"reason": "Failed", "message": line, "lastTimestamp": ago(seconds=2)}]
    end = ended("Error", 1)
    end["terminated"]["message"] = line
    inquest = told(Cluster(lines=[line], told=events), pod(last=end))
    assert secret not in repr([each.model_dump() for each in inquest.sections(NOW)])
    assert secret not in inquest.because


class Asking:
    """What a question is given, with everything asked at once."""

    def __init__(self, cluster, *found):
        self.cluster, self._found, self.now, self.settings = cluster, list(found), NOW, TOLD
        self.health, self.left = TOLD.ops.health, 1.0

    def pods(self):
        return self._found

    def aside(self, call):
        class Done:
            def result(self, timeout):
                return call()

        return Done()


def test_the_pods_check_says_why_in_one_sentence_and_shows_the_rest():
    crashing = pod({"waiting": {"reason": "CrashLoopBackOff"}}, ended("Error", 1), unwell=ago(minutes=3))
    answer = pods.ask(Asking(Cluster(lines=["ERROR: FATAL: password authentication failed"], told=()), crashing))
    assert answer.status is Status.FAIL
    assert answer.sentence == (
        "mlflow-5d9c7b6f4-x7k2p is in CrashLoopBackOff: its container mlflow ended with exit code 1 (Error), 40 s ago: "
        "ERROR: FATAL: password authentication failed."
    )
    assert [each.title for each in answer.details] == [
        "Why mlflow-5d9c7b6f4-x7k2p died",
        "The last that it said",
        "Changed shortly before",
        "",
    ]


def test_the_errors_of_before_a_restart_count_and_one_that_died_without_a_word_is_named():
    lines = ["ERROR: no database"]
    cluster = Cluster(lines=lines)
    answer = logs.ask(Asking(cluster, pod(last=ended("Error", 1))))
    assert [previous for *_, previous in cluster.asked] == [False, True]
    assert answer.figures["errors"] == 2
    assert ("read", "2 lines of 1 container, 1 of them also from before the last restart") in answer.details[0].items
    # Between two crashes Kubernetes answers with the same log either way: it counts once.
    cluster = Cluster(lines=lines)
    waiting = pod({"waiting": {"reason": "CrashLoopBackOff"}}, ended("Error", 1))
    assert logs.ask(Asking(cluster, waiting)).figures["errors"] == 1
    silent = logs.ask(Asking(Cluster(), pod(last=ended())))
    assert silent.sentence == (
        "No errors logged in the last hour, but mlflow-5d9c7b6f4-x7k2p's container mlflow was killed for memory "
        "(OOMKilled, exit code 137, SIGKILL), at its limit of 4Gi, 40 s ago."
    )
    assert logs.ask(Asking(Cluster(), pod(last=ended(hours=2)))).sentence == "No errors in the last hour."
