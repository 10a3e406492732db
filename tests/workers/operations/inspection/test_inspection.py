"""Looking at a cluster that runs in this process, as the worker's own account may."""

import base64
import contextlib
import json
import os

import pytest
import requests
import yaml
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from commands import grammar
from mlflow_ops_sandbox.cluster.api.objects import is_ready, labels_of, name_of
from mlflow_ops_sandbox.cluster.api.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, ROLES, SERVICES
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from
from workers import settings
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.inspection.describe import Describe
from workers.operations.inspection.finding import one_of
from workers.operations.inspection.howto import HowTo
from workers.operations.inspection.manifest import Manifest
from workers.operations.inspection.masking import MASK, masked
from workers.report import Facts, Status, Table, Text
from workers.systems import Systems

NAMESPACE = "data-platform"
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, upstream):
    pid = tmp_path_factory.mktemp("process") / "pid"
    pid.write_text(str(os.getpid()))
    wiring = wiring_from(
        {
            "mlflow": {"upstream": upstream, "version": "3.16.0", "pid_file": str(pid)},
            "secrets": {"mlflow-backend-secret": {"PASSWORD": PASSWORD, "URI": f"postgresql://m:{PASSWORD}@db/x"}},
        }
    )
    with running_cluster(Options(tmp_path_factory.mktemp("cluster"), wiring)) as running:
        until(lambda: len(ready(running)) == 2)
        yield running


@pytest.fixture
def systems(cluster):
    return Systems(settings.load({"KUBECONFIG": str(cluster.kubeconfig.with_name("kubeconfig-worker"))}))


def ready(cluster):
    found = [pod for pod in cluster.cluster.store.all(PODS, NAMESPACE) if labels_of(pod).get("app") == "mlflow"]
    return sorted(name_of(pod) for pod in found if is_ready(pod))


def break_(cluster, **order):
    requests.post(f"{cluster.control}/faults", json=order, timeout=10).raise_for_status()


@pytest.fixture
def broken(cluster):
    """Breaks something until the test's end."""
    yield lambda **order: break_(cluster, **order)
    break_(cluster, clear=True)
    until(lambda: len(ready(cluster)) == 2)


@pytest.fixture
def do(systems):
    return lambda words: performing.perform(grammar.parse(words), systems, Unwatched())


def told(report):
    """All that a report says, as one text."""
    return json.dumps(report.model_dump(mode="json"), ensure_ascii=False)


def by_hand(report):
    return next(each.text for each in report.sections if isinstance(each, Text) and each.title == "By hand")


def test_status_lists_what_kubectl_get_all_does_and_more(do, cluster):
    report = do("status")
    assert report.status is Status.OK
    assert report.summary.startswith("2 of 2 pods ready")
    objects = next(each for each in report.sections if isinstance(each, Table) and each.title == "Objects")
    kinds = {row[0].split("/")[0] for row in objects.rows}
    assert {"service", "deployment", "replicaset", "ingress"} <= kinds
    assert all(name in told(report) for name in ready(cluster))
    assert by_hand(report).splitlines()[0] == "kubectl get -n data-platform all -l app=mlflow"


def test_status_of_a_broken_pod_hints_at_it(do, broken, cluster):
    name = ready(cluster)[0]
    broken(pod=name, state="CrashLoopBackOff")
    until(lambda: name not in ready(cluster))
    report = do("status")
    assert report.status is Status.WARN
    assert report.hints[0] == f"describe pod {name}"


def test_status_names_the_kinds_that_it_may_not_list(do, cluster):
    role = cluster.cluster.store.get(ROLES, NAMESPACE, "mlflow-ops-worker")
    rules = role["rules"]
    role["rules"] = [rule for rule in rules if "statefulsets" not in rule["resources"]]
    try:
        report = do("status")
    finally:
        role["rules"] = rules
    missed = next(each for each in report.sections if isinstance(each, Text) and each.title == "Not listed")
    assert "statefulsets: Our account may not list" in missed.text
    assert report.summary.startswith("2 of 2 pods ready")


def test_a_label_that_nothing_bears(cluster, tmp_path):
    config = tmp_path / "ops.yaml"
    config.write_text("kubernetes: {selector: app=nosuch}")
    env = {"KUBECONFIG": str(cluster.kubeconfig), "MLFLOW_OPS_CONFIG": str(config)}
    with pytest.raises(OperatorError, match="bears app=nosuch"):
        performing.perform(grammar.parse("status"), Systems(settings.load(env)), Unwatched())


