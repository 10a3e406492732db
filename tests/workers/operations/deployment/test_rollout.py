"""What a Deployment's status says of a rollout, when the wait for it ends, and what is put back if it fails."""

import json
from copy import deepcopy
from itertools import count
from pathlib import Path

import pytest

from tests.workers.operations.deployment.deployments import (
    DONE,
    REFUSED,
    STUCK,
    Answers,
    deployment,
    pod,
    replica_set,
    systems,
    template,
)
from workers.operation import Cancelled, Unwatched
from workers.operations.deployment import rollout, template_change
from workers.operations.deployment.judging import Goal, State, is_stuck, judge, template_to_return_to
from workers.operations.deployment.restart import Restart
from workers.operations.deployment.rollout import Watched, watch
from workers.report import Status

CASES = json.loads((Path(__file__).parent / "data" / "rollouts.json").read_text())
OLD, NEW = template("mlflow:v1"), template("mlflow:v2")
LATER = {
    **STUCK,
    "message": 'ReplicaSet "mlflow-new" has timed out progressing.',
    "lastUpdateTime": "2026-11-30T10:20:00Z",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(rollout, "LOOK_SECONDS", 0)
    monkeypatch.setattr(template_change, "READY_SECONDS", 1.0)


def judged(case, goal=Goal.TEMPLATE):
    return [judge({**answer, "spec": {**answer["spec"], "template": NEW}}, goal) for answer in case["answers"]]


def test_a_stuck_rollout_of_before_is_no_verdict_on_ours():
    not_seen, done = judged(CASES[0])
    assert (not_seen.state, done.state) == (State.WAITING, State.WELL)


def test_scaling_counts_pods_and_says_that_an_earlier_rollout_is_stuck():
    (verdict,) = judged(CASES[1], Goal.REPLICAS)
    assert verdict.state is State.WELL
    assert verdict.note == "An earlier rollout is still stuck: see /mlflow rollout status."


def watched(cluster, goal=Goal.TEMPLATE, before=None, seconds=600.0):
    return Watched(cluster, "mlflow", "app=mlflow", "mlflow", seconds, goal, before)


def clock(step=1.0):
    ticks = count()
    return lambda: next(ticks) * step


def test_old_pods_that_crash_loop_say_nothing_about_the_new_one():
    assert "only pods of the new ReplicaSet count against it" in CASES[2]["verdict"]
    looks = count()
    under_way = deployment(2, updated=1, there=3, available=0, of=NEW)
    cluster = Answers(*[under_way] * 40, deployment(of=NEW), sets=[replica_set("old", OLD), replica_set("new", NEW)])
    cluster.all_pods_now = lambda: [
        pod("mlflow-old-1", "old", state="CrashLoopBackOff"),
        pod("mlflow-old-2", "old", state="CrashLoopBackOff"),
        pod("mlflow-new-1", "new", state="starting" if next(looks) < 39 else "ready"),
    ]
    assert watch(watched(cluster), Unwatched(), clock=clock()).well


def test_a_full_quota_ends_it_at_once_with_its_figures():
    (verdict,) = judged(CASES[3])
    assert verdict.state is State.FAILED
    assert "exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4" in verdict.why


@pytest.mark.parametrize(
    ("what", "given", "state"),
    [
        ("rolled out", {}, State.WELL),
        ("an old pod is left", {"updated": 2, "there": 3, "available": 3}, State.WAITING),
        ("ready, and not yet for minReadySeconds", {"available": 1}, State.WAITING),
        ("rolled out, but not looked at since", {"seen": 4}, State.WAITING),
        ("late, with the pods there", {"conditions": [LATER]}, State.WELL),
        ("late", {"updated": 1, "there": 3, "conditions": [LATER]}, State.FAILED),
        ("late, and the condition lags", {"seen": 4, "conditions": [LATER]}, State.WAITING),
        ("paused and changed", {"updated": 0, "there": 2, "paused": True}, State.FAILED),
        ("paused and complete", {"paused": True}, State.WELL),
        ("Recreate: old pods are gone, no new one yet", {"updated": 0, "there": 0}, State.WAITING),
        ("scaled to 0", {"replicas": 0}, State.WELL),
        ("no room, and no pod may go first", {"updated": 0, "there": 2, "conditions": [REFUSED]}, State.FAILED),
        (
            "no room until an old pod goes",
            {
                "updated": 0,
                "there": 2,
                "conditions": [REFUSED],
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
            },
            State.WAITING,
        ),
        ("refused, but all pods are there", {"conditions": [REFUSED]}, State.WELL),
    ],
)
def test_states_of_a_rollout(what, given, state):
    assert judge(deployment(**given)).state is state, what


@pytest.mark.parametrize(
    ("what", "given", "state", "note"),
    [
        ("the pods are there", {}, State.WELL, ""),
        ("one is missing", {"available": 1}, State.WAITING, ""),
        ("too many, still", {"replicas": 2, "updated": 4}, State.WAITING, ""),
        ("too many while a rollout is under way", {"updated": 1, "there": 5}, State.WAITING, ""),
        ("a surge pod", {"updated": 1, "there": 3}, State.WELL, "A rollout is still under way"),
        ("paused", {"paused": True}, State.WELL, "The Deployment is paused"),
        ("stuck, too few", {"updated": 1, "there": 3, "available": 1, "conditions": [STUCK]}, State.WAITING, ""),
        ("to 0, stuck before", {"replicas": 0, "conditions": [STUCK]}, State.WELL, ""),
        ("refused", {"updated": 1, "available": 1, "conditions": [REFUSED]}, State.FAILED, ""),
    ],
)
def test_states_of_scaling(what, given, state, note):
    verdict = judge(deployment(**given), Goal.REPLICAS)
    assert verdict.state is state, what
    assert verdict.note.startswith(note), what


def test_a_quota_that_is_full_until_an_old_pod_is_gone_is_waited_for():
    looks = count()
    refused = deployment(2, updated=1, there=2, available=2, conditions=[REFUSED], of=NEW)
    sets = [replica_set("old", OLD), replica_set("new", NEW, available=1, wanted=2, conditions=[REFUSED])]
    cluster = Answers(*[refused] * 15, deployment(of=NEW), sets=sets)

    def pods():
        old, new = pod("mlflow-old-1", "old"), pod("mlflow-new-1", "new")
        old["metadata"]["deletionTimestamp"] = "2026-11-30T10:20:00Z"
        return [old, new] if next(looks) < 10 else [new]

    cluster.pods = lambda _selector: pods()
    assert watch(watched(cluster), Unwatched(), clock=clock()).well
    cluster = Answers(refused, sets=sets, pods=[pod("mlflow-new-1", "new")])
    outcome = watch(watched(cluster), Unwatched(), clock=clock())
    assert "exceeded quota: team" in outcome.why


def test_a_refused_replica_set_ends_it_although_its_generation_is_never_observed():
    said = {
        "type": "Progressing",
        "status": "False",
        "reason": "ReplicaSetCreateError",
        "message": 'replicasets.apps "mlflow-new" is forbidden: exceeded quota: team',
        "lastUpdateTime": "2026-11-30T10:20:00Z",
    }
    refused = deployment(seen=4, conditions=[said], of=NEW)
    verdict = judge(refused, before=deployment())
    assert verdict.state is State.FAILED
    assert verdict.why == 'no ReplicaSet can be made: replicasets.apps "mlflow-new" is forbidden: exceeded quota: team'
    assert judge(refused, before=refused).state is State.WAITING


def test_a_deadline_that_had_passed_before_does_not_count_and_a_later_one_does():
    before = deployment(2, updated=1, there=3, available=2, conditions=[STUCK])
    now = deployment(2, updated=1, there=3, available=2, conditions=[STUCK], of=NEW)
    assert judge(now).state is State.FAILED
    assert judge(now, before=before).state is State.WAITING
    now["status"]["conditions"] = [LATER]
    assert judge(now, before=before).state is State.FAILED
    assert not is_stuck(deployment(seen=4, updated=1, there=3, conditions=[STUCK]))


def test_a_deadline_that_names_another_replica_set_is_not_ours():
    # It passed between our look and our change.
    now = deployment(2, updated=0, there=3, conditions=[STUCK], of=NEW)
    sets = [replica_set("bad", OLD), replica_set("new", NEW)]
    assert judge(now, before=deployment(), sets=sets).state is State.WAITING
    assert judge(now, before=deployment(), sets=[replica_set("bad", NEW)]).state is State.FAILED


def test_only_the_new_replica_set_is_refused_pods():
    now = deployment(2, updated=0, there=2, conditions=[REFUSED], of=NEW)
    other = replica_set("bad", OLD, there=0, wanted=1, conditions=[REFUSED])
    ours = replica_set("new", NEW, there=0, wanted=1, conditions=[REFUSED])
    assert judge(now, sets=[other, replica_set("new", NEW)]).state is State.WAITING
    assert judge(now, sets=[other, ours]).state is State.FAILED
    not_seen = deepcopy(ours)
    not_seen["metadata"]["generation"] = 2
    assert judge(now, sets=[not_seen]).state is State.WAITING
    now["status"]["availableReplicas"] = 1
    assert judge(now, Goal.REPLICAS, sets=[other]).state is State.FAILED
    assert judge(now, before=now).state is State.WAITING


def test_the_failure_of_a_new_pod_ends_it_with_its_last_words():
    under_way = deployment(2, updated=1, there=3, available=2, of=NEW)
    pods = [pod("mlflow-old-1", "old"), pod("mlflow-new-1", "new", state="ImagePullBackOff")]
    cluster = Answers(under_way, sets=[replica_set("old", OLD), replica_set("new", NEW)], pods=pods)
    outcome = watch(watched(cluster), Unwatched(), clock=clock())
    assert outcome.why == "mlflow-new-1 is in ImagePullBackOff"
    assert outcome.sections[-1].text == "last words of mlflow-new-1"


def test_what_may_clear_by_itself_is_waited_for_a_while():
    rolling = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}
    now = deployment(2, updated=0, there=2, conditions=[REFUSED], of=NEW, strategy=rolling)
    sets = [replica_set("new", NEW, there=0, wanted=1, conditions=[REFUSED])]
    assert watch(watched(Answers(*[now] * 5, deployment(of=NEW), sets=sets)), Unwatched(), clock=clock()).well
    outcome = watch(watched(Answers(now, sets=sets)), Unwatched(), clock=clock())
    assert outcome.why.startswith("no pod can be made: ")
    assert "exceeded quota: team" in outcome.why


