"""What is told while a controller has not seen a change: of before, until its next sync; and what a sync leaves."""

from datetime import UTC, datetime, timedelta

import pytest

from cluster_world import REPOSITORY, container
from mlflow_ops_sandbox.cluster.api.objects import condition_of, name_of
from mlflow_ops_sandbox.cluster.controllers.lag import Lag
from mlflow_ops_sandbox.cluster.controllers.retries import Retries
from mlflow_ops_sandbox.cluster.testing import until

BAD = f"{REPOSITORY}:v9.9.9"


class Hand:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = datetime(2026, 11, 23, tzinfo=UTC)

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += timedelta(seconds=seconds)


def item(generation, observed, uid="1", version="1"):
    metadata = {"uid": uid, "generation": generation, "resourceVersion": version}
    return {"metadata": metadata, "status": {"observedGeneration": observed}}


def test_a_change_is_seen_once_its_time_has_come_and_no_sooner():
    clock = Hand()
    lag = Lag(clock, 2.0)
    assert lag.has_seen(item(5, 4)), "what is there at the start is listed"
    lag.end_round({"1"})
    assert lag.has_seen(item(5, 5))
    assert not lag.has_seen(item(6, 5))
    assert lag.moments() == [clock.now + timedelta(seconds=2)]
    clock.pass_by(1.5)
    assert not lag.has_seen(item(7, 5)), "a second change is seen with the first"
    clock.pass_by(0.5)
    assert lag.has_seen(item(7, 5))
    assert lag.has_seen(item(7, 7))
    assert lag.moments() == []
    assert not lag.has_seen(item(8, 7))
    lag.end_round(set())
    assert lag.moments() == []


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_draws_how_late_and_repeats_it(seed):
    def drawn():
        clock = Hand()
        lag = Lag(clock, 2.0, seed)
        lag.end_round(set())
        for uid in "abcdefgh":
            lag.has_seen(item(2, 1, uid))
        return [(moment - clock.now).total_seconds() for moment in lag.moments()]

    assert drawn() == drawn()
    assert all(0 <= seconds <= 2 for seconds in drawn())
    assert len(set(drawn())) > 1


def test_what_was_refused_is_tried_again_ever_later_or_when_something_of_it_changes():
    clock = Hand()
    retries = Retries(clock, 1.0)
    owner, pod = item(1, 1), item(1, 1, "pod")
    pauses = []
    for _ in range(10):
        assert retries.may_try(owner, [pod])
        retries.failed(owner, [pod])
        assert not retries.may_try(owner, [pod])
        pauses.append((retries.moments()[0] - clock.now).total_seconds())
        clock.pass_by(pauses[-1])
    assert pauses == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    retries.failed(owner, [pod])
    assert retries.may_try(owner, []), "a pod of its own went"
    assert retries.may_try(item(2, 1, version="2"), [pod]), "it was changed itself"
    retries.succeeded(owner)
    assert retries.may_try(owner, [pod])


def generation(version):
    return version["metadata"]["generation"]


def observed(version):
    return version["status"]["observedGeneration"]


def progressing(version):
    return (condition_of(version, "Progressing") or {}).get("reason")


def stuck(world):
    """MLflow's Deployment, past the deadline of a rollout to an image that nobody has."""
    world.change(lambda kept: (kept["spec"].update(progressDeadlineSeconds=2), container(kept).update(image=BAD)))
    until(lambda: world.condition().get("reason") == "ProgressDeadlineExceeded")


def repair(world, image):
    """Another image, and time enough for it."""
    world.change(lambda kept: (kept["spec"].update(progressDeadlineSeconds=600), container(kept).update(image=image)))


