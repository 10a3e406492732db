"""Pods and pod templates."""

from __future__ import annotations

import re
from typing import Any

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.quantities import parse_quantity
from mlflow_ops_sandbox.cluster.apiserver.validation.names import (
    check_annotations,
    check_labels,
    dns_label,
    qualified_name,
)
from mlflow_ops_sandbox.cluster.apiserver.validation.problems import Problems

_POLICIES = ("Always", "IfNotPresent", "Never")
_DNS = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_PORT = "must be between 1 and 65535, inclusive"
_LAST_PORT = 65535
_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage", "storage"})


def check_pod(item: Object, problems: Problems) -> None:
    """Check a Pod. Blanks around an image are refused here alone: templates may have them, their pods may not."""
    spec = item.get("spec") or {}
    check_pod_spec(spec, "spec", problems)
    for field in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            image = container.get("image", "")
            if image != image.strip():
                here = f"spec.{field}[{index}].image"
                problems.invalid(here, image, "must not have leading or trailing whitespace")


def check_template(template: Object, path: str, problems: Problems, restart: tuple[str, ...] = ("Always",)) -> None:
    """Check a pod template; ``restart`` are the restart policies that its owner can do with."""
    metadata = template.get("metadata") or {}
    check_labels(metadata.get("labels"), f"{path}.metadata.labels", problems)
    check_annotations(metadata.get("annotations"), f"{path}.metadata.annotations", problems)
    spec = template.get("spec") or {}
    check_pod_spec(spec, f"{path}.spec", problems)
    policy = spec.get("restartPolicy")
    if policy not in restart:
        if policy == "Always":
            listed = ", ".join(f'"{entry}"' for entry in restart)
            problems.required(f"{path}.spec.restartPolicy", f"valid values: {listed}")
        else:
            problems.unsupported(f"{path}.spec.restartPolicy", policy, *restart)


def check_pod_spec(spec: Object, path: str, problems: Problems) -> None:
    """Check a pod's spec."""
    volumes = _check_volumes(spec, path, problems)
    if not spec.get("containers"):
        problems.required(f"{path}.containers")
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            here = f"{path}.{field}[{index}]"
            name = container.get("name", "")
            if name and name in names:
                problems.duplicate(f"{here}.name", name)
            names.add(name)
            _check_container(container, here, volumes, problems)
    problems.one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), "Always", "OnFailure", "Never")
    problems.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), *_DNS)
    problems.at_least(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    seconds = spec.get("activeDeadlineSeconds")
    if isinstance(seconds, int) and seconds < 1:
        problems.invalid(f"{path}.activeDeadlineSeconds", seconds, "must be between 1 and 2147483647, inclusive")
    check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector", problems)


def _check_volumes(spec: Object, path: str, problems: Problems) -> set[str]:
    names: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        here = f"{path}.volumes[{index}]"
        name = volume.get("name", "")
        if not name:
            problems.required(f"{here}.name")
        elif name in names:
            problems.duplicate(f"{here}.name", name)
        for sentence in dns_label(name) if name else ():
            problems.invalid(f"{here}.name", name, sentence)
        names.add(name)
        sources = [key for key in volume if key != "name"]
        if not sources:
            problems.required(here, "must specify a volume type")
        for extra in sources[1:]:
            problems.forbidden(f"{here}.{extra}", "may not specify more than 1 volume type")
        source = volume.get("persistentVolumeClaim")
        if source is not None and not source.get("claimName"):
            problems.required(f"{here}.persistentVolumeClaim.claimName")
        if "secret" in volume and not volume["secret"].get("secretName"):
            problems.required(f"{here}.secret.secretName")
        if "configMap" in volume and not volume["configMap"].get("name"):
            problems.required(f"{here}.configMap.name")
    return names


def _check_container(container: Object, path: str, volumes: set[str], problems: Problems) -> None:
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        problems.required(f"{path}.name")
    else:
        for sentence in dns_label(name):
            problems.invalid(f"{path}.name", name, sentence)
    if not image:
        problems.required(f"{path}.image")
    problems.one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), *_POLICIES)
    _check_ports(container, path, problems)
    _check_environment(container, path, problems)
    _check_mounts(container, path, volumes, problems)
    check_resources(container.get("resources") or {}, f"{path}.resources", problems)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _check_probe(container[probe], f"{path}.{probe}", problems, only_once=probe != "readinessProbe")