def test_scaling_waits_for_pods_on_their_way_and_not_for_hopeless_ones():
    now = deployment(4, updated=2, there=5, available=3, conditions=[STUCK], of=NEW)
    sets = [replica_set("old", OLD, available=3, wanted=1), replica_set("new", NEW, there=2, wanted=1)]
    broken = pod("mlflow-new-1", "new", state="ImagePullBackOff")
    cluster = Answers(now, sets=sets, pods=[broken, pod("mlflow-old-4", "old", state="starting")])
    late = watch(watched(cluster, Goal.REPLICAS, now, seconds=100.0), Unwatched(), clock=clock())
    assert late.why.startswith("it was not ready within 10")
    cluster.all_pods_now = [broken, pod("mlflow-old-4", "old")]
    assert watch(watched(cluster, Goal.REPLICAS, now), Unwatched(), clock=clock()).why == (
        "mlflow-new-1 is in ImagePullBackOff"
    )
    # One more is wanted, and the controllers have not come to it yet.
    cluster.sets = [replica_set("old", OLD, available=3, wanted=2), sets[1]]
    late = watch(watched(cluster, Goal.REPLICAS, now, seconds=100.0), Unwatched(), clock=clock())
    assert late.why.startswith("it was not ready within 10")


SERVING = [replica_set("old", OLD, available=2, revision=5), replica_set("new", NEW, there=1, revision=6)]


