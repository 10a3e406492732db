"""How a container takes its values from a ConfigMap: one by one, all together, or as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.systems.cluster.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterable


class References:
    """What one container of a Deployment takes from one ConfigMap."""

    def __init__(self, deployment: dict[str, Any], container: str, configmap: str) -> None:
        """Read it. Raises OperatorError where there is no container of that name."""
        template = Fields(deployment, "Deployment").inner("spec", "template", "spec")
        found = [each for each in template.each("containers") if each.text("name") == container]
        if not found:
            known = ", ".join(each.text("name") for each in template.each("containers"))
            message = f"The Deployment has no container {container}; it has {known}."
            raise OperatorError(message, "Set kubernetes.container in ops.yaml.")
        self.variables: dict[str, list[str]] = {}
        self.required: set[str] = set()
        for entry in found[0].each("env"):
            source = entry.inner("valueFrom", "configMapKeyRef")
            if source.text("name") == configmap:
                key = source.text("key")
                self.variables.setdefault(key, []).append(entry.text("name"))
                if not source.flag("optional"):
                    self.required.add(key)
        self.prefixes = [
            entry.text("prefix")
            for entry in found[0].each("envFrom")
            if entry.inner("configMapRef").text("name") == configmap
        ]
        mounted = {mount.text("name") for mount in found[0].each("volumeMounts")}
        self.as_files = any(
            volume.text("name") in mounted and volume.inner("configMap").text("name") == configmap
            for volume in template.each("volumes")
        )

    def of(self, key: str) -> str:
        """Where a value arrives: its variables, or as a file; empty where the container does not take it."""
        names = dict.fromkeys([*self.variables.get(key, ()), *(f"{prefix}{key}" for prefix in self.prefixes)])
        return ", ".join([*names, *(["a file"] if self.as_files else [])])

    def warnings(self, removed: Iterable[str], written: Iterable[str], container: str) -> tuple[str, ...]:
        """What whoever approves should know of keys that are removed or written."""
        needed = [key for key in removed if key in self.required]
        told = [
            f"The container {container} cannot start without {key} ({', '.join(self.variables[key])})."
            for key in needed
        ]
        told += [f"The container {container} does not take {key}." for key in written if not self.of(key)]
        return tuple(told)
