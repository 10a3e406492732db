"""Which pods and containers are ours, and which of them somebody means who types a part of a name.

Only what bears MLflow's, PostgreSQL's or the object store's labels is looked at: a namespace is often shared, and
what others log there is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.systems.cluster.fields import Fields
from workers.wording import listed, nearest

if TYPE_CHECKING:
    from workers.settings import KubernetesNames
    from workers.systems import Systems

Json = dict[str, Any]


@dataclass(frozen=True)
class Container:
    """A container of a pod. restarts: how often it was restarted."""

    pod: str
    name: str
    restarts: int
    running: bool

    def __str__(self) -> str:
        """As it is named in lists."""
        return f"{self.pod}/{self.name}"


def mlflow_pods(systems: Systems) -> list[Json]:
    """MLflow's own pods, by name."""
    return sorted(systems.cluster.pods(systems.settings.ops.kubernetes.selector), key=name_of)


def our_pods(systems: Systems) -> list[Json]:
    """The pods of MLflow, of PostgreSQL and of the object store: MLflow's first."""
    names = systems.settings.ops.kubernetes
    found: dict[str, Json] = {}
    for selector in dict.fromkeys((names.selector, names.postgres_selector, names.storage_selector)):
        for pod in sorted(systems.cluster.pods(selector), key=name_of):
            found.setdefault(name_of(pod), pod)
    return list(found.values())


def is_mlflows(names: KubernetesNames, kind: str, name: str) -> bool:
    """Whether an object of that kind and name is MLflow's: one that ops.yaml names, or a ReplicaSet or pod of it."""
    if name in {names.deployment, names.service, names.ingress, names.configmap, names.secret, names.tls_secret}:
        return True
    made = rf"{re.escape(names.deployment)}-[a-z0-9]+(-[a-z0-9]{{5}})?"
    return kind in {"ReplicaSet", "Pod"} and re.fullmatch(made, name) is not None


def name_of(item: Json) -> str:
    """metadata.name."""
    return Fields(item, "object").text("metadata", "name")


def one_of(word: str, names: Iterable[str], kind: str) -> str:
    """The one name that is meant: the whole, its beginning, its end, or a part that only one has.

    kind: what it is called in messages ("pod"). Raises OperatorError where there is none, or more than one.
    """
    known = list(dict.fromkeys(names))
    wanted = word.strip().lower()
    for fits in (str.__eq__, str.startswith, str.endswith, str.__contains__):
        found = [name for name in known if wanted and fits(name, wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            message = f"“{word[:60]}” fits {len(found)} {kind}s: {listed(found, most=5)}."
            raise OperatorError(message, "Write more of the name.")
    if not known:
        raise OperatorError(f"There is no {kind} at all.", "See /mlflow status.")
    near = nearest(wanted, known)
    hint = f"Did you mean {near}?" if near else f"Known: {listed(known, most=8)}."
    raise OperatorError(f"There is no {kind} “{word[:60]}”.", hint)


def containers_of(pods: Iterable[Json], wanted: str = "") -> list[Container]:
    """The containers of pods, or those of one name. Raises OperatorError where none has that name."""
    found: list[Container] = []
    for item in pods:
        pod = Fields(item, "pod")
        states = {each.text("name"): each for each in pod.each("status", "containerStatuses")}
        for spec in pod.each("spec", "containers"):
            name = spec.text("name")
            state = states.get(name)
            found.append(
                Container(
                    pod=pod.text("metadata", "name"),
                    name=name,
                    restarts=state.number("restartCount") if state else 0,
                    running=state.has("state", "running") if state else False,
                )
            )
    if not wanted:
        return found
    name = one_of(wanted, [each.name for each in found], "container")
    return [each for each in found if each.name == name]


def chosen(systems: Systems, pod: str, container: str) -> list[Container]:
    """The containers that --pod and --container mean; without a pod those of all of MLflow's pods.

    Raises OperatorError where there are none.
    """
    if pod:
        pods = our_pods(systems)
        name = one_of(pod, [name_of(each) for each in pods], "pod")
        pods = [each for each in pods if name_of(each) == name]
    else:
        pods = mlflow_pods(systems)
    if not pods:
        names = systems.settings.ops.kubernetes
        message = f"There is no pod with {names.selector} in {names.namespace}."
        raise OperatorError(message, "See /mlflow status and /mlflow events.")
    return containers_of(pods, container)