@pytest.mark.parametrize(
    ("what", "before", "sets", "image", "revision"),
    [
        ("complete", deployment(of=NEW), [], "mlflow:v2", ""),
        ("off", deployment(0, of=NEW), [], "mlflow:v2", ""),
        ("stuck", deployment(2, updated=1, there=3, available=2, of=NEW), SERVING, "mlflow:v1", "5"),
        ("just changed", deployment(2, seen=4, of=NEW), SERVING, "mlflow:v1", "5"),
        (
            "one of two is ill",
            deployment(2, available=1, of=NEW),
            [replica_set("old", OLD), replica_set("new", NEW, available=1)],
            "mlflow:v2",
            "",
        ),
        (
            "half way",
            deployment(2, updated=1, of=NEW),
            [replica_set("new", NEW, available=1), replica_set("old", OLD, available=1, revision=5)],
            "mlflow:v1",
            "5",
        ),
        (
            "somebody else's",
            deployment(2, updated=1, there=3, available=0, of=NEW),
            [replica_set("old", OLD, available=2, owner="other")],
            None,
            "",
        ),
        ("all crash", deployment(2, available=0, of=NEW), [replica_set("new", NEW, there=2)], None, ""),
    ],
)
def test_what_was_well_before(what, before, sets, image, revision):
    way = template_to_return_to(before, sets)
    if image is None:
        assert way is None, what
        return
    assert way.template["spec"]["containers"][0]["image"] == image, what
    assert way.revision == revision, what
    assert "pod-template-hash" not in way.template["metadata"]["labels"]


