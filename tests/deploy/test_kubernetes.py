"""The manifests: what kustomize makes of them, what an API server says to that, and what they promise."""

import copy
import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from redis import Redis

from bot.process.cli import main
from tests.deploy.image import stages
from workers import settings
from workers.engine import queues
from workers.operations.deployment import job
from workers.operations.peek import pod as peek_pod
from workers.settings import Environment

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("minimal", "production")
OF_OPERATORS = {"monitoring.coreos.com", "keda.sh", "external-secrets.io", "admissionregistration.k8s.io"}
"""What this API server does not know; of the last, test_admission.py looks at each field and each expression."""
ELSEWHERE = "ml-prod"
NEVER_THE_BOTS = ("AWS_", "MLFLOW_", "KUBE")

_spec = importlib.util.spec_from_file_location("restricted", Path(__file__).with_name("restricted.py"))
restricted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(restricted)


@pytest.fixture(scope="module")
def made(kubectl):
    """What each overlay becomes."""
    results = {}
    for overlay in OVERLAYS:
        done = kubectl("kustomize", str(KUBERNETES / "overlays" / overlay))
        assert done.returncode == 0, done.stderr
        results[overlay] = list(yaml.safe_load_all(done.stdout))
    return results


def ours(documents):
    """Without the kinds that operators bring."""
    return [each for each in documents if each["apiVersion"].split("/")[0] not in OF_OPERATORS]


def pods(documents):
    return {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in documents
        if each["kind"] in {"Deployment", "StatefulSet"}
    }


