"""What the repository begins with: MLflow's Deployment and ConfigMap as somebody keeps them in Git, with comments."""

from __future__ import annotations

from typing import Any, Final

import yaml

FOLDER: Final = "apps/mlflow"
DEPLOYMENT: Final = f"{FOLDER}/deployment.yaml"
CONFIG_MAP: Final = f"{FOLDER}/configmap.yaml"
_README: Final = "# Platform applications\n\nArgo CD applies what is on `main` to the cluster.\n"
_CONTAINER: Final = ("name", "image", "command", "args", "ports", "env", "envFrom", "resources")
_PROBE: Final = ("httpGet", "initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")
Json = dict[str, Any]


def files(deployment: Json, config_map: Json) -> dict[str, str]:
    """The first commit's files, from the objects that are in the cluster."""
    return {"README.md": _README, DEPLOYMENT: _deployment(deployment), CONFIG_MAP: _config_map(config_map)}


def _head(item: Json, version: str, kind: str) -> Json:
    metadata = {name: item["metadata"][name] for name in ("name", "namespace", "labels") if name in item["metadata"]}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _deployment(item: Json) -> str:
    template = item["spec"]["template"]
    containers = [_container(each) for each in template["spec"]["containers"]]
    spec = {
        "replicas": item["spec"]["replicas"],
        "selector": item["spec"]["selector"],
        "template": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": {"containers": containers}},
    }
    text = yaml.safe_dump(_head(item, "apps/v1", "Deployment") | {"spec": spec}, sort_keys=False)
    number = item["spec"]["replicas"]
    told = "  # Each pod holds a pool of connections: look at max_connections before you raise it.\n"
    text = text.replace(f"  replicas: {number}\n", f"{told}  replicas: {number}  # pods\n", 1)
    return f"# MLflow's tracking server. Owner: data platform.\n{text}"


def _container(given: Json) -> Json:
    kept = {name: given[name] for name in _CONTAINER if given.get(name)}
    kept["ports"] = [{"name": each["name"], "containerPort": each["containerPort"]} for each in given.get("ports", ())]
    for probe in ("readinessProbe", "livenessProbe"):
        if probe in given:
            kept[probe] = {name: given[probe][name] for name in _PROBE if name in given[probe]}
            kept[probe]["httpGet"] = {name: kept[probe]["httpGet"][name] for name in ("path", "port")}
    return kept


def _config_map(item: Json) -> str:
    body = yaml.safe_dump(_head(item, "v1", "ConfigMap") | {"data": item.get("data") or {}}, sort_keys=False)
    told = "data:\n  # Pods read these when they start."
    return "# What MLflow's pods are started with; secrets are elsewhere.\n" + body.replace("data:\n", f"{told}\n", 1)