def test_a_condition_of_before_stays_until_the_next_sync(world):
    stuck(world)
    failed = world.deployment()
    world.control(lag=1.5)
    versions = world.history(lambda: repair(world, f"{REPOSITORY}:v3.18.0"))
    late = world.deployment()
    assert late["status"] == failed["status"]
    assert (generation(late), observed(late)) == (generation(failed) + 1, generation(failed))
    world.settle()
    unseen = [version for version in versions() if observed(version) < generation(version)]
    # The new ReplicaSet is told of before the figures are counted: under the older generation.
    assert [progressing(version) for version in unseen if version["status"] != failed["status"]] == [
        "NewReplicaSetCreated"
    ]
    seen = [progressing(version) for version in versions() if version not in unseen]
    assert "ProgressDeadlineExceeded" not in seen
    assert seen[-1] == "NewReplicaSetAvailable"


def test_going_back_to_an_older_replica_set_begins_under_the_condition_of_the_one_that_failed(world):
    first = container(world.deployment())["image"]
    stuck(world)
    versions = world.history(lambda: repair(world, first))
    world.settle()
    reasons = list(dict.fromkeys(map(progressing, versions())))
    assert "NewReplicaSetCreated" not in reasons
    assert reasons[0] == "ProgressDeadlineExceeded"
    assert reasons[-1] == "NewReplicaSetAvailable"


def test_a_scale_of_a_stuck_template_keeps_its_condition(world):
    stuck(world)
    before = generation(world.deployment())
    versions = world.history(lambda: world.change(lambda kept: kept["spec"].update(replicas=4)))
    until(lambda: world.deployment()["status"].get("availableReplicas", 0) >= 3)
    first = next(version for version in versions() if observed(version) == before + 1)
    assert progressing(first) == "ProgressDeadlineExceeded"
    # Pods that come up are progress of the rollout, too: it is given its deadline once more.
    until(lambda: "ReplicaSetUpdated" in map(progressing, versions()))
    until(lambda: world.condition().get("reason") == "ProgressDeadlineExceeded")
    status = world.deployment()["status"]
    assert (status["replicas"], status["unavailableReplicas"]) == (5, 5 - status["availableReplicas"])


def test_a_new_size_and_a_new_template_at_once_are_two_syncs(world):
    def change(kept):
        kept["spec"]["replicas"] = 3
        container(kept)["image"] = f"{REPOSITORY}:v3.18.0"

    versions = world.history(lambda: world.change(change))
    world.settle()
    scaled = next(version for version in versions() if observed(version) == generation(version))
    assert progressing(scaled) == "NewReplicaSetAvailable", "it is that of the older template"
    assert "updatedReplicas" not in scaled["status"]
    assert name_of(world.newest()) in world.condition()["message"]


def test_a_recreated_deployment_keeps_telling_of_the_rollout_before(world):
    world.change(lambda kept: kept["spec"].update(strategy={"type": "Recreate"}))
    world.settle()
    old = name_of(world.newest())
    versions = world.history(lambda: world.image("v3.18.0"))
    world.settle()
    down = [version for version in versions() if not version["status"].get("replicas")]
    assert any(observed(version) == generation(version) and old in str(version["status"]) for version in down)


@pytest.mark.parametrize("seed", range(4))
def test_no_status_speaks_of_a_spec_that_was_not_seen(world, seed):
    """Whatever is changed when: between a change and its sync only the new ReplicaSet is told of."""
    images = ["v3.16.0", "v3.17.2", "v3.18.0", "v9.9.9"]
    since = world.history(lambda: None)
    for step in range(4):
        world.image(images[(seed + step * (seed % 3 + 1)) % len(images)])
        world.change(lambda kept, size=(seed + step) % 3 + 1: kept["spec"].update(replicas=size))
        until(lambda: observed(world.deployment()) == generation(world.deployment()))
    world.image("v3.17.2")
    world.settle()
    known = None
    for version in since():
        if known is not None and observed(version) == observed(known) < generation(version):
            kept = {key: value for key, value in version["status"].items() if key != "conditions"}
            assert kept == {key: value for key, value in known["status"].items() if key != "conditions"}
            assert progressing(version) in {progressing(known), "NewReplicaSetCreated"}
        known = version