def tried(kubectl, documents):
    return kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=yaml.safe_dump_all(documents))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_server_takes_every_manifest(kubectl, made, overlay):
    documents = ours(made[overlay])
    done = tried(kubectl, documents)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(documents)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda pod: pod["containers"][0].update(imagePolicy="Always"), 'unknown field "spec.template.spec.containers'),
        (lambda pod: pod["containers"][0]["volumeMounts"][0].update(name="nowhere"), "Not found"),
        (lambda pod: pod["containers"][0]["readinessProbe"].update(httpGet={"port": 1}), "may not specify more than 1"),
        (lambda pod: pod["containers"][0]["resources"]["requests"].update(memory="4Ti"), "must be less than or equal"),
    ],
)
def test_a_wrong_manifest_is_refused(kubectl, made, damage, said):
    bot = copy.deepcopy(next(each for each in made["minimal"] if each["metadata"]["name"] == "mlflow-ops-bot"
                             and each["kind"] == "Deployment"))  # fmt: skip
    damage(bot["spec"]["template"]["spec"])
    done = tried(kubectl, [bot])
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_keeps_the_restricted_level_and_a_read_only_root(made, overlay):
    templates = pods(made[overlay])
    assert len(templates) == 5
    found = {name: restricted.violations(each["spec"]) for name, each in templates.items()}
    assert {name: breaches for name, breaches in found.items() if breaches} == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda pod: pod.update(hostNetwork=True),
        lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
        lambda pod: pod["securityContext"].pop("runAsNonRoot"),
        lambda pod: pod["securityContext"].pop("seccompProfile"),
        lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
        lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"),
        lambda pod: pod["containers"][0]["securityContext"].pop("readOnlyRootFilesystem"),
        lambda pod: pod["containers"][0].update(ports=[{"containerPort": 80, "hostPort": 80}]),
    ],
)
def test_that_check_sees_every_breach(made, damage):
    pod = copy.deepcopy(pods(made["minimal"])["mlflow-ops-worker-ops"]["spec"])
    damage(pod)
    assert len(restricted.violations(pod)) == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_workers_have_an_account_in_the_cluster(made, overlay):
    accounts = {
        name: (each["spec"]["serviceAccountName"], each["spec"]["automountServiceAccountToken"])
        for name, each in pods(made[overlay]).items()
    }
    assert accounts == {
        "mlflow-ops-bot": ("mlflow-ops-bot", False),
        "mlflow-ops-scheduler": ("mlflow-ops-bot", False),
        "mlflow-ops-redis": ("mlflow-ops-redis", False),
        "mlflow-ops-worker-quick": ("mlflow-ops-worker", True),
        "mlflow-ops-worker-ops": ("mlflow-ops-worker", True),
    }
    bound = [subject["name"] for each in made[overlay] for subject in each.get("subjects") or ()]
    assert set(bound) == {"mlflow-ops-worker"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_named_and_only_by_who_needs_them(made, overlay):
    assert not [each for each in made[overlay] if each["kind"] == "Secret"]
    named = {}
    for name, template in pods(made[overlay]).items():
        container = template["spec"]["containers"][0]
        refs = [each["secretRef"]["name"] for each in container.get("envFrom") or ()]
        taken = [each["valueFrom"] for each in container.get("env") or () if "valueFrom" in each]
        refs += [each["secretKeyRef"]["name"] for each in taken if "resourceFieldRef" not in each]
        named[name] = sorted(refs)
        plain = [each["name"] for each in container.get("env") or () if "value" in each]
        assert set(plain) <= {"MLFLOW_OPS_CONFIG", "MLFLOW_OPS_GRACE_SECONDS", "MLFLOW_OPS_METRICS_PORT"}
    assert named == {
        "mlflow-ops-bot": ["mlflow-ops-redis", "mlflow-ops-slack"],
        "mlflow-ops-scheduler": ["mlflow-ops-redis"],
        "mlflow-ops-redis": [],
        "mlflow-ops-worker-quick": ["mlflow-ops-redis", "mlflow-ops-worker"],
        "mlflow-ops-worker-ops": ["mlflow-ops-redis", "mlflow-ops-worker"],
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_finds_pods(made, overlay):
    labels = [each["metadata"]["labels"] for each in pods(made[overlay]).values()]

    def found(selector):
        plain = selector.get("matchLabels") or {}
        sets = selector.get("matchExpressions") or ()
        return [
            each
            for each in labels
            if plain.items() <= each.items() and all(each.get(rule["key"]) in rule["values"] for rule in sets)
        ]

    for each in made[overlay]:
        if each["kind"] in {"NetworkPolicy", "PodDisruptionBudget", "Deployment", "StatefulSet"}:
            spec = each["spec"]
            assert found(spec.get("podSelector") or spec["selector"]), each["metadata"]["name"]
            for rule in (*spec.get("ingress", ()), *spec.get("egress", ())):
                for peer in (*rule.get("from", ()), *rule.get("to", ())):
                    selector = peer.get("podSelector")
                    outside = (selector or {}).get("matchLabels", {}).get("app") in {"mlflow", "postgres", "minio"}
                    assert selector is None or outside or found(selector), each["metadata"]["name"]
        if each["kind"] == "Service":
            assert found({"matchLabels": each["spec"]["selector"]})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_the_containers_run_is_a_command_and_ops_yaml_is_valid(made, overlay, tmp_path):
    for name, template in pods(made[overlay]).items():
        arguments = template["spec"]["containers"][0].get("args")
        if arguments:
            context = main.make_context("mlflow-ops", list(arguments), resilient_parsing=False)
            command = main.get_command(context, arguments[0])
            command.make_context(arguments[0], list(arguments[1:]), parent=context)
        else:
            assert name == "mlflow-ops-redis"
    configured = [each for each in made[overlay] if each["kind"] == "ConfigMap" and "ops.yaml" in each["data"]]
    (tmp_path / "ops.yaml").write_text(configured[0]["data"]["ops.yaml"])
    assert settings.load({"MLFLOW_OPS_CONFIG": str(tmp_path / "ops.yaml")}).ops.channels


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_process_is_ready_when_it_says_so_where_the_image_says(made, overlay):
    dockerfile = (KUBERNETES.parents[1] / "Dockerfile").read_text()
    path = re.search(r"MLFLOW_OPS_READY_FILE=(\S+)", dockerfile)[1]
    assert f'CMD ["test", "-e", "{path}"]' in dockerfile
    for name, template in pods(made[overlay]).items():
        if name != "mlflow-ops-redis":
            assert template["spec"]["containers"][0]["readinessProbe"]["exec"]["command"] == ["test", "-e", path]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_stops_at_a_safe_point_before_it_is_killed(made, overlay):
    for name in ("mlflow-ops-worker-quick", "mlflow-ops-worker-ops"):
        pod = pods(made[overlay])[name]["spec"]
        (grace,) = [each["value"] for each in pod["containers"][0]["env"] if each["name"] == "MLFLOW_OPS_GRACE_SECONDS"]
        assert 0 < float(grace) <= pod["terminationGracePeriodSeconds"] - 30


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_knows_what_it_may_keep_on_disk(made, overlay):
    """The kubelet evicts a pod that takes more than its limit, or than its volume's; statvfs tells of neither."""
    for name in ("mlflow-ops-worker-quick", "mlflow-ops-worker-ops"):
        pod = pods(made[overlay])[name]["spec"]
        (container,) = pod["containers"]
        (told,) = [each["valueFrom"] for each in container["env"] if each["name"] == "MLFLOW_OPS_SCRATCH_BYTES"]
        assert told == {"resourceFieldRef": {"resource": "limits.ephemeral-storage"}}
        assert re.fullmatch(r"\d+Gi", container["resources"]["limits"]["ephemeral-storage"])
        (mount,) = [each for each in container["volumeMounts"] if each["mountPath"] == "/tmp"]
        (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
        assert volume["emptyDir"] == {}, "a limit of its own would be another one than the worker is told"


def test_another_namespace_is_said_once_and_reaches_everything(kubectl, tmp_path):
    """Rules, addresses, selectors and subjects too, which kustomize's own `namespace:` leaves as they are."""
    shutil.copytree(KUBERNETES.parent, tmp_path / "deploy", ignore=shutil.ignore_patterns("sandbox"))
    for overlay in OVERLAYS:
        file = tmp_path / "deploy" / "kubernetes" / "overlays" / overlay / "kustomization.yaml"
        file.write_text(file.read_text().replace("namespace: data-platform", f"namespace: {ELSEWHERE}"))
        done = kubectl("kustomize", str(file.parent))
        assert done.returncode == 0, done.stderr
        assert "data-platform" not in done.stdout
        documents = list(yaml.safe_load_all(done.stdout))
        subjects = [subject for each in documents for subject in each.get("subjects") or ()]
        assert {each["namespace"] for each in subjects} == {ELSEWHERE}
    named = {each["kind"]: each for each in documents}
    expressions = [rule["expr"] for group in named["PrometheusRule"]["spec"]["groups"] for rule in group["rules"]]
    assert sum(f'namespace="{ELSEWHERE}"' in each for each in expressions) == 2
    address = named["ScaledObject"]["spec"]["triggers"][0]["metadata"]["address"]
    assert address == f"mlflow-ops-redis.{ELSEWHERE}.svc.cluster.local:6379"
    looked_at = named["ValidatingAdmissionPolicyBinding"]["spec"]["matchResources"]["namespaceSelector"]
    assert looked_at == {"matchLabels": {"kubernetes.io/metadata.name": ELSEWHERE}}
    assert "namespace" not in named["ValidatingAdmissionPolicyBinding"]["metadata"]
    assert "namespace" not in named["ClusterRole"]["metadata"]


def test_production_is_watched_and_its_account_held(made):
    kinds = {each["kind"] for each in made["production"]}
    assert {"ServiceMonitor", "PrometheusRule", "ValidatingAdmissionPolicy", "PodDisruptionBudget"} <= kinds
    assert [each for each in made["production"] if "mlflow-ops.json" in each.get("data", ())]


def test_nobody_but_keda_says_how_many_workers_there_are(made):
    scaled = [each["spec"] for each in made["production"] if each["kind"] == "ScaledObject"]
    deployments = {
        each["metadata"]["name"]: each["spec"] for each in made["production"] if each["kind"] == "Deployment"
    }
    assert {name for name, spec in deployments.items() if "replicas" not in spec} == {
        each["scaleTargetRef"]["name"] for each in scaled
    }
    assert all(each["minReplicaCount"] >= 2 for each in scaled)


def test_keda_may_ask_redis(made):
    (policy,) = [
        each["spec"] for each in made["production"] if each["metadata"]["name"] == "mlflow-ops-redis-from-keda"
    ]
    redis_labels = pods(made["production"])["mlflow-ops-redis"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= redis_labels.items()
    (peer,) = policy["ingress"][0]["from"]
    assert peer == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    (port,) = policy["ingress"][0]["ports"]
    for each in made["production"]:
        if each["kind"] == "ScaledObject":
            assert each["spec"]["triggers"][0]["metadata"]["address"].endswith(f":{port['port']}")


def test_every_image_that_is_not_ours_is_named_by_its_digest(made):
    dockerfile = (KUBERNETES.parents[1] / "Dockerfile").read_text()
    images = re.findall(r"^(?:ARG PYTHON_IMAGE=|FROM )(\S+)", dockerfile, re.MULTILINE)
    for overlay in OVERLAYS:
        for template in pods(made[overlay]).values():
            images += [each["image"] for each in template["spec"]["containers"]]
    own = {"${PYTHON_IMAGE}", *stages()}
    foreign = {each for each in images if each not in own and not each.startswith("registry.example.com/")}
    assert len(foreign) == 2
    assert [each for each in foreign if not re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", each)] == []


def test_keda_counts_the_lists_on_which_jobs_wait(made):
    counted = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["triggers"][0]["metadata"]["listName"]
        for each in made["production"]
        if each["kind"] == "ScaledObject"
    }
    nowhere = Redis.from_url("redis://127.0.0.1:1/0")
    assert counted == {f"mlflow-ops-worker-{name}": queues.queue(name, nowhere).key for name in queues.QUEUES}


def test_the_probes_over_http_go_to_a_port_that_is_named(kubectl, tmp_path):
    (tmp_path / "overlay").mkdir()
    for each in ("kubernetes", "grafana"):
        shutil.copytree(KUBERNETES.parent / each, tmp_path / each)
    (tmp_path / "overlay" / "kustomization.yaml").write_text(
        "resources: [../kubernetes/overlays/minimal]\n"
        "components: [../kubernetes/components/http-probes, ../kubernetes/components/monitoring]\n"
    )
    done = kubectl("kustomize", str(tmp_path / "overlay"))
    assert done.returncode == 0, done.stderr
    documents = list(yaml.safe_load_all(done.stdout))
    for name, template in pods(documents).items():
        container = template["spec"]["containers"][0]
        if name in {"mlflow-ops-bot", "mlflow-ops-scheduler"}:
            (port,) = [each["value"] for each in container["env"] if each["name"] == "MLFLOW_OPS_METRICS_PORT"]
            assert int(port) == container["ports"][0]["containerPort"]
            assert container["readinessProbe"]["httpGet"]["port"] == container["ports"][0]["name"] == "metrics"
            assert "exec" not in container["readinessProbe"]
            assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert tried(kubectl, ours(documents)).returncode == 0
    service = next(each for each in documents if each["metadata"]["name"] == "mlflow-ops-metrics")
    monitor = next(each for each in documents if each["kind"] == "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    (board,) = [each for each in documents if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
    assert json.loads(board["data"]["mlflow-ops.json"])["uid"] == "mlflow-ops"
    assert board["metadata"]["namespace"] == "data-platform"
    rule = next(each for each in documents if each["kind"] == "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((KUBERNETES.parent / "prometheus" / "rules.yaml").read_text()), (
        "make prometheusrule.yaml anew: see CONTRIBUTING.md"
    )


@pytest.fixture
def minimal_with(kubectl, tmp_path):
    """What kustomize makes of the minimal overlay with a component."""

    def make(component):
        (tmp_path / "overlay").mkdir()
        shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
        (tmp_path / "overlay" / "kustomization.yaml").write_text(
            f"resources: [../kubernetes/overlays/minimal]\ncomponents: [../kubernetes/components/{component}]\n"
        )
        done = kubectl("kustomize", str(tmp_path / "overlay"))
        assert done.returncode == 0, done.stderr
        return list(yaml.safe_load_all(done.stdout))

    return make


def test_alertmanagers_way_to_the_bot_and_the_workers_way_to_alertmanager(kubectl, minimal_with):
    documents = minimal_with("alerts")
    assert tried(kubectl, ours(documents)).returncode == 0
    named = {each["metadata"]["name"]: each for each in documents if each["kind"] in {"Service", "NetworkPolicy"}}
    service, policy = named["mlflow-ops-alerts"]["spec"], named["mlflow-ops-from-alertmanager"]["spec"]
    found = [
        name
        for name, template in pods(documents).items()
        if service["selector"].items() <= template["metadata"]["labels"].items()
    ]
    assert found == ["mlflow-ops-bot"]
    assert policy["podSelector"]["matchLabels"] == service["selector"]
    port = service["ports"][0]["targetPort"]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port}]
    environment = pods(documents)["mlflow-ops-bot"]["spec"]["containers"][0]["env"]
    assert {"name": "MLFLOW_OPS_ALERTS_PORT", "value": str(port)} in environment
    assert {"name": "MLFLOW_OPS_CONFIG", "value": "/etc/mlflow-ops/ops.yaml"} in environment
    option = next(each for each in main.commands["bot"].params if each.name == "alerts_port")
    assert option.envvar == "MLFLOW_OPS_ALERTS_PORT"


def test_the_pod_of_a_peek_reaches_its_worker_and_nothing_else(kubectl, minimal_with):
    documents = minimal_with("point-in-time")
    assert tried(kubectl, ours(documents)).returncode == 0
    label = {job.PURPOSE: peek_pod.PURPOSE}
    policies = [each["spec"] for each in documents if each["kind"] == "NetworkPolicy"]
    (own,) = (each for each in policies if each["podSelector"].get("matchLabels") == label)
    assert own["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in own
    (rule,) = own["egress"]
    (worker,) = rule["to"]
    reached = [
        name
        for name, template in pods(documents).items()
        if worker["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    ]
    assert reached == ["mlflow-ops-worker-ops"]
    lets_in = [each for each in policies if {"podSelector": {"matchLabels": label}} in _peers(each)]
    assert [each["podSelector"]["matchLabels"] for each in lets_in] == [worker["podSelector"]["matchLabels"]]
    assert lets_in[0]["ingress"][0]["ports"] == rule["ports"]


def _peers(policy):
    return [peer for rule in policy.get("ingress", []) for peer in rule.get("from", [])]


def test_production_has_a_budget_and_two_of_each_process(made):
    counts = {each["metadata"]["name"]: each["spec"]["replicas"] for each in made["production"]
              if each["kind"] == "Deployment" and "replicas" in each["spec"]}  # fmt: skip
    counts |= {each["metadata"]["name"]: each["spec"]["minReplicaCount"] for each in made["production"]
               if each["kind"] == "ScaledObject"}  # fmt: skip
    budgets = {each["metadata"]["name"] for each in made["production"] if each["kind"] == "PodDisruptionBudget"}
    assert counts == dict.fromkeys(budgets, 2)


def test_variables_of_the_documented_secrets_are_those_that_are_read():
    text = (KUBERNETES.parents[1] / "docs" / "real-cluster.md").read_text()
    read = {field.alias for field in Environment.model_fields.values()} | {
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION",
    }  # fmt: skip
    given = {line.split("=")[1] for line in text.replace("--from-literal", "\n--from-literal").splitlines()
             if line.startswith("--from-literal=")}  # fmt: skip
    assert given
    assert {name for name in given if name.isupper()} <= read


def test_the_set_up_on_a_real_cluster_as_it_is_written(kubectl):
    """Every line of docs/real-cluster.md that needs no image: Secrets made, manifests applied, all of it there."""
    lines = re.findall(
        r"^```sh\n(.*?)^```$",
        (KUBERNETES.parents[1] / "docs" / "real-cluster.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
    script = "set -eu\n" + "".join(lines)
    known = set(re.findall(r"\$([A-Z][A-Z0-9_]+)", script))
    said = kubectl.script(script, **dict.fromkeys(known, "example"))
    assert said.returncode == 0, said.stderr
    found = kubectl("get", "deployment,statefulset,secret,networkpolicy", "-n", "data-platform", "-o", "name").stdout
    for name in ("deployment.apps/mlflow-ops-bot", "statefulset.apps/mlflow-ops-redis", "secret/mlflow-ops-worker"):
        assert name in found.split()
