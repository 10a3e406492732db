"""An object as YAML, as `kubectl get … -o yaml` prints it: without secrets and without the API server's bookkeeping.

It is for reading and comparing. For applying it elsewhere there is the backup, which keeps Secrets, encrypted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import yaml

from workers.operation import Operation, Progress, Risk
from workers.operations.choices import ManifestKind
from workers.operations.inspection.finding import name_of, one_of, our_pods
from workers.operations.inspection.masking import masked
from workers.operations.kubectl import by_hand, kubectl
from workers.redaction import MASK
from workers.report import Attachment, Report, Section, Status, Text
from workers.wording import count, size

if TYPE_CHECKING:
    from workers.settings import KubernetesNames
    from workers.systems import Systems

Json = dict[str, Any]
IN_MESSAGE: Final = 60
"""Lines; a longer manifest is a file by itself."""


@dataclass(frozen=True)
class _Kind:
    api_version: str
    kind: str
    plural: str
    group: str


_KINDS: Final = {
    "deployment": _Kind("apps/v1", "Deployment", "deployments", "apis/apps/v1"),
    "service": _Kind("v1", "Service", "services", "api/v1"),
    "configmap": _Kind("v1", "ConfigMap", "configmaps", "api/v1"),
    "secret": _Kind("v1", "Secret", "secrets", "api/v1"),
    "ingress": _Kind("networking.k8s.io/v1", "Ingress", "ingresses", "apis/networking.k8s.io/v1"),
    "pod": _Kind("v1", "Pod", "pods", "api/v1"),
    "hpa": _Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "apis/autoscaling/v2"),
}
_LISTED: Final = frozenset({"deployment", "service", "ingress", "pod", "hpa"})
"""What our Role may list: a part of a name is enough there, and it need not let us get any but MLflow's own."""


class Manifest(Operation):
    """Show an object as YAML."""

    name: ClassVar[str] = "manifest"
    risk: ClassVar[Risk] = Risk.READ

    what: ManifestKind
    called: str = ""
    as_file: bool = False

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it. Raises OperatorError where there is none of that name or our account may not read it."""
        progress.step(f"Reading the {self.what}")
        kind = _KINDS[self.what]
        item = self._found(systems)
        name = name_of(item)
        # Items of a list come without these two.
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, **item}
        text = yaml.safe_dump(masked(whole), sort_keys=False, allow_unicode=True, width=120)
        lines = text.count("\n")
        hidden = text.count(MASK)
        file = self.as_file or lines > IN_MESSAGE
        summary = f"{count(lines, 'line')}, {size(len(text.encode()))}"
        if hidden:
            summary += f"; {count(hidden, 'value')} masked"
        sections: list[Section] = [] if file else [Text(text=text, literal=True)]
        sections.append(by_hand(kubectl(systems.settings, "get", self.what, name, "-o", "yaml")))
        hints = {"deployment": ("history", "describe deployment"), "configmap": ("config show",), "pod": ()}
        return Report(
            title=f"Manifest of {self.what}/{name}",
            status=Status.OK,
            summary=f"{summary}.",
            sections=tuple(sections),
            hints=(*hints.get(self.what, ("status",)), *(() if file else (f"manifest {self.what} {name} --as file",))),
            attachments=(Attachment(filename=f"{self.what}-{name}.yaml", content=text, printed=True),) if file else (),
        )

    def _found(self, systems: Systems) -> Json:
        cluster, names = systems.cluster, systems.settings.ops.kubernetes
        kind, wanted = _KINDS[self.what], self.called or _usual(self.what, names)
        if self.what not in _LISTED:
            return cluster.named(kind.plural, wanted, kind.group)
        known = our_pods(systems) if self.what == "pod" else cluster.every(kind.plural, kind.group)
        by_name = {name_of(each): each for each in known}
        return by_name[one_of(wanted, by_name, self.what)]


def _usual(what: str, names: KubernetesNames) -> str:
    return {
        "deployment": names.deployment,
        "service": names.service,
        "configmap": names.configmap,
        "secret": names.secret,
        "ingress": names.ingress,
        "hpa": names.deployment,
    }.get(what, "")