BAD = template("mlflow:v3")
LATE = deployment(
    2, updated=1, there=3, available=2, of=BAD, conditions=[{**LATER, "message": "It has timed out progressing."}]
)


def rolled(before, sets, tmp_path, *after, progress=None):
    cluster = Answers(before, LATE, *after, sets=sets)
    changed = {"spec": {"template": BAD}}
    rolling = "Rolling", ""
    done = template_change.roll(systems(cluster, tmp_path), lambda: changed, progress or Unwatched(), rolling, "v2")
    return cluster, done


def test_its_own_template_is_put_back_if_that_was_well(tmp_path):
    cluster, done = rolled(deployment(of=NEW), [], tmp_path, LATE, LATE, deployment(of=NEW))
    assert cluster.replaced == [NEW]
    assert done.told("v3", "v2").endswith("What ran before, v2, is back, and every pod is ready.")


def test_the_revision_that_serves_is_put_back_and_named(tmp_path):
    stuck = deployment(2, updated=1, there=3, available=2, conditions=[STUCK], of=NEW)
    cluster, done = rolled(stuck, SERVING, tmp_path, LATE, LATE, deployment(of=OLD))
    assert [each["spec"]["containers"][0]["image"] for each in cluster.replaced] == ["mlflow:v1"]
    assert done.told("v3", "v2").endswith("What served before, revision 5, is back, and every pod is ready.")


def test_what_never_worked_is_not_put_back(tmp_path):
    cluster, done = rolled(deployment(2, available=0, of=NEW), [replica_set("new", NEW, there=2)], tmp_path)
    assert cluster.replaced == []
    assert "No pod was ready before it either, so it was left in place." in done.told("v3", "v2")
    assert "/mlflow rollback" in done.told("v3", "v2")
    assert done.hints[0] == "rollback"


def test_what_served_before_is_no_way_back_from_itself(tmp_path):
    sets = [replica_set("bad", BAD, available=1, revision=4), replica_set("new", NEW, there=1)]
    cluster, done = rolled(deployment(2, updated=1, available=1, of=NEW), sets, tmp_path)
    assert cluster.replaced == []
    assert "It is what served before" in done.told("v3", "v2")


class Stopped(Unwatched):
    def checkpoint(self):
        raise Cancelled


def test_a_stopped_one_leaves_the_newer_template_if_nothing_was_well(tmp_path):
    with pytest.raises(Cancelled) as stopped:
        rolled(deployment(2, available=0, of=NEW), [], tmp_path, progress=Stopped())
    assert stopped.value.left == template_change.LEFT


def test_what_has_changed_since_is_read_again(tmp_path):
    whole = deployment(of=BAD)
    fewer = deployment(of=BAD, available=1)
    for after, said in ((whole, ""), (fewer, "1 of 2 pods are ready now"), (deployment(of=NEW), "was changed again")):
        cluster = Answers(deployment(of=NEW), whole, after)
        changed = {"spec": {"template": BAD}}
        done = template_change.roll(systems(cluster, tmp_path), lambda c=changed: c, Unwatched(), ("Rolling", ""), "v2")
        assert done.well
        assert said in done.doubt
        assert bool(said) == bool(done.doubt)


def test_putting_back_is_not_judged_by_the_failure_that_made_it_necessary(tmp_path):
    back = deployment(2, updated=1, there=3, conditions=LATE["status"]["conditions"], of=NEW)
    cluster, done = rolled(
        deployment(of=NEW), [], tmp_path, LATE, LATE, back, back, deployment(of=NEW, conditions=[DONE])
    )
    assert done.back.well
    assert cluster.replaced == [NEW]


UNDER_WAY = deployment(2, updated=1, there=3, available=2, of=NEW)
TWO_SETS = [replica_set("old", OLD, available=2), replica_set("new", NEW, there=1)]


