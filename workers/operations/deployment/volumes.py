"""Volumes that not every pod can have at once: claims that are ReadWriteOnce or ReadWriteOncePod.

A claim that is ReadWriteOnce is there for the pods of one node; ReadWriteOncePod, for one pod. In a rolling update the
new pod comes while the old one still has it
(https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.deployment.estimate import allowances
from workers.operations.deployment.judging import figures
from workers.wording import listed

if TYPE_CHECKING:
    from workers.systems.cluster.client import Cluster

Json = dict[str, Any]

_ONE_POD: Final = "ReadWriteOncePod"
_ONE_NODE: Final = "ReadWriteOnce"
_MANY: Final = frozenset({"ReadWriteMany", "ReadOnlyMany"})


def of_rollout(cluster: Cluster, deployment: Json, pod_spec: Json) -> Iterator[str]:
    """Warnings about a rollout of this pod spec. Raises OperatorError if no new pod could ever have its volume."""
    surge, gone = allowances(deployment)
    if not surge or not figures(deployment)[0]:
        return
    claims = _claims(cluster, pod_spec)
    for name in claims.get(_ONE_POD, ()):
        if not gone:
            raise OperatorError(
                f"PersistentVolumeClaim {name} is {_ONE_POD}, and with maxUnavailable 0 the old pod keeps it: no new "
                "pod would start.",
                "Set the Deployment's strategy to Recreate first.",
            )
    for name in claims.get(_ONE_NODE, ()):
        ends = (
            "With maxUnavailable 0 the old one doesn't leave, and the rollout would stop there."
            if not gone
            else "It may take longer."
        )
        yield f"PersistentVolumeClaim {name} is {_ONE_NODE}: a new pod on another node waits for the old one. {ends}"
    yield from _unknown(claims)


def of_scale(cluster: Cluster, pod_spec: Json, replicas: int) -> Iterator[str]:
    """Warnings about so many pods. Raises OperatorError if only one of them could ever have its volume."""
    if replicas < 2:  # noqa: PLR2004 - one pod shares with nobody
        return
    claims = _claims(cluster, pod_spec)
    for name in claims.get(_ONE_POD, ()):
        raise OperatorError(f"PersistentVolumeClaim {name} is {_ONE_POD}: only one pod can have it.", "Stay at 1.")
    for name in claims.get(_ONE_NODE, ()):
        yield f"PersistentVolumeClaim {name} is {_ONE_NODE}: pods on another node than the first would not start."
    yield from _unknown(claims)


def _claims(cluster: Cluster, pod_spec: Json) -> dict[str, list[str]]:
    """The pod's claims by what they allow; under an empty word those that could not be looked at."""
    names = [
        str(each["persistentVolumeClaim"]["claimName"])
        for each in pod_spec.get("volumes") or ()
        if each.get("persistentVolumeClaim")
    ]
    if not names:
        return {}
    try:
        found = {each["metadata"]["name"]: each for each in cluster.volume_claims()}
    except OperatorError:
        return {"": names}
    claims: dict[str, list[str]] = {}
    for name in names:
        claim = found.get(name)
        modes = set(((claim or {}).get("status") or {}).get("accessModes") or ()) or set(
            ((claim or {}).get("spec") or {}).get("accessModes") or ()
        )
        if not modes & _MANY:
            word = "" if claim is None else _ONE_POD if _ONE_POD in modes else _ONE_NODE
            claims.setdefault(word, []).append(name)
    return claims


def _unknown(claims: dict[str, list[str]]) -> Iterator[str]:
    if claims.get(""):
        told = f"PersistentVolumeClaim {listed(claims[''])} couldn't be looked at"
        yield f"{told}: it may be for the pods of one node only."