def _check_environment(container: Object, path: str, problems: Problems) -> None:
    for index, entry in enumerate(container.get("env") or ()):
        _check_env(entry, f"{path}.env[{index}]", problems)
    for index, entry in enumerate(container.get("envFrom") or ()):
        for source in ("configMapRef", "secretRef"):
            if source in entry and not entry[source].get("name"):
                problems.required(f"{path}.envFrom[{index}].{source}.name")


def _check_ports(container: Object, path: str, problems: Problems) -> None:
    for index, port in enumerate(container.get("ports") or ()):
        here = f"{path}.ports[{index}]"
        number = port.get("containerPort", 0)
        if not number:
            problems.required(f"{here}.containerPort")
        elif not 0 < number <= _LAST_PORT:
            problems.invalid(f"{here}.containerPort", number, _PORT)
        problems.one_of(f"{here}.protocol", port.get("protocol"), "SCTP", "TCP", "UDP")


def _check_env(entry: Object, path: str, problems: Problems) -> None:
    name = entry.get("name", "")
    if not name:
        problems.required(f"{path}.name")
    elif not re.fullmatch(r"[ -<>-~]+", name):
        sentence = "a valid environment variable name must consist only of printable ASCII characters other than '='"
        problems.invalid(f"{path}.name", name, sentence)
    source = entry.get("valueFrom")
    if source is None:
        return
    if entry.get("value"):
        problems.invalid(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")
    kinds = [key for key in ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef") if key in source]
    if not kinds:
        wanted = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        problems.invalid(f"{path}.valueFrom", "", wanted)
    if len(kinds) > 1:
        problems.invalid(f"{path}.valueFrom", "", "may not have more than one field specified at a time")
    for kind in kinds:
        if kind.endswith("KeyRef") and not source[kind].get("key"):
            problems.required(f"{path}.valueFrom.{kind}.key")


def _check_mounts(container: Object, path: str, volumes: set[str], problems: Problems) -> None:
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        here = f"{path}.volumeMounts[{index}]"
        name, where = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            problems.required(f"{here}.name")
        elif name not in volumes:
            problems.missing(f"{here}.name", name)
        if not where:
            problems.required(f"{here}.mountPath")
        elif where in seen:
            problems.invalid(f"{here}.mountPath", where, "must be unique")
        seen.add(where)


def check_resources(resources: Object, path: str, problems: Problems) -> None:
    """Check requests and limits."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, entries in (("limits", limits), ("requests", requests)):
        for name, amount in entries.items():
            here = f"{path}.{field}[{name}]"
            for sentence in qualified_name(name):
                problems.invalid(here, name, sentence)
            if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
                problems.invalid(here, name, "must be a standard resource type or fully qualified")
            _check_amount(here, amount, problems)
    for name, amount in requests.items():
        if name in limits and parse_quantity(amount) > parse_quantity(limits[name]):
            detail = f"must be less than or equal to {name} limit of {limits[name]}"
            problems.invalid(f"{path}.requests", amount, detail)


def _check_amount(path: str, amount: Any, problems: Problems) -> None:
    if parse_quantity(amount) < 0:
        problems.invalid(path, amount, "must be greater than or equal to 0")


def _check_probe(probe: Object, path: str, problems: Problems, *, only_once: bool) -> None:
    handlers = [key for key in _HANDLERS if key in probe]
    if not handlers:
        problems.required(path, "must specify a handler type")
    for extra in handlers[1:]:
        problems.forbidden(f"{path}.{extra}", "may not specify more than 1 handler type")
    port = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
    if isinstance(port, int) and not 0 < port <= _LAST_PORT:
        where = "httpGet" if "httpGet" in probe else "tcpSocket"
        problems.invalid(f"{path}.{where}.port", port, _PORT)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        problems.at_least(f"{path}.{field}", probe.get(field))
    if only_once and probe.get("successThreshold", 1) != 1:
        problems.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def check_pod_update(before: Object, after: Object, problems: Problems) -> None:
    """Check what a pod's spec has become; only images, tolerations and the deadline may change."""

    def fixed(spec: Object) -> Object:
        kept = {key: value for key, value in spec.items() if key not in {"activeDeadlineSeconds", "tolerations"}}
        for field in ("containers", "initContainers"):
            if field in kept:
                kept[field] = [{**entry, "image": ""} for entry in kept[field]]
        return kept

    if fixed(before["spec"]) != fixed(after["spec"]):
        problems.forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n",
        )