def starting(*, init=None, sidecar=None, ready=False, gate=""):
    """A new pod. init, sidecar: the state of such a container. gate: why the kubelet doesn't call it ready."""
    found = pod("mlflow-new-1", "new", state="ready" if ready else "PodInitializing")
    first = [("init", init, {}), ("sidecar", sidecar, {"restartPolicy": "Always"})]
    found["spec"] = {
        "initContainers": [{"name": name, **more} for name, state, more in first if state],
        "containers": [{"name": "mlflow"}],
    }
    found["status"]["initContainerStatuses"] = [
        {"name": name, "restartCount": 3, "ready": "running" in state, **state} for name, state, _ in first if state
    ]
    if gate:
        condition = {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": gate}
        found["status"]["conditions"] = [condition]
    return found


CRASHED = {
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-30T10:00:00Z"}},
}


@pytest.mark.parametrize("kind", ["init", "sidecar"])
def test_an_init_container_or_a_sidecar_that_crashes_ends_it_with_its_own_last_words(kind):
    asked = []
    cluster = Answers(UNDER_WAY, sets=TWO_SETS, pods=[pod("mlflow-old-1", "old"), starting(**{kind: CRASHED})])
    cluster.log_lines = lambda name, container, **given: asked.append((container, given["previous"])) or iter(["bye"])
    outcome = watch(watched(cluster), Unwatched(), clock=clock())
    ended = f"its container {kind} ended with exit code 1 (Error)"
    assert outcome.why == f"mlflow-new-1 is in CrashLoopBackOff: {ended}"
    assert asked == [(kind, True)]
    assert outcome.sections[-1].text == "bye"


def test_init_containers_that_run_are_waited_for():
    running = starting(init={"state": {"running": {}}}, sidecar={"state": {"running": {}}})
    cluster = Answers(*[UNDER_WAY] * 60, deployment(of=NEW), sets=TWO_SETS, pods=[running])
    assert watch(watched(cluster), Unwatched(), clock=clock()).well


def test_a_readiness_gate_that_never_opens_is_named_when_the_time_is_over():
    said = 'the status of pod readiness gate "example.com/lb" is not "True", but False'
    cluster = Answers(UNDER_WAY, sets=TWO_SETS, pods=[starting(ready=True, gate=said)])
    outcome = watch(watched(cluster, seconds=30.0), Unwatched(), clock=clock())
    assert outcome.why.startswith("it was not ready within 3")
    assert outcome.why.endswith(f"mlflow-new-1 is in Running, not ready ({said})")


def test_minimum_ready_seconds_are_waited_for_although_every_pod_is_ready():
    not_yet = deployment(2, available=0, of=NEW, minReadySeconds=30)
    cluster = Answers(
        *[not_yet] * 30, deployment(of=NEW, minReadySeconds=30), sets=TWO_SETS, pods=[starting(ready=True)]
    )
    assert watch(watched(cluster), Unwatched(), clock=clock()).well


def test_recreate_is_waited_for_while_no_pod_is_there_at_all():
    none = deployment(2, updated=0, there=0, available=0, of=NEW, strategy={"type": "Recreate"})
    cluster = Answers(*[none] * 30, deployment(of=NEW, strategy={"type": "Recreate"}), sets=TWO_SETS)
    assert watch(watched(cluster), Unwatched(), clock=clock()).well


def test_no_room_and_no_pod_that_may_go_is_told_in_the_schedulers_words():
    fixed = {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
    placeless = starting()
    said = "0/3 nodes are available: 3 Insufficient memory."
    placeless["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}],
    }
    stuck = deployment(2, updated=1, there=3, available=2, of=NEW, **fixed)
    # A cluster that adds nodes by itself makes room: it is waited for as long as Kubernetes waits.
    cluster = Answers(*[stuck] * 100, deployment(of=NEW), sets=TWO_SETS, pods=[placeless])
    assert watch(watched(cluster), Unwatched(), clock=clock()).well
    late = watch(watched(Answers(stuck, sets=TWO_SETS, pods=[placeless]), seconds=60.0), Unwatched(), clock=clock())
    assert late.why.endswith(f"mlflow-new-1 is in Unschedulable ({said.rstrip('.')})")


def test_a_restart_that_fails_puts_nothing_back(tmp_path, monkeypatch):
    monkeypatch.setattr(rollout, "HOPELESS_SECONDS", 0.0)
    cluster = Answers(deployment(of=NEW), UNDER_WAY, sets=TWO_SETS, pods=[starting(init=CRASHED)])
    report = Restart().run(systems(cluster, tmp_path), Unwatched())
    assert report.status is Status.FAIL
    assert report.summary == (
        "The restart does not come to its end: mlflow-new-1 is in CrashLoopBackOff: its container init ended with exit "
        "code 1 (Error). 2 pods still serve."
    )
    assert cluster.replaced == []
    (patch,) = cluster.patched
    assert list(patch["spec"]["template"]) == ["metadata"]
