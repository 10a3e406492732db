"""Who else owns an object: Helm, Argo CD or Flux, and what of theirs undoes a change made here.

They are known by the labels and annotations that they set
(https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/, https://fluxcd.io/flux/faq/), else by the name
that they write under, which the API server keeps in managedFields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from workers.systems.cluster.fields import Fields

Json = dict[str, Any]

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
_HELM_RELEASE: Final = "meta.helm.sh/release-name"
_FLUX_KUSTOMIZE: Final = "kustomize.toolkit.fluxcd.io"
_FLUX_HELM: Final = "helm.toolkit.fluxcd.io"


@dataclass(frozen=True)
class Owner:
    """name: who owns it ("Argo CD, application mlflow"). undoes: what undoes a change made here, and when."""

    name: str
    undoes: str


_FLUX_UNDOES: Final = "its next reconciliation undoes the change, at its interval (often 10 min)"
_ARGO_UNDOES: Final = "its next sync undoes the change, within seconds if self-heal is on"
_HELM_RELEASE_UNDOES: Final = "its next upgrade undoes the change, and so does drift detection if that is on"
_HELM_UNDOES: Final = "the next helm upgrade undoes the change"

_BY_MANAGER: Final = {
    "argocd-controller": Owner("Argo CD", _ARGO_UNDOES),
    "argocd-application-controller": Owner("Argo CD", _ARGO_UNDOES),
    "kustomize-controller": Owner("Flux", _FLUX_UNDOES),
    "helm-controller": Owner("Flux", _HELM_RELEASE_UNDOES),
    "helm": Owner("Helm", _HELM_UNDOES),
}
"""https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers"""


def owner_of(item: Json) -> Owner | None:
    """Who owns an object; None if only people and the cluster itself do.

    What deploys comes before what rendered: Argo CD and Flux leave Helm's labels on what they make of a chart.
    """
    fields = Fields(item, "object")
    labels, notes = fields.labels("metadata", "labels"), fields.labels("metadata", "annotations")
    return _argo(labels, notes) or _flux(labels, notes) or _helm(labels, notes) or _by_manager(fields)


def managers_of(owner: Owner) -> frozenset[str]:
    """The names that an owner writes under."""
    return frozenset(name for name, known in _BY_MANAGER.items() if owner.name.startswith(known.name))


def warnings(*items: Json) -> Iterator[str]:
    """A warning for each owner of objects that are about to change; an item has its kind."""
    for owner, named in _grouped(items):
        verb = "is" if " and " not in named else "are"
        yield f"{named} {verb} managed by {owner.name}: {owner.undoes}. Make it there too."


def of_restart(deployment: Json) -> Iterator[str]:
    """A restart adds an annotation to the template that no manifest has, as a rule: they leave it alone."""
    for owner, named in _grouped((deployment,)):
        yield (
            f"{named} is managed by {owner.name}. It keeps the annotation that a restart adds, unless its own manifest "
            "has kubectl.kubernetes.io/restartedAt too."
        )


def of_renewal(certificate: Json) -> Iterator[str]:
    """A renewal writes a condition into the status, and cert-manager the Secret: neither stands in a manifest."""
    for owner, named in _grouped((certificate,)):
        yield f"{named} is managed by {owner.name}. It doesn't undo a renewal, which changes the status only."


def told(items: Iterable[Json]) -> Iterator[tuple[str, str]]:
    """(object, who owns it and what that means), for a table of facts."""
    for item in items:
        owner = owner_of(item)
        if owner is not None:
            yield name_of(item), f"{owner.name}: {owner.undoes}"


def _grouped(items: Iterable[Json]) -> Iterator[tuple[Owner, str]]:
    found: dict[Owner, list[str]] = {}
    for item in items:
        owner = owner_of(item)
        if owner is not None:
            found.setdefault(owner, []).append(name_of(item))
    return ((owner, " and ".join(names)) for owner, names in found.items())


def name_of(item: Json) -> str:
    """kind/name, as kubectl says it; a list leaves the kind out."""
    kind = str(item.get("kind") or ("Deployment" if "spec" in item else "ConfigMap"))
    return f"{kind.lower()}/{item['metadata']['name']}"


def _argo(labels: dict[str, str], notes: dict[str, str]) -> Owner | None:
    tracked = notes.get("argocd.argoproj.io/tracking-id", "").partition(":")[0]
    application = tracked or labels.get("argocd.argoproj.io/instance", "")
    if not application and labels.get(MANAGED_BY, "").lower() in {"argocd", "argo-cd"}:
        return Owner("Argo CD", _ARGO_UNDOES)
    return Owner(f"Argo CD, application {application}", _ARGO_UNDOES) if application else None


def _flux(labels: dict[str, str], notes: dict[str, str]) -> Owner | None:
    for prefix, kind, undoes in (
        (_FLUX_KUSTOMIZE, "Kustomization", _FLUX_UNDOES),
        (_FLUX_HELM, "HelmRelease", _HELM_RELEASE_UNDOES),
    ):
        name, namespace = labels.get(f"{prefix}/name", ""), labels.get(f"{prefix}/namespace", "")
        if not name:
            continue
        full = f"Flux, {kind} {f'{namespace}/' if namespace else ''}{name}"
        off = "disabled" in {labels.get(f"{prefix}/reconcile"), notes.get(f"{prefix}/reconcile")}
        return Owner(full, "reconciling is off for it, so the change stays until that is on again" if off else undoes)
    return None


def _helm(labels: dict[str, str], notes: dict[str, str]) -> Owner | None:
    release = notes.get(_HELM_RELEASE, "")
    if release:
        return Owner(f"Helm, release {release}", _HELM_UNDOES)
    return Owner("Helm", _HELM_UNDOES) if labels.get(MANAGED_BY) == "Helm" else None


def _by_manager(fields: Fields) -> Owner | None:
    managers = [each.text("manager") for each in fields.each("metadata", "managedFields")]
    return next((owner for name, owner in _BY_MANAGER.items() if name in managers), None)
