"""ConfigMaps, Secrets, Services, Ingresses, budgets, autoscalers, claims, roles."""

from __future__ import annotations

from typing import Any

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.quantities import parse_quantity
from mlflow_ops_sandbox.cluster.apiserver.validation.names import check_labels, config_key, dns_label, subdomain
from mlflow_ops_sandbox.cluster.apiserver.validation.problems import Problems
from mlflow_ops_sandbox.cluster.apiserver.validation.scaling import check_behavior, check_scopes
from mlflow_ops_sandbox.cluster.apiserver.validation.workloads import check_amount

_LARGEST = 1024 * 1024
_LAST_PORT = 65535
_PORT = "must be between 1 and 65535, inclusive"
_WHEN_IMMUTABLE = "field is immutable when `immutable` is set"
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def check_data(item: Object, problems: Problems) -> None:
    """Check a ConfigMap or a Secret."""
    size = 0
    for field in ("data", "binaryData"):
        for key, value in (item.get(field) or {}).items():
            size += len(str(value).encode())
            for sentence in config_key(key):
                problems.invalid(f"{field}[{key}]", key, sentence)
    if size > _LARGEST * (4 / 3 if "type" in item else 1):
        problems.too_long("data" if "type" in item else "", _LARGEST)
    if item.get("type") == "kubernetes.io/tls":
        for key in ("tls.crt", "tls.key"):
            if key not in (item.get("data") or {}):
                problems.required(f"data[{key}]")


def check_data_update(before: Object, after: Object, problems: Problems) -> None:
    """Check that an immutable ConfigMap or Secret, and the type of a Secret, stayed what they were."""
    if before.get("type") != after.get("type"):
        problems.invalid("type", after.get("type", ""), "field is immutable")
    if before.get("immutable"):
        if not after.get("immutable"):
            problems.forbidden("immutable", _WHEN_IMMUTABLE)
        for field in ("data", "binaryData"):
            if before.get(field) != after.get(field):
                problems.forbidden(field, _WHEN_IMMUTABLE)


def check_service(item: Object, problems: Problems) -> None:
    """Check a Service."""
    spec = item.get("spec") or {}
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        problems.required("spec.ports")
    names: set[str] = set()
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        here = f"spec.ports[{index}]"
        name, number = port.get("name", ""), port.get("port", 0)
        if not name and len(ports) > 1:
            problems.required(f"{here}.name")
        elif name in names and name:
            problems.duplicate(f"{here}.name", name)
        for sentence in dns_label(name) if name else ():
            problems.invalid(f"{here}.name", name, sentence)
        names.add(name)
        if not 0 < number <= _LAST_PORT:
            problems.invalid(f"{here}.port", number, _PORT)
        problems.one_of(f"{here}.protocol", port.get("protocol"), "SCTP", "TCP", "UDP")
        target = port.get("targetPort")
        if isinstance(target, int) and not 0 < target <= _LAST_PORT:
            problems.invalid(f"{here}.targetPort", target, _PORT)
        mark = (port.get("protocol"), number)
        if mark in seen:
            problems.duplicate(here, {"protocol": mark[0], "port": mark[1]})
        seen.add(mark)
    problems.one_of("spec.type", spec.get("type"), *_SERVICE_TYPES)
    problems.one_of("spec.sessionAffinity", spec.get("sessionAffinity"), "ClientIP", "None")
    check_labels(spec.get("selector"), "spec.selector", problems)


def check_service_update(before: Object, after: Object, problems: Problems) -> None:
    """Check that the address stayed what it was."""
    old, new = before["spec"].get("clusterIP"), after["spec"].get("clusterIP")
    if old and new != old and after["spec"].get("type") != "ExternalName":
        problems.invalid("spec.clusterIPs[0]", [new] if new else [], "may not change once set")
        return
    listed = after["spec"].get("clusterIPs")
    if new and listed and listed[0] != new:
        problems.invalid("spec.clusterIPs", listed, "first value must match `clusterIP`")


def check_ingress(item: Object, problems: Problems) -> None:
    """Check an Ingress."""
    spec = item.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        problems.invalid("spec", spec, "either `defaultBackend` or `rules` must be specified")
    for index, rule in enumerate(spec.get("rules") or ()):
        host = rule.get("host", "").removeprefix("*.")
        for sentence in subdomain(host) if host else ():
            problems.invalid(f"spec.rules[{index}].host", rule["host"], sentence)
        paths = (rule.get("http") or {}).get("paths")
        if "http" in rule and not paths:
            problems.required(f"spec.rules[{index}].http.paths")
        for number, path in enumerate(paths or ()):
            _check_path(path, f"spec.rules[{index}].http.paths[{number}]", problems)


