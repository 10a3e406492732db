"""Objects of the cluster become YAML that another cluster takes."""

from workers.operations.backup import configuration
from workers.operations.backup.configuration import LEFT_OUT, Export

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "mlflow",
        "namespace": "data-platform",
        "uid": "1-2",
        "resourceVersion": "77",
        "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "ownerReferences": [{"uid": "9"}],
        "labels": {"app": "mlflow"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "data"},
    },
    "spec": {
        "clusterIP": "10.0.0.7",
        "clusterIPs": ["10.0.0.7"],
        "ipFamilies": ["IPv4"],
        "type": "NodePort",
        "ports": [{"port": 5000, "nodePort": 30500}],
    },
    "status": {"loadBalancer": {}},
}


def test_what_the_server_writes_for_itself_is_left_out_and_the_rest_stays():
    assert configuration.clean(SERVICE) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "mlflow", "labels": {"app": "mlflow"}, "annotations": {"team": "data"}},
        "spec": {"type": "NodePort", "ports": [{"port": 5000, "nodePort": 30500}]},
    }


def test_a_headless_service_stays_headless():
    service = SERVICE | {"spec": {"clusterIP": "None", "clusterIPs": ["None"]}}
    assert configuration.clean(service)["spec"] == {"clusterIP": "None"}


def test_null_times_in_pod_templates_go():
    item = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "mlflow", "annotations": {"deployment.kubernetes.io/revision": "4"}},
        "spec": {"template": {"metadata": {"creationTimestamp": None, "labels": {"app": "mlflow"}}}},
    }
    assert configuration.clean(item) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "mlflow"},
        "spec": {"template": {"metadata": {"labels": {"app": "mlflow"}}}},
    }


def test_without_a_key_no_value_that_looks_like_a_secret_is_kept():
    container = {
        "name": "mlflow",
        "env": [
            {"name": "DB_PASSWORD", "value": "hunter2-hunter2"},
            {"name": "STORE", "value": "postgresql://mlflow:hunter2-hunter2@db/mlflow"},
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "mlflow-backend-secret", "key": "password"}}},
        ],
    }
    found = Export(
        [
            {"kind": "Secret", "metadata": {"name": "s"}, "data": {"x": "aHVudGVyMi1odW50ZXIy"}},
            {"kind": "Deployment", "metadata": {"name": "mlflow"}, "spec": {"containers": [container]}},
            {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"api_key": "hunter2-hunter2", "plain": "yes"}},
        ]
    )
    kept = configuration.without_secrets(found)
    text = kept.text().decode()
    assert "hunter2" not in text
    assert "aHVudGVy" not in text
    assert text.count(LEFT_OUT) == 3
    assert "value: info" in text
    assert "name: mlflow-backend-secret" in text
    assert kept.left_out == [
        "Secret s is left out: no key is set to encrypt it.",
        "Deployment mlflow: the value of DB_PASSWORD is left out, as it looks like a secret.",
        "Deployment mlflow: the value of STORE is left out, as it looks like a secret.",
        "ConfigMap c: the value of api_key is left out, as it looks like a secret.",
    ]


def test_what_a_pod_refers_to_is_found_wherever_it_refers():
    spec = {
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [
            {"secret": {"secretName": "mounted"}},
            {"configMap": {"name": "files"}},
            {"projected": {"sources": [{"secret": {"name": "projected"}}]}},
        ],
        "containers": [
            {
                "envFrom": [{"configMapRef": {"name": "mlflow-config"}}, {"secretRef": {"name": "backend"}}],
                "env": [{"valueFrom": {"secretKeyRef": {"name": "single", "key": "x"}}}],
            }
        ],
    }
    assert configuration._references(spec) == {
        "ConfigMap": {"files", "mlflow-config"},
        "Secret": {"registry", "mounted", "projected", "backend", "single"},
    }
