"""The ConfigMap as it is, the pods that were started before it came to be so, and who may change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.operations.configuration.values import checksum
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterNotFound

if TYPE_CHECKING:
    from workers.systems import Systems

CHECKSUM = "mlflow-ops/configuration"
"""The annotation of the pods' template that says with which ConfigMap they were started: its checksum."""


@dataclass(frozen=True)
class ConfigMap:
    """MLflow's ConfigMap. changed_at: when its data was last written, if Kubernetes tells it. item: as it is there."""

    name: str
    uid: str
    version: str
    data: dict[str, str]
    binary: tuple[str, ...]
    immutable: bool
    checksum: str
    changed_at: datetime | None
    item: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, systems: Systems) -> ConfigMap:
        """From the cluster. Raises OperatorError where there is none, or where our account may not read it."""
        names = systems.settings.ops.kubernetes
        try:
            found = systems.cluster.configmap(names.configmap)
        except ClusterNotFound:
            message = f"There is no ConfigMap {names.configmap} in {names.namespace}."
            raise OperatorError(message, "Create it, or set kubernetes.configmap in ops.yaml.") from None
        return cls.of(found)

    @classmethod
    def of(cls, found: dict[str, Any]) -> ConfigMap:
        """From a ConfigMap."""
        fields = Fields(found, "ConfigMap")
        return cls(
            name=fields.text("metadata", "name"),
            uid=fields.text("metadata", "uid"),
            version=fields.text("metadata", "resourceVersion"),
            data=fields.labels("data"),
            binary=tuple(fields.labels("binaryData")),
            immutable=fields.flag("immutable"),
            checksum=checksum(found),
            changed_at=_changed_at(fields),
            item=found,
        )


def _changed_at(fields: Fields) -> datetime | None:
    """The latest write of data that the managed fields tell of (their times are in whole seconds)."""
    times = [
        moment
        for entry in fields.each("metadata", "managedFields")
        if entry.has("fieldsV1", "f:data") and (moment := entry.moment("time"))
    ]
    return max(times, default=None)


def older_pods(systems: Systems, configmap: ConfigMap) -> list[str]:
    """The pods whose container was started before the ConfigMap was last changed: they run with what was there then."""
    names = systems.settings.ops.kubernetes
    found = []
    for pod in systems.cluster.pods(names.selector):
        fields = Fields(pod, "pod")
        if fields.has("metadata", "deletionTimestamp") or fields.text("status", "phase") == "Succeeded":
            continue
        if fields.labels("metadata", "annotations").get(CHECKSUM) == configmap.checksum:
            continue
        started = [
            status.moment("state", "running", "startedAt")
            for status in fields.each("status", "containerStatuses")
            if status.text("name") == names.container
        ]
        if configmap.changed_at and any(moment and moment < configmap.changed_at for moment in started):
            found.append(fields.text("metadata", "name"))
    return found