def test_a_pod_is_described_by_a_part_of_its_name(do, cluster):
    name = ready(cluster)[1]
    report = do(f"describe pod {name[-5:]}")
    assert report.title == f"Pod {name}"
    assert report.status is Status.OK
    titles = [each.title for each in report.sections]
    assert {"Containers", "Environment", "Conditions", "Events", "By hand"} <= set(titles)
    assert PASSWORD not in told(report)
    assert "all keys of secret mlflow-backend-secret" in told(report)
    assert by_hand(report) == f"kubectl describe -n data-platform pod {name}"
    assert f"logs --pod {name}" in report.hints


def test_a_crashed_pod_is_described_with_why(do, broken, cluster):
    name = ready(cluster)[0]
    broken(pod=name, state="CrashLoopBackOff")

    def described():
        report = do(f"describe pod {name}")
        return report if "CrashLoopBackOff" in report.summary else None

    report = until(described)  # it runs between two crashes
    assert report.status is Status.FAIL
    assert f"logs --pod {name} --previous" in report.hints


def test_a_pod_killed_for_memory_is_told_with_why_and_without_being_named(do, broken, cluster):
    name = ready(cluster)[1]
    broken(pod=name, state="OOMKilled")

    def died():
        report = do("describe pod")
        return report if "killed for memory" in report.summary and report.title == f"Pod {name}" else None

    report = until(died)
    assert "It's the worst of MLflow's 2 pods." in report.summary
    assert "(OOMKilled, exit code 137, SIGKILL), at its limit of " in report.summary
    why = dict(next(each for each in report.sections if each.title == f"Why {name} died").items)
    limit = cluster.cluster.store.get(DEPLOYMENTS, NAMESPACE, "mlflow")["spec"]["template"]["spec"]["containers"][0]
    assert why["memory limit then"] == limit["resources"]["limits"]["memory"]
    assert why["exit code"] == "137 (signal 9, SIGKILL)"
    # The headline is cut; the check says all of it.
    check = until(lambda: found if "killed for memory" in (found := do("health pods").checks[0]).sentence else None)
    assert f"Why {name} died" in [each.title for each in check.details]


def test_what_health_asks_of_kubernetes_it_may_ask_by_the_workers_own_account(do, cluster):
    until(lambda: len(ready(cluster)) == 2)
    for check in do("health pods deployment service ingress resources --deadline 30").checks:
        assert check.status is not Status.UNKNOWN, check.sentence
        assert "may not" not in check.sentence


def test_the_last_words_of_one_that_crashes_are_told_with_the_cause(do, broken, cluster):
    name = ready(cluster)[0]
    broken(pod=name, state="CrashLoopBackOff")
    cause = "FATAL: password authentication failed for user"
    report = until(lambda: found if cause in (found := do(f"describe pod {name}")).summary else None)
    last = next(each.text for each in report.sections if each.title == "The last that it said")
    assert last.splitlines()[-1].endswith("ERROR:    Application startup failed. Exiting.")
    assert "BackOff" in told(next(each for each in report.sections if each.title == "Its events"))
    assert cause in do("health pods").checks[0].sentence


def test_without_a_name_a_pod_that_is_well_is_said_to_be_one_of_those(do, cluster):
    until(lambda: do("describe pod").status is Status.OK)
    report = do("describe pod")
    assert report.title.removeprefix("Pod ") in ready(cluster)


def test_the_deployment_is_described(do):
    until(lambda: do("describe deployment").summary == "2 of 2 replicas are ready.")
    report = do("describe deployment")
    assert by_hand(report) == "kubectl describe -n data-platform deployment mlflow"
    assert ("strategy", "RollingUpdate") in next(each for each in report.sections if isinstance(each, Facts)).items


@pytest.fixture
def another(cluster):
    """A Deployment that is not MLflow's: our Role lists it, and does not let us get it."""
    admin = Systems(settings.load({"KUBECONFIG": str(cluster.kubeconfig)})).cluster
    labels = {"app": "exporter"}
    pod = {"containers": [{"name": "exporter", "image": "exporter:1"}]}
    spec = {
        "replicas": 0,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    item = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "postgres-exporter"}, "spec": spec}
    admin.create("deployments", item, "apis/apps/v1")
    yield "postgres-exporter"
    admin.requests.send(admin.path("deployments", "postgres-exporter", group="apis/apps/v1"), "DELETE", {})


