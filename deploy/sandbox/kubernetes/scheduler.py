"""Gives pods their node. There is one, and it takes everything."""

from __future__ import annotations

from collections.abc import Callable

from deploy.sandbox.kubernetes.events import Happening, Recorder
from deploy.sandbox.kubernetes.objects import Object, is_terminating, name_of, namespace_of
from deploy.sandbox.kubernetes.resources import PODS
from deploy.sandbox.kubernetes.store import Store


def schedule_pods(store: Store, events: Recorder, is_held_back: Callable[[Object], bool]) -> None:
    """Assign every pod that has no node, save those that are kept pending on purpose."""
    for pod in store.all(PODS):
        if not pod["spec"].get("nodeName") and not is_terminating(pod) and not is_held_back(pod):
            schedule(store, events, pod)


def schedule(store: Store, events: Recorder, pod: Object) -> Object:
    """Assign one pod, and tell of it."""
    namespace, name = namespace_of(pod), name_of(pod)
    assigned = store.update(PODS, namespace, name, lambda item: item["spec"].update(nodeName=events.node), intent=False)
    message = f"Successfully assigned {namespace}/{name} to {events.node}"
    events.scheduler(assigned, Happening("Scheduled", message))
    return assigned
