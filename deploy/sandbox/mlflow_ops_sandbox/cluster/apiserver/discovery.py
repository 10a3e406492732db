"""What the API tells of itself: version, groups, kinds; plain, and aggregated (apidiscovery.k8s.io/v2) for newer
clients.

kubectl keeps discovery in a cache on disk for hours; a group that comes or goes (metrics.k8s.io) is therefore seen
late by ``kubectl get``, though ``kubectl top`` asks afresh.
"""

from __future__ import annotations

from mlflow_ops_sandbox.cluster.api.features import Features
from mlflow_ops_sandbox.cluster.api.negotiation import parse_accept
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import (
    CERT_MANAGER_GROUP,
    GROUPS,
    METRICS_GROUP,
    STORED,
    Resource,
    resources_of,
)

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "98b35193b2ac7a23a673325f5e9b830ecd5ba406",
    "gitTreeState": "clean",
    "buildDate": "2026-08-21T11:29:11Z",
    "goVersion": "go1.26.10",
    "compiler": "gc",
    "platform": "linux/amd64",
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_METRICS = (METRICS_GROUP, ("v1beta1",))
_CERT_MANAGER = (CERT_MANAGER_GROUP, ("v1",))


def wants_aggregated(accept: str) -> bool:
    """Say whether the client takes aggregated discovery of version 2 before anything plain."""
    for clause in parse_accept(accept):
        if clause.media_type == "application/json":
            shape = clause.shape
            if shape == ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2"):
                return True
            if not shape[0]:
                return False
    return False


def groups(features: Features) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the named groups that are served now."""
    installed = ((_CERT_MANAGER, features.cert_manager), (_METRICS, features.metrics))
    return (*GROUPS, *(group for group, is_installed in installed if is_installed))


def api_versions(address: str) -> Object:
    """Answer /api."""
    entry = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [entry]}


def group_list(features: Features) -> Object:
    """Answer /apis."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(name, versions) for name, versions in groups(features)],
    }


def group(name: str, features: Features) -> Object | None:
    """Answer /apis/<group>; None where there is no such group."""
    for entry, versions in groups(features):
        if entry == name:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}
    return None


def resource_list(name: str, version: str, features: Features) -> Object | None:
    """Answer /api/v1 and /apis/<group>/<version>; None where there is no such group and version."""
    known = {"": ("v1",), **dict(groups(features))}
    if version not in known.get(name, ()):
        return None
    entries = [entry for resource in resources_of(name, version) for entry in _entries(resource)]
    api_version = f"{name}/{version}" if name else version
    body: Object = {"kind": "APIResourceList", "groupVersion": api_version, "resources": entries}
    return body if not name else {"kind": body["kind"], "apiVersion": "v1", **body}


def aggregated(features: Features, *, core: bool) -> Object:
    """Answer /api or /apis with everything at once."""
    chosen = (("", ("v1",)),) if core else groups(features)
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [_aggregated_version(name, version) for version in versions],
        }
        for name, versions in chosen
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _group(name: str, versions: tuple[str, ...]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _entries(resource: Resource) -> list[Object]:
    entry: Object = {
        "name": resource.plural,
        "singularName": "" if resource.group == METRICS_GROUP else resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource in STORED:
        entry["storageVersionHash"] = resource.storage_version_hash
    entries = [entry]
    for subresource in resource.subresources:
        below: Object = {
            "name": f"{resource.plural}/{subresource.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": subresource.kind,
            "verbs": list(subresource.verbs),
        }
        if subresource.version:
            below |= {"group": subresource.group, "version": subresource.version}
        entries.append(below)
    return entries


def _aggregated_version(name: str, version: str) -> Object:
    resources: list[Object] = []
    for resource in resources_of(name, version):
        entry: Object = {
            "resource": resource.plural,
            "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "singularResource": resource.singular,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        if resource.subresources:
            entry["subresources"] = [
                {
                    "subresource": below.name,
                    "responseKind": {
                        "group": below.group or resource.group,
                        "version": below.version or resource.version,
                        "kind": below.kind,
                    },
                    "verbs": list(below.verbs),
                }
                for below in resource.subresources
            ]
        resources.append(entry)
    return {"version": version, "resources": resources, "freshness": "Current"}
