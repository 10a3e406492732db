"""Troubles that the control endpoint brings about in the objects, and how they end."""

import asyncio
import urllib.error

import pytest

from cluster_api import SPACE
from cluster_world import container
from mlflow_ops_sandbox.cluster.api.objects import name_of
from mlflow_ops_sandbox.cluster.testing import until
from mlflow_ops_sandbox.slack.panel import cluster as panel
from mlflow_ops_sandbox.slack.panel.thing import BREAK, HEAL


def test_a_rollout_of_before_is_stuck_until_it_is_healed(world):
    before = world.deployment()
    assert world.control(rollout="stuck")["rollout"] == "stuck"
    until(lambda: world.condition().get("reason") == "ProgressDeadlineExceeded", 20)
    assert world.condition("Available")["status"] == "True"
    assert len(world.pods()) == 3
    assert world.control(rollout="well")["rollout"] == "well"
    world.settle()
    assert world.deployment()["spec"] == before["spec"]
    assert world.condition()["reason"] == "NewReplicaSetAvailable"


def test_what_somebody_else_has_repaired_meanwhile_is_left_alone(world):
    deadline = world.deployment()["spec"]["progressDeadlineSeconds"]
    world.control(rollout="stuck")
    until(lambda: len(world.sets()) == 2)
    world.image("v3.18.0")
    world.settle()
    assert world.control()["rollout"] == "well"
    world.control(clear=True)
    until(lambda: world.deployment()["spec"]["progressDeadlineSeconds"] == deadline)
    world.settle()
    assert container(world.deployment())["image"].endswith("v3.18.0")


def test_the_quota_is_full_until_it_is_healed(world):
    assert world.control(quota="full")["quota"] == "full"
    before = {name_of(pod) for pod in world.pods()}
    world.restart()
    message = until(lambda: world.condition("ReplicaFailure"))["message"]
    assert message.endswith("is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4")
    assert {name_of(pod) for pod in world.pods()} == before
    assert world.control(quota="none")["quota"] == "none"
    world.settle()
    assert before.isdisjoint(name_of(pod) for pod in world.pods())


def test_a_quota_of_that_name_that_somebody_made_is_no_trouble(world):
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"pods": "9"}}}
    world.api.good("POST", f"{SPACE}/resourcequotas", quota)
    assert world.control(clear=True)["quota"] == "none"
    with pytest.raises(urllib.error.HTTPError):
        world.control(quota="full")
    world.api.good("DELETE", f"{SPACE}/resourcequotas/team")


def test_all_of_it_ends_at_once(world):
    usual = world.control()["lag"]
    webhook = {"name": "policy.example.com", "kind": "Pod", "pattern": "", "operations": ["CREATE"], "code": 403}
    told = world.control(rollout="stuck", quota="full", webhook=webhook, lag=0.5)
    assert (told["rollout"], told["quota"], told["lag"]) == ("stuck", "full", 0.5)
    assert told["webhooks"] == [{**webhook, "message": ""}]
    told = world.control(clear=True)
    assert (told["rollout"], told["quota"], told["lag"], told["webhooks"]) == ("well", "none", usual, [])
    world.settle()


@pytest.mark.parametrize(
    "order",
    [
        {"rollout": "gone"},
        {"quota": "half"},
        {"webhook": {}},
        {"webhook": {"name": "w", "code": 200}},
        {"webhook": {"name": "w", "pattern": "("}},
        {"webhook": {"name": "w", "operations": ["DELETE"]}},
        {"lag": "long"},
    ],
)
def test_orders_that_make_no_sense_are_refused(world, order):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        world.control(**order)
    assert world.control()["webhooks"] == []


def test_the_panel_breaks_and_heals_each_of_its_things_by_the_real_control_port(world, monkeypatch):
    monkeypatch.setattr(panel, "SECONDS", 20.0)
    group = panel.Cluster(world.running.control)

    async def state(thing):
        return next(found.state for found in await group.things() if found.id == thing)

    async def try_all():
        names = [thing.id for thing in await group.things()]
        assert {"rollout", "quota"} < set(names)
        for name in names:
            assert await state(name) == "well", name
            await group.order(name, BREAK)
            assert await state(name) == "broken", name
            await group.order(name, HEAL)
            assert await state(name) == "well", name

    asyncio.run(try_all())
    world.settle()
