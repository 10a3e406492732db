"""Pods, Deployment, Service, resources: judgements on answers recorded from a real API server, and variations."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import settings
from workers.operations.health import deployment, pods, resources, service
from workers.operations.health.standing_warnings import There
from workers.report import Status
from workers.systems.errors import Nonsense

ANSWERS = Path(__file__).parents[4] / "deploy" / "sandbox" / "tests" / "cluster" / "kubernetes-answers.jsonl"
NOW = datetime(2026, 11, 23, 15, 25, 30, tzinfo=UTC)
TOLD = settings.load({})


def recorded(name):
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        exchange = json.loads(line)
        if exchange["name"] == name:
            return exchange["answer"]
    raise LookupError(name)


@pytest.fixture
def two_pods():
    return recorded("pods by label")["items"]


@pytest.fixture
def ready_deployment():
    return recorded("deployment when ready")


def judge(items, now=NOW):
    return pods.judge(items, TOLD, now)


class TestPods:
    def test_running_pods_are_ok(self, two_pods):
        answer = judge(two_pods)
        assert (answer.status, answer.figure) == (Status.OK, "2/2 ready")
        assert answer.figures == {"pods": 2, "ready": 2, "restarts": 0, "recent_restarts": 0}

    def test_no_pods_at_all_fail(self):
        answer = judge([])
        assert answer.status is Status.FAIL
        assert "app=mlflow in data-platform" in answer.sentence

    def test_pods_being_deleted_do_not_count(self, two_pods):
        two_pods[0]["metadata"]["deletionTimestamp"] = "2026-11-23T15:25:29Z"
        assert judge(two_pods).figure == "1/1 ready"

    def test_an_image_that_cannot_be_pulled_is_named_in_kubernetes_words(self):
        answer = judge(recorded("pods with an image that cannot be pulled")["items"])
        assert answer.status is Status.FAIL
        assert "mlflow-58c99fdcf4-bvdzh is in ImagePullBackOff" in answer.sentence
        assert 'Back-off pulling image "registry.local/mlflow:none"' in answer.sentence

    def test_a_crash_loop_says_how_the_last_one_ended(self, two_pods):
        two_pods[0]["status"]["containerStatuses"][0] |= {
            "ready": False,
            "restartCount": 7,
            "state": {
                "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
            },
            "lastState": {
                "terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-11-23T15:23:30Z"},
            },
        }
        answer = judge(two_pods)
        assert answer.status is Status.FAIL
        assert answer.sentence == (
            "mlflow-855655d48d-wf28j is in CrashLoopBackOff: its container mlflow was killed for memory (OOMKilled, "
            "exit code 137, SIGKILL), at its limit of 64Mi, 2 min ago."
        )

    @pytest.mark.parametrize(("minutes", "status"), [(1, Status.WARN), (14, Status.WARN), (16, Status.OK)])
    def test_one_that_died_lately_is_told_although_it_runs_again(self, two_pods, minutes, status):
        ended = (NOW - timedelta(minutes=minutes)).isoformat()
        two_pods[1]["status"]["containerStatuses"][0] |= {
            "restartCount": 1,
            "lastState": {"terminated": {"reason": "Error", "exitCode": 139, "finishedAt": ended}},
        }
        answer = judge(two_pods)
        assert answer.status is status
        if status is Status.WARN:
            assert "is ready again; its container mlflow was ended by SIGSEGV (Error, exit code 139)" in answer.sentence

    def test_a_readiness_gate_keeps_a_pod_from_being_ready_and_is_named(self, two_pods):
        said = 'the status of pod readiness gate "example.com/lb" is not "True", but False.'
        for condition in two_pods[0]["status"]["conditions"]:
            if condition["type"] == "Ready":
                condition |= {"status": "False", "reason": "ReadinessGatesNotReady", "message": said}
        answer = judge(two_pods)
        assert answer.status is Status.WARN
        assert answer.figure == "1/2 ready"
        assert f"({said.rstrip('.')})" in answer.sentence

    @pytest.mark.parametrize(
        ("state", "ready", "figure", "status"),
        [
            ({"running": {}}, True, "2/2 ready", Status.OK),
            ({"running": {}}, False, "1/2 ready", Status.WARN),
            ({"waiting": {"reason": "CrashLoopBackOff"}}, False, "1/2 ready", Status.FAIL),
        ],
    )
    def test_a_native_sidecar_counts_among_the_containers(self, two_pods, state, ready, figure, status):
        two_pods[0]["spec"]["initContainers"] = [{"name": "proxy", "restartPolicy": "Always"}]
        two_pods[0]["status"]["initContainerStatuses"] = [
            {"name": "proxy", "restartCount": 0, "ready": ready, "state": state}
        ]
        answer = judge(two_pods)
        assert (answer.figure, answer.status) == (figure, status)

    def test_the_scheduler_is_quoted(self, two_pods):
        two_pods[0]["status"] = {
            "phase": "Pending",
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/3 nodes are available: 3 Insufficient memory.",
                }
            ],
        }
        assert judge(two_pods).sentence == (
            "mlflow-855655d48d-wf28j is in Unschedulable: 0/3 nodes are available: 3 Insufficient memory."
        )

    @pytest.mark.parametrize(("hours", "status"), [(1, Status.WARN), (30, Status.OK)])
    def test_only_recent_restarts_count(self, two_pods, hours, status):
        ended = (NOW - timedelta(hours=hours)).isoformat()
        two_pods[0]["status"]["containerStatuses"][0] |= {
            "restartCount": 3,
            "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": ended}},
        }
        assert judge(two_pods).status is status

    @pytest.mark.parametrize(("minutes", "status"), [(1, Status.WARN), (30, Status.FAIL)])
    def test_pods_that_are_all_not_ready_have_a_while_to_become_it(self, two_pods, minutes, status):
        for pod in two_pods:
            pod["status"]["containerStatuses"][0]["ready"] = False
            pod["metadata"]["creationTimestamp"] = (NOW - timedelta(minutes=minutes)).isoformat()
        assert judge(two_pods).status is status

    def test_a_finished_init_container_is_no_trouble(self, two_pods):
        two_pods[0]["status"]["initContainerStatuses"] = [
            {"name": "wait", "restartCount": 0, "state": {"terminated": {"reason": "Completed", "exitCode": 0}}}
        ]
        assert judge(two_pods).status is Status.OK

    @pytest.mark.parametrize("value", [[], "x", 3, {"containerStatuses": "x"}, {"containerStatuses": [{"ready": "x"}]}])
    def test_wrong_types_are_nonsense_and_say_which_field(self, two_pods, value):
        two_pods[0]["status"] = value
        with pytest.raises(Nonsense, match="makes no sense: "):
            judge(two_pods)

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=4))
    def test_whatever_stands_in_a_field_is_judged_or_nonsense(self, value):
        for path in (("status", "phase"), ("status", "containerStatuses"), ("metadata", "name"), ("spec",)):
            items = copy.deepcopy(SAMPLE)
            holder = items[0]
            for part in path[:-1]:
                holder = holder[part]
            holder[path[-1]] = value
            try:
                judge(items)
            except Nonsense as error:
                assert error.message.endswith(".")  # noqa: PT017


SAMPLE = recorded("pods by label")["items"]


class TestDeployment:
    def ask(self, found, warnings=(), now=NOW, there=None, sets=None):
        return deployment.judge(There(found, there, sets), warnings, now)

    def test_all_ready_is_ok(self, ready_deployment):
        answer = self.ask(ready_deployment)
        assert (answer.status, answer.figure) == (Status.OK, "2/2 ready")
        facts = dict(answer.details[0].items)
        assert facts["image"] == "registry.local/mlflow:1"
        assert facts["revision"] == "1"
        assert facts["last rollout"] == "40 s ago"

    def test_a_stuck_rollout_that_still_serves_is_a_warning(self):
        answer = self.ask(recorded("deployment past its progress deadline"))
        assert answer.status is Status.WARN
        assert 'ReplicaSet "mlflow-58c99fdcf4" has timed out progressing (ProgressDeadlineExceeded)' in answer.sentence
        assert "2 of 2 pods still serve" in answer.sentence

    @pytest.mark.parametrize(("available", "status"), [(2, Status.WARN), (0, Status.FAIL)])
    def test_why_no_pod_can_be_made_is_said_in_the_controllers_words(self, ready_deployment, available, status):
        said = 'pods "mlflow-x" is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4'
        ready_deployment["status"] |= {"availableReplicas": available, "readyReplicas": available}
        ready_deployment["status"]["conditions"].append(
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}
        )
        answer = self.ask(ready_deployment)
        assert answer.status is status
        assert f"No new pod can be made: {said} (FailedCreate)." in answer.sentence

    def test_a_rollout_under_way_is_a_warning(self, ready_deployment):
        ready_deployment["status"]["updatedReplicas"] = 1
        assert self.ask(ready_deployment).sentence == "A rollout is under way: 1 of 2 pods are new."
        ready_deployment["status"] |= {"updatedReplicas": 2, "replicas": 3}
        assert self.ask(ready_deployment).sentence == "A rollout is under way: 2 of 2 pods are new, 1 old left."

    @pytest.mark.parametrize(
        ("wanted", "ready", "status", "words"),
        [
            (2, 1, Status.WARN, "Only 1 of 2"),
            (2, 0, Status.FAIL, "None of 2"),
            (0, 0, Status.WARN, "scaled to 0"),
            (1, 1, Status.OK, "one wanted pod"),
        ],
    )
    def test_pods_that_are_wanted_and_there(self, ready_deployment, wanted, ready, status, words):
        ready_deployment["spec"]["replicas"] = wanted
        ready_deployment["status"] |= {
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        answer = self.ask(ready_deployment)
        assert answer.status is status
        assert words in answer.sentence

    def test_warnings_are_counted_by_reason_and_never_more_than_a_warning(self, ready_deployment):
        answer = self.ask(ready_deployment, recorded("events of type Warning")["items"])
        assert answer.status is Status.WARN
        assert "Failed (" in answer.sentence
        table = answer.details[1]
        assert int(table.rows[0][0]) >= int(table.rows[-1][0])

    def test_old_warnings_and_those_about_others_do_not_count(self, ready_deployment):
        events = recorded("events of type Warning")["items"]
        assert self.ask(ready_deployment, events, NOW + timedelta(hours=2)).figures["warnings"] == 0
        for event in events:
            event["involvedObject"]["name"] = "mlflowish-1"
        assert self.ask(ready_deployment, events).status is Status.OK

    def test_warnings_of_what_is_gone_or_has_got_well_since_do_not_count(self, ready_deployment, two_pods):
        """As after an automatic roll-back: all that was warned of is gone, empty, or well."""
        pod, at = two_pods[0]["metadata"]["name"], "2026-11-23T15:25:00Z"
        well = {"metadata": {"name": "mlflow-855655d48d"}, "spec": {"replicas": 2}, "status": {"availableReplicas": 2}}
        short = {"metadata": {"name": "mlflow-short"}, "spec": {"replicas": 2}, "status": {"replicas": 1}}
        empty = {"metadata": {"name": "mlflow-empty"}, "spec": {"replicas": 0}}

        def warning(kind, name, last=at):
            about = {"involvedObject": {"kind": kind, "name": name}, "lastTimestamp": last, "count": 3}
            return {**about, "type": "Warning", "reason": "Failed", "message": f"{kind} {name}"}

        over = [
            warning("Pod", "mlflow-bad-x7k2p"),
            warning("Pod", "mlflow-ops-worker-5d9-x7k2p"),
            warning("ReplicaSet", "mlflow-gone"),
            warning("ReplicaSet", "mlflow-empty"),
            warning("ReplicaSet", "mlflow-855655d48d"),
            warning("Pod", pod, "2026-11-23T15:20:00Z"),
            warning("Deployment", "mlflow", "2026-11-23T15:20:00Z"),
            warning("Job", "mlflow-schema-1"),
        ]
        there = {"there": two_pods, "sets": [well, short, empty]}
        answer = self.ask(ready_deployment, over, **there)
        assert (answer.status, answer.figures["warnings"]) == (Status.OK, 0)
        for each in (
            warning("Pod", pod),
            warning("ReplicaSet", "mlflow-short"),
            warning("HorizontalPodAutoscaler", "mlflow"),
        ):
            assert self.ask(ready_deployment, [*over, each], **there).figures["warnings"] == 3, each
        # What could not be listed may still be there.
        assert self.ask(ready_deployment, over, sets=[well, short, empty]).figures["warnings"] == 9

    def test_events_that_could_not_be_read_do_not_fail_the_check(self, ready_deployment):
        answer = self.ask(ready_deployment, 'Our account may not list resource "events".')
        assert answer.status is Status.OK
        assert "may not list" in answer.details[1].items[0][1]


class TestService:
    def slices(self):
        return recorded("endpoint slices of the service")["items"]

    def ask(self, services, slices, of=()):
        return service.judge(services, slices, of, TOLD)

    def test_it_leads_to_ready_endpoints_and_ending_ones_do_not_count(self):
        answer = self.ask([recorded("create service")], self.slices())
        assert answer.status is Status.OK
        assert answer.sentence == "mlflow (ClusterIP, 5000/TCP) leads to 2 ready endpoints."

    def test_without_a_ready_endpoint_it_leads_nowhere(self):
        slices = self.slices()
        for endpoint in slices[0]["endpoints"]:
            endpoint["conditions"] = {"ready": False}
        answer = self.ask([recorded("create service")], slices)
        assert answer.status is Status.FAIL
        assert "no ready endpoint; 4 endpoints not ready" in answer.sentence
        assert self.ask([recorded("create service")], []).status is Status.FAIL

    def test_a_missing_service_fails_and_names_those_that_select_the_pods(self, two_pods):
        other = recorded("create service")
        other["metadata"]["name"] = "tracking"
        answer = self.ask([other], [], two_pods)
        assert answer.status is Status.FAIL
        assert answer.sentence == "There is no Service mlflow in data-platform; tracking selects its pods."

    def test_a_pod_in_two_slices_counts_once(self):
        slices = self.slices()
        assert self.ask([recorded("create service")], slices * 2).figures["ready_endpoints"] == 2


class TestResources:
    def usage(self, cpu="12m", memory="20Mi"):
        return [
            {
                "metadata": {"name": "mlflow-855655d48d-wf28j"},
                "containers": [{"name": "mlflow", "usage": {"cpu": cpu, "memory": memory}}],
            }
        ]

    def ask(self, usage, of):
        return resources.judge(usage, of, TOLD)

    @pytest.mark.parametrize(
        ("cpu", "memory", "status", "words"),
        [
            ("12m", "20Mi", Status.OK, "31 % of its memory limit"),
            ("12m", "52Mi", Status.WARN, "81 % of its memory limit"),
            ("12m", "61Mi", Status.FAIL, "about to be killed"),
            ("199m", "20Mi", Status.WARN, "of its CPU limit"),
            ("199999999n", "20480Ki", Status.WARN, "of its CPU limit"),
        ],
    )
    def test_use_is_held_against_limits(self, two_pods, cpu, memory, status, words):
        answer = self.ask(self.usage(cpu, memory), two_pods)
        assert answer.status is status
        assert words in answer.sentence

    def test_figures_are_in_base_units(self, two_pods):
        figures = self.ask(self.usage(), two_pods).figures
        assert figures == pytest.approx(
            {
                "cpu_cores": 0.012,
                "memory_bytes": 20 * 2**20,
                "cpu_limit_share": 0.06,
                "memory_limit_share": 0.3125,
                "cpu_limit_cores": 0.2,
                "memory_limit_bytes": 64 * 2**20,
            }
        )

    def test_no_figures_yet_are_unknown(self, two_pods):
        assert self.ask([], two_pods).status is Status.UNKNOWN

    def test_figures_of_a_pod_that_is_gone_are_left_out(self):
        assert self.ask(self.usage(), []).status is Status.UNKNOWN

    def test_without_limits_there_is_no_share(self, two_pods):
        two_pods[0]["spec"]["containers"][0]["resources"] = {}
        answer = self.ask(self.usage(), two_pods)
        assert (answer.status, answer.sentence) == (Status.OK, "No container has a limit.")

    @pytest.mark.parametrize("text", ["", "much", "1Xi", "--1", "NaN", "Infinity"])
    def test_an_amount_that_is_none_is_nonsense(self, two_pods, text):
        with pytest.raises(Nonsense):
            self.ask(self.usage(memory=text), two_pods)