def test_another_deployment_is_shown_by_a_part_of_its_name(do, systems, another):
    with pytest.raises(OperatorError, match="may not get"):
        systems.cluster.deployment(another)
    assert do("describe deployment exporter").title == f"Deployment {another}"
    (file,) = do("manifest deployment exporter --as file").attachments
    assert yaml.safe_load(file.content)["metadata"]["name"] == another


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("describe pod nosuch", "There is no pod “nosuch”"),
        ("describe pod mlflow", "fits 2 pods"),
        ("describe deployment nosuch", "There is no deployment “nosuch”"),
        ("manifest service nosuch", "There is no service “nosuch”"),
        ("manifest deployment nosuch", "There is no deployment “nosuch”"),
        ("manifest configmap nosuch", "may not get"),
        ("manifest secret other-secret", "may not get"),
        ("manifest ingress nosuch", "There is no ingress “nosuch”"),
        ("manifest hpa", "There is no hpa at all"),
        ("top --pod nosuch", "There is no pod “nosuch”"),
        ("howto shell --pod nosuch", "There is no pod “nosuch”"),
        ("howto shell --container nosuch", "There is no container “nosuch”"),
    ],
)
def test_what_is_not_there_is_told(do, words, said):
    with pytest.raises(OperatorError) as raised:
        do(words)
    assert said in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("what", ["deployment", "service", "configmap", "ingress"])
def test_a_manifest_is_yaml_that_holds_what_was_applied(do, what):
    report = do(f"manifest {what} --as file")
    (file,) = report.attachments
    item = yaml.safe_load(file.content)
    assert item["kind"].lower() == what
    assert "status" not in item
    assert "managedFields" not in item["metadata"]
    assert file.filename == f"{what}-{item['metadata']['name']}.yaml"
    assert by_hand(report) == f"kubectl get -n data-platform {what} {item['metadata']['name']} -o yaml"


def test_a_short_manifest_stands_in_the_thread(do):
    report = do("manifest service")
    assert not report.attachments
    assert yaml.safe_load(report.sections[0].text)["spec"]["ports"][0]["port"] == 5000
    assert report.hints[-1] == "manifest service mlflow --as file"


def test_a_secret_shows_its_keys_and_no_value(do):
    report = do("manifest secret --as file")
    item = yaml.safe_load(report.attachments[0].content)
    assert set(item["data"].values()) == {MASK}
    assert set(item["data"]) == {"PASSWORD", "URI"}
    assert PASSWORD not in told(report)
    assert base64.b64encode(PASSWORD.encode()).decode() not in told(report)
    assert "2 values masked" in report.summary


def test_secrets_in_other_objects_are_masked(do, cluster):
    store = cluster.cluster.store
    config = store.get(CONFIG_MAPS, NAMESPACE, "mlflow-config")
    before = dict(config["data"])
    config["data"] |= {"db_password": PASSWORD, "uri": f"postgresql://m:{PASSWORD}@db/x"}
    template = store.get(DEPLOYMENTS, NAMESPACE, "mlflow")
    template["metadata"].setdefault("annotations", {})["kubectl.kubernetes.io/last-applied-configuration"] = PASSWORD
    try:
        shown = told(do("manifest configmap --as file"))
        assert PASSWORD not in shown
        assert "***@db/x" in shown
        assert PASSWORD not in told(do("manifest deployment"))
    finally:
        config["data"] = before


def test_a_password_in_the_environment_or_the_arguments_is_masked():
    container = {
        "name": "mlflow",
        "env": [
            {"name": "AWS_SECRET_ACCESS_KEY", "value": PASSWORD},
            {"name": "URI", "value": f"postgresql://m:{PASSWORD}@db/x"},
            {"name": "GUNICORN_WORKERS", "value": "4"},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "args": ["--db-password", PASSWORD, f"--token={PASSWORD}", "--workers", "4"],
    }
    shown = masked({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container]}})
    assert PASSWORD not in json.dumps(shown)
    found = shown["spec"]["containers"][0]
    assert found["env"][2] == {"name": "GUNICORN_WORKERS", "value": "4"}
    assert found["env"][3] == container["env"][3]
    assert found["args"][3:] == ["--workers", "4"]


def test_events(do, cluster):
    report = do("events")
    assert "events" in report.summary
    table = next(each for each in report.sections if isinstance(each, Table))
    assert any(
        row[3] == f"pod/{ready(cluster)[0]}" for row in do(f"events --about {ready(cluster)[0]}").sections[0].rows
    )
    assert {row[1] for row in table.rows} <= {"normal", "warning"}
    assert by_hand(do("events --warnings")).endswith("--field-selector type=Warning")


def test_events_about_mlflow_come_first(do, cluster):
    about = {"kind": "Pod", "name": "aaa-other-x7k2p", "namespace": NAMESPACE}
    moment = "2126-11-30T12:00:00Z"
    event = {"metadata": {"name": "aaa-other.1", "namespace": NAMESPACE}, "involvedObject": about, "type": "Warning"}
    admin = Systems(settings.load({"KUBECONFIG": str(cluster.kubeconfig)})).cluster
    admin.create("events", {**event, "reason": "BackOff", "message": "x", "lastTimestamp": moment})
    report = do("events")
    mine, others = (each for each in report.sections if isinstance(each, Table))
    assert (mine.title, others.title) == ("MLflow's", "Others in the namespace")
    assert "about MLflow" in report.summary
    assert all("mlflow" in row[3] for row in mine.rows)
    assert any(row[3] == "pod/aaa-other-x7k2p" for row in others.rows)