def _check_path(path: Object, here: str, problems: Problems) -> None:
    kind = path.get("pathType")
    if kind is None:
        problems.required(f"{here}.pathType", "pathType must be specified")
    else:
        problems.one_of(f"{here}.pathType", kind, *_PATH_TYPES)
    if kind in {"Exact", "Prefix"} and not path.get("path", "").startswith("/"):
        problems.invalid(f"{here}.path", path.get("path", ""), "must be an absolute path")
    service = (path.get("backend") or {}).get("service")
    if service is None:
        if "resource" not in (path.get("backend") or {}):
            problems.required(f"{here}.backend", "service or resource backend is required")
        return
    if not service.get("name"):
        problems.required(f"{here}.backend.service.name")
    port = service.get("port") or {}
    if not port.get("name") and not port.get("number"):
        problems.required(f"{here}.backend", "port name or number is required")


def check_disruption_budget(item: Object, problems: Problems) -> None:
    """Check a PodDisruptionBudget."""
    spec = item.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        problems.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        check_amount(spec.get(field), f"spec.{field}", problems)


def check_autoscaler(item: Object, problems: Problems) -> None:
    """Check a HorizontalPodAutoscaler."""
    spec = item.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        problems.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        problems.invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        problems.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    reference = spec.get("scaleTargetRef") or {}
    for field in ("kind", "name"):
        if not reference.get(field):
            problems.required(f"spec.scaleTargetRef.{field}")
    check_behavior(spec.get("behavior"), problems)


def check_claim(item: Object, problems: Problems) -> None:
    """Check a PersistentVolumeClaim."""
    spec = item.get("spec") or {}
    if not spec.get("accessModes"):
        problems.required("spec.accessModes", "at least 1 access mode is required")
    for mode in spec.get("accessModes") or ():
        problems.one_of("spec.accessModes", mode, *_MODES)
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        problems.required("spec.resources[storage]")
    elif parse_quantity(storage) <= 0:
        problems.invalid("spec.resources[storage]", storage, "must be greater than zero")


def check_claim_update(before: Object, after: Object, problems: Problems) -> None:
    """Check that only the size has changed, and that it has not shrunk."""

    def fixed(spec: Object) -> Object:
        return {key: value for key, value in spec.items() if key not in {"resources", "volumeAttributesClassName"}}

    if fixed(before["spec"]) != fixed(after["spec"]):
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        problems.forbidden("spec", detail)
    old = before["spec"]["resources"]["requests"]["storage"]
    new = ((after["spec"].get("resources") or {}).get("requests") or {}).get("storage", old)
    if parse_quantity(new) < parse_quantity(old):
        problems.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def check_role(item: Object, problems: Problems) -> None:
    """Check a Role or ClusterRole."""
    for index, rule in enumerate(item.get("rules") or ()):
        here = f"rules[{index}]"
        if not rule.get("verbs"):
            problems.required(f"{here}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            continue
        if not rule.get("apiGroups"):
            problems.required(f"{here}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            problems.required(f"{here}.resources", "resource rules must supply at least one resource")


def check_role_binding(item: Object, problems: Problems) -> None:
    """Check a RoleBinding or ClusterRoleBinding."""
    reference = item.get("roleRef") or {}
    problems.one_of("roleRef.kind", reference.get("kind", ""), "ClusterRole", "Role")
    if not reference.get("name"):
        problems.required("roleRef.name")
    for index, subject in enumerate(item.get("subjects") or ()):
        here = f"subjects[{index}]"
        if not subject.get("name"):
            problems.required(f"{here}.name")
        problems.one_of(f"{here}.kind", subject.get("kind", ""), "Group", "ServiceAccount", "User")
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            problems.required(f"{here}.namespace")


def check_role_binding_update(before: Object, after: Object, problems: Problems) -> None:
    """Check that the role stayed what it was."""
    if before["roleRef"] != after.get("roleRef"):
        problems.invalid("roleRef", after.get("roleRef"), "cannot change roleRef")


def check_limits(item: Object, problems: Problems) -> None:
    """Check a LimitRange."""
    for index, entry in enumerate((item.get("spec") or {}).get("limits") or ()):
        for name, low in (entry.get("min") or {}).items():
            high = (entry.get("max") or {}).get(name)
            if high is not None and parse_quantity(low) > parse_quantity(high):
                detail = f"min value {low} is greater than max value {high}"
                problems.invalid(f"spec.limits[{index}].min[{name}]", low, detail)


def check_quota(item: Object, problems: Problems) -> None:
    """Check a ResourceQuota."""
    for name, amount in ((item.get("spec") or {}).get("hard") or {}).items():
        if parse_quantity(amount) < 0:
            problems.invalid(f"spec.hard[{name}]", amount, "must be greater than or equal to 0")
    check_scopes(item.get("spec") or {}, problems)
