"""Where new pods could go: nodes, taints, volumes of one node, disruption budgets; and what autoscalers want."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_ops_sandbox.cluster.api.defaulting import default_behavior
from mlflow_ops_sandbox.cluster.controllers import scaling_rules
from tests.workers.operations.deployment.deployments import Answers, deployment, pod, replica_set, systems, template
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.deployment import autoscaling, capacity, placement, preconditions, rollout, volumes
from workers.operations.deployment.label_selectors import fits
from workers.operations.deployment.scale import Scale
from workers.systems.cluster.fields import Fields

ONE = template(requests={"cpu": "1", "memory": "1Gi"})
TWO = template(requests={"cpu": "2", "memory": "1Gi"})
FIXED = {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
SWAPPED = {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}
IN_TURN = {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}
RECREATE = {"strategy": {"type": "Recreate"}}


def node(name="n1", cpu="2", *, taints=(), unschedulable=False, ready="True", pods="110", **labels):
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {
            "allocatable": {"cpu": cpu, "memory": "64Gi", "pods": pods},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def on(where, name, of=ONE):
    found = pod(name, spec={**of["spec"], "nodeName": where})
    found["metadata"]["labels"] = of["metadata"]["labels"]
    return found


def with_(of=ONE, **spec):
    return {**of, "spec": {**of["spec"], **spec}}


def warned(cluster, tmp_path, new=None):
    return preconditions.of_template_change(systems(cluster, tmp_path), cluster.deployments[0], new)


def full(given, *nodes, of=ONE):
    """Two pods on n1, which has no more room."""
    there = [on("n1", "mlflow-1", of), on("n1", "mlflow-2", of)]
    return Answers(deployment(of=of, **given), sets=[replica_set("new", of)], pods=there, nodes=[node(), *nodes])


@pytest.mark.parametrize(
    ("what", "given", "new", "said"),
    [
        ("no room, none goes first", FIXED, ONE, "With maxUnavailable 0 no old pod goes first, and no node has room"),
        ("one goes first", SWAPPED, ONE, ""),
        ("one goes first, always", IN_TURN, ONE, ""),
        ("all go first", RECREATE, TWO, ""),
        ("one goes first, and the new one is larger", SWAPPED, TWO, "Even once an old pod has gone, no node has room"),
        ("off", {"replicas": 0, **FIXED}, ONE, ""),
    ],
)
def test_a_rollout_needs_a_place_for_its_first_pod(tmp_path, what, given, new, said):
    told = warned(full(given), tmp_path, new)
    assert ([each[: len(said)] for each in told] == [said]) if said else (told == ()), what


def test_room_elsewhere_or_a_look_that_is_not_allowed_warns_of_nothing(tmp_path):
    assert warned(full(FIXED, node("n2", "1")), tmp_path) == ()
    cluster = full(FIXED)
    cluster._nodes = None
    assert warned(cluster, tmp_path) == ()


TOLERATES = {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]}
TAINT = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}
APART = {"labelSelector": {"matchLabels": {"app": "mlflow"}}, "topologyKey": "kubernetes.io/hostname"}
ANTI = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [APART]}}}
SSD = [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]
NODES = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": SSD}}}}


@pytest.mark.parametrize(
    ("where", "spec", "why"),
    [
        (node(), {}, ""),
        (node(unschedulable=True), {}, "cordoned"),
        (node(ready="Unknown"), {}, "not ready"),
        (node(), {"nodeSelector": {"disk": "ssd"}}, "not disk=ssd"),
        (node(disk="ssd"), {"nodeSelector": {"disk": "ssd"}}, ""),
        (node(), {"nodeSelector": {"kubernetes.io/hostname": "n1"}}, ""),
        (node(taints=[TAINT]), {}, "tainted gpu=a100"),
        (node(taints=[TAINT]), TOLERATES, ""),
        (node(taints=[{**TAINT, "effect": "NoExecute"}]), TOLERATES, "tainted gpu=a100"),
        (node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), {}, ""),
        (node(taints=[TAINT]), {"tolerations": [{"key": "gpu", "value": "t4"}]}, "tainted gpu=a100"),
        (node(taints=[TAINT]), {"tolerations": [{"key": "gpu", "value": "a100"}]}, ""),
        (node(), NODES, "not of its node affinity"),
        (node(disk="ssd"), NODES, ""),
        (node(), ANTI, "with a pod that it keeps apart from"),
    ],
)
def test_which_nodes_a_pod_may_go_to(where, spec, why):
    assert placement.ruled_out(with_(**spec)["spec"], where, [on("n1", "mlflow-1")]) == why


def test_what_rules_nodes_out_stands_in_the_plan(tmp_path):
    pinned = with_(nodeSelector={"disk": "ssd"})
    cluster = full(FIXED, node("n2", "64"), node("n3", "64", unschedulable=True), of=pinned)
    (told,) = warned(cluster, tmp_path)
    assert told == (
        "With maxUnavailable 0 no old pod goes first, and no node has room for the first new pod (2 nodes are not "
        "disk=ssd, 1 node is cordoned): unless a node is added, the rollout can't begin."
    )


def test_each_node_takes_one_pod_if_they_keep_apart_and_no_more_than_it_may_have():
    nodes = [node("n1", "64"), node("n2", "64")]
    apart = Answers(deployment(), nodes=nodes)
    assert capacity.room_for(apart, with_(**ANTI)).now == 2
    assert capacity.room_for(apart, ONE).now == 128
    assert (
        capacity.room_for(Answers(deployment(), nodes=[node("n1", "64", pods="3")], pods=[on("n1", "x")]), ONE).now == 2
    )
    told = list(capacity.too_few_nodes(apart, with_(**ANTI), 3))
    assert told == [
        "The nodes have room for 2 more pods of these requests, and 3 are to come: the rest would stay Pending."
    ]


def claim(*modes, name="data"):
    return {"metadata": {"name": name}, "status": {"accessModes": list(modes)}}


@pytest.mark.parametrize(
    ("modes", "given", "said"),
    [
        (["ReadWriteOnce"], FIXED, "With maxUnavailable 0 the old one doesn't leave"),
        (["ReadWriteOnce"], SWAPPED, "a new pod on another node waits for the old one. It may take longer."),
        (["ReadWriteOnce"], IN_TURN, ""),
        (["ReadWriteOnce"], RECREATE, ""),
        (["ReadWriteOnce", "ReadWriteMany"], FIXED, ""),
        (["ReadWriteMany"], FIXED, ""),
        (["ReadWriteOncePod"], SWAPPED, ""),
        (None, FIXED, "PersistentVolumeClaim data couldn't be looked at"),
    ],
)
def test_a_volume_of_one_node_holds_a_rolling_update_up(tmp_path, modes, given, said):
    mounted = with_(
        volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "e", "emptyDir": {}}]
    )
    cluster = Answers(deployment(of=mounted, **given), claims=None if modes is None else [claim(*modes)])
    told = warned(cluster, tmp_path)
    assert len(told) == bool(said)
    assert said in "".join(told)


def test_a_volume_of_one_pod_is_refused_where_no_new_pod_could_have_it(tmp_path):
    mounted = with_(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    cluster = Answers(deployment(of=mounted, **FIXED), claims=[claim("ReadWriteOncePod")])
    with pytest.raises(OperatorError, match="data is ReadWriteOncePod, and with maxUnavailable 0 the old pod keeps it"):
        warned(cluster, tmp_path)
    with pytest.raises(OperatorError, match="only one pod can have it"):
        list(volumes.of_scale(cluster, mounted["spec"], 2))
    assert list(volumes.of_scale(cluster, mounted["spec"], 1)) == []
    shared = Answers(deployment(of=mounted), claims=[claim("ReadWriteOnce")])
    assert "pods on another node than the first would not start" in next(volumes.of_scale(shared, mounted["spec"], 3))


def budget(selector=..., **spec):
    selector = {"matchLabels": {"app": "mlflow"}} if selector is ... else selector
    return {"metadata": {"name": "guard"}, "spec": {**spec, "selector": selector}}


@pytest.mark.parametrize(
    ("given", "spec", "said"),
    [
        (SWAPPED, {"minAvailable": 2}, "guard wants 2 pods available, and the rollout leaves 1 at times"),
        (SWAPPED, {"minAvailable": "100%"}, "guard wants 2 pods available"),
        (SWAPPED, {"maxUnavailable": 1}, ""),
        (FIXED, {"minAvailable": 2}, ""),
        (RECREATE, {"minAvailable": 1}, "the rollout leaves 0 at times"),
        (SWAPPED, {"minAvailable": 2, "selector": {"matchLabels": {"app": "other"}}}, ""),
        (SWAPPED, {"minAvailable": 2, "selector": {}}, "guard wants 2 pods available"),
        (SWAPPED, {"minAvailable": 2, "selector": None}, ""),
        (
            SWAPPED,
            {"minAvailable": 2, "selector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}},
            "guard wants 2 pods available",
        ),
    ],
)
def test_a_rollout_that_goes_below_a_disruption_budget_says_so(tmp_path, given, spec, said):
    told = warned(Answers(deployment(of=ONE, **given), budgets=[budget(**spec)]), tmp_path)
    assert len(told) == bool(said)
    assert said in "".join(told)


@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")),
    st.lists(
        st.fixed_dictionaries(
            {
                "key": st.sampled_from("abc"),
                "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
                "values": st.lists(st.sampled_from("xy")),
            }
        )
    ),
)
def test_an_expression_and_its_opposite_never_agree(labels, expressions):
    opposite = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}
    for each in expressions:
        other = {**each, "operator": opposite[each["operator"]]}
        assert fits({"matchExpressions": [each]}, labels) != fits({"matchExpressions": [other]}, labels)
    assert fits({"matchExpressions": expressions}, labels) == all(
        fits({"matchExpressions": [each]}, labels) for each in expressions
    )


ONE_A_MINUTE = {"type": "Pods", "value": 1, "periodSeconds": 60}
HALF_A_MINUTE = {"type": "Percent", "value": 50, "periodSeconds": 60}


def scaler(wants=0, *, down=None, up=None, blind="", keda=""):
    spec = {"minReplicas": 1, "maxReplicas": 9, "scaleTargetRef": {"kind": "Deployment", "name": "mlflow"}}
    condition = {"type": "ScalingActive", "status": "False" if blind else "True", "message": blind}
    return Fields(
        {
            "metadata": {"name": "steady", "labels": {autoscaling.KEDA: keda} if keda else {}},
            "spec": {**spec, "behavior": {"scaleDown": down or {}, "scaleUp": up or {}}} if down or up else spec,
            "status": {"desiredReplicas": wants, "conditions": [condition]},
        },
        "HorizontalPodAutoscaler",
    )


@pytest.mark.parametrize(
    ("given", "replicas", "said", "ahead"),
    [
        (scaler(2), 4, "wants 2 replicas now: it will go down to that again, after 5 min without more load.", True),
        (scaler(2, down={"stabilizationWindowSeconds": 60}), 4, "after 60 s without more load", True),
        (scaler(2, down={"stabilizationWindowSeconds": 0}), 4, "within 16 s", True),
        (
            scaler(2, down={"selectPolicy": "Disabled"}),
            4,
            "wants 2 replicas now, but its behavior never scales down: 4 replicas stay.",
            False,
        ),
        (
            scaler(2, down={"policies": [ONE_A_MINUTE]}),
            4,
            "wants 2 replicas now: it will go down to that again in steps, the first after 5 min without more load.",
            True,
        ),
        (scaler(3, down={"policies": [ONE_A_MINUTE]}), 4, "down to that again, after 5 min", True),
        (scaler(2, down={"policies": [ONE_A_MINUTE, HALF_A_MINUTE]}), 4, "down to that again, after 5 min", True),
        (
            scaler(2, down={"policies": [ONE_A_MINUTE, HALF_A_MINUTE], "selectPolicy": "Min"}),
            4,
            "in steps, the first after 5 min",
            True,
        ),
        (scaler(6), 4, "wants 6 replicas now: it will go up to that again within 16 s.", True),
        (scaler(9), 4, "wants 9 replicas now: it will go up to that again in steps, the first within 16 s.", True),
        (scaler(4), 1, "it will go up to that again within 16 s.", True),
        (
            scaler(6, up={"selectPolicy": "Disabled"}),
            1,
            "wants 6 replicas now, but its behavior never scales up: 1 replica stays.",
            False,
        ),
        (scaler(6, up={"policies": [ONE_A_MINUTE]}), 4, "in steps, the first within 16 s", True),
        (scaler(6, up={"policies": [ONE_A_MINUTE, HALF_A_MINUTE]}), 4, "up to that again within 16 s", True),
        (
            scaler(6, up={"stabilizationWindowSeconds": 120}),
            4,
            "up to that again, after 2 min of so much load.",
            True,
        ),
        (scaler(4), 4, "steers it and wants 4 replicas now, too.", False),
        (scaler(), 4, "steers it and will change the number again.", False),
        (
            scaler(2, blind="no metrics."),
            4,
            "can't read its metrics now (no metrics): it leaves the number alone",
            False,
        ),
        (scaler(2), 0, "does nothing while the Deployment has 0 replicas", False),
        (scaler(2, keda="so"), 0, "KEDA's ScaledObject so starts it again at its next look", False),
    ],
)
def test_what_an_autoscaler_will_do_with_the_number_and_when(given, replicas, said, ahead):
    assert said in next(autoscaling.warnings([given], replicas))
    assert bool(list(autoscaling.changes_ahead([given], replicas))) == (ahead and bool(replicas))


RULES = st.fixed_dictionaries(
    {},
    optional={
        "selectPolicy": st.sampled_from(["Max", "Min", "Disabled"]),
        "stabilizationWindowSeconds": st.sampled_from([0, 60]),
        "policies": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(["Pods", "Percent"]),
                    "value": st.integers(1, 150),
                    "periodSeconds": st.just(60),
                }
            ),
            min_size=1,
            max_size=3,
        ),
    },
)


@given(RULES, RULES, st.integers(1, 9), st.integers(1, 9))
def test_whether_it_goes_in_steps_is_what_the_controller_would_do(up, down, replicas, wants):
    behavior = {"scaleUp": up, "scaleDown": down}
    default_behavior(behavior)
    side = "scaleUp" if wants > replicas else "scaleDown"
    steering = scaler(wants, up=behavior["scaleUp"], down=behavior["scaleDown"])  # as the API server fills it in
    ahead = " ".join(autoscaling.changes_ahead([steering], replicas))
    allowed = scaling_rules.limit(behavior[side], side, replicas, scaling_rules.Changes(), datetime.now(UTC))
    assert bool(ahead) == (wants != replicas and behavior[side]["selectPolicy"] != "Disabled")
    if ahead:
        reached = allowed >= wants if side == "scaleUp" else allowed <= wants
        assert ("in steps" in ahead) == (not reached)


def test_the_report_says_what_will_become_of_the_number(tmp_path, monkeypatch):
    monkeypatch.setattr(autoscaling, "SYNC_SECONDS", 0.0)
    monkeypatch.setattr(rollout, "LOOK_SECONDS", 0)
    cluster = Answers(deployment(4), scalers=[scaler(2)._value])
    cluster.set_scale = lambda name, scale: scale
    report = Scale(replicas=4).run(systems(cluster, tmp_path), Unwatched())
    assert report.summary.endswith("it will go down to that again, after 5 min without more load.")
    assert report.status.value == "warn"