def test_events_that_are_none_are_told(do):
    report = do("events --about nosuchthing")
    assert report.summary.startswith("0 events of “nosuchthing”")
    assert "forgets them after an hour" in report.summary


def test_warnings_of_a_broken_pod(do, broken, cluster):
    name = ready(cluster)[0]
    broken(pod=name, state="ImagePullBackOff")
    until(lambda: do(f"events --warnings --since 1h --about {name}").status is Status.WARN)
    assert "logs --level error --since 1h" in do("events").hints


def test_top(do, cluster):
    until(lambda: _has_figures(do, cluster))
    report = do("top")
    assert all(name in told(report) for name in ready(cluster))
    assert "kubectl top -n data-platform pod -l app=mlflow --containers" in by_hand(report)
    one = do(f"top --pod {ready(cluster)[0]}")
    assert ready(cluster)[1] not in told(one)
    assert by_hand(one) == f"kubectl top -n data-platform pod {ready(cluster)[0]} --containers"


def _has_figures(do, cluster):
    try:
        return all(name in told(do("top")) for name in ready(cluster))
    except OperatorError:
        return False


def test_top_without_metrics_server(do, broken):
    broken(metrics="absent")
    with pytest.raises(OperatorError, match="metrics-server is not installed"):
        do("top")


def test_howto_port_forward_has_the_port_of_this_cluster(do, cluster):
    assert "kubectl port-forward -n data-platform svc/mlflow 5000:5000" in by_hand(do("howto port-forward"))
    service = cluster.cluster.store.get(SERVICES, NAMESPACE, "mlflow")
    before = service["spec"]["ports"][0]["port"]
    service["spec"]["ports"][0]["port"] = 80
    try:
        report = do("howto port-forward")
    finally:
        service["spec"]["ports"][0]["port"] = before
    assert by_hand(report) == "kubectl port-forward -n data-platform svc/mlflow 8080:80"
    assert "http://127.0.0.1:8080" in told(report)


def test_howto_shell_names_a_pod_that_runs(do, cluster):
    line = by_hand(do("howto shell"))
    assert line in {f"kubectl exec -n data-platform -it {name} -c mlflow -- sh" for name in ready(cluster)}
    assert "postgres-shared-0" in by_hand(do("howto shell --pod postgres"))


def test_howto_without_the_service(cluster, tmp_path):
    config = tmp_path / "ops.yaml"
    config.write_text("kubernetes: {service: nosuch}")
    env = {"KUBECONFIG": str(cluster.kubeconfig), "MLFLOW_OPS_CONFIG": str(config)}
    with pytest.raises(OperatorError, match="There is no Service nosuch"):
        HowTo(what="port-forward").run(Systems(settings.load(env)), Unwatched())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("describe pd x", "Did you mean “/mlflow describe pod x”"),
        ("describe", "Missing argument"),
        ("manifest deploymnt", "Did you mean “/mlflow manifest deployment”"),
        ("manifest pod", "Which pod?"),
        ("manifest service --as fil", "Did you mean “/mlflow manifest service --as file”"),
        ("howto ssh", "Did you mean “/mlflow howto shell”"),
        ("events --since soon", "is not a time"),
        ("stats", "Did you mean “/mlflow status”"),
    ],
)
def test_what_is_wrong_is_told(words, said):
    with pytest.raises(grammar.UsageError) as raised:
        grammar.parse(words)
    assert said in str(raised.value)


def test_commands():
    assert grammar.parse("describe pod 'x y'") == Describe(kind="pod", called="x y")
    assert grammar.parse("manifest secret mlflow-tls --as file") == Manifest(
        what="secret", called="mlflow-tls", as_file=True
    )


@examples(deadline=None)
@given(st.text(max_size=40), st.lists(st.text("abc-", min_size=1, max_size=8), max_size=6))
def test_a_name_is_found_or_refused_with_what_there_is(word, names):
    with contextlib.suppress(OperatorError):
        found = one_of(word, names, "pod")
        assert found in names
        assert word.strip().lower() in found


def test_the_exact_name_wins_over_a_longer_one():
    assert one_of("mlflow", ["mlflow", "mlflow-2"], "pod") == "mlflow"
    assert one_of("mlflow-2", ["mlflow", "mlflow-2"], "pod") == "mlflow-2"
