"""Events: what happened to which object, told once and then counted.

The kubelet's and the controllers' events carry ``source``, ``count`` and both timestamps, and the same event again
raises ``count``. Where many differ in their words alone, as the refusals of pods with random names do, they become one
from the tenth on, which always says the latest. The scheduler uses the newer API: its events have ``eventTime`` and
null timestamps, a trap for readers that sort by ``lastTimestamp``. Like etcd's lease, ``expire`` forgets events after
an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from mlflow_ops_sandbox.cluster.api.objects import Object, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.resources import EVENTS, PODS, Resource
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, from_rfc3339, to_micro_time, to_rfc3339

KEPT = timedelta(hours=1)
_SIMILAR = 10
_SIMILAR_WITHIN = timedelta(minutes=10)
_COMBINED = "(combined from similar events): "
"""Source: k8s.io/client-go/tools/record/events_cache.go."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What an event says."""

    reason: str
    message: str
    warning: bool = False
    container: str = ""
    """The container of the pod that it is about, if one."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes events into the store."""

    store: Store
    clock: Clock
    node: str

    def kubelet(self, pod: Object, happening: Happening) -> None:
        """Tell what the node did to a pod (or to one of its containers)."""
        self._counted(pod, PODS, {"component": "kubelet", "host": self.node}, happening)

    def controller(self, about: Object, resource: Resource, component: str, happening: Happening) -> None:
        """Tell what a controller did to an object."""
        self._counted(about, resource, {"component": component}, happening)

    def scheduler(self, pod: Object, happening: Happening) -> None:
        """Tell what the scheduler did with a pod."""
        now = self.clock()
        event = self._event(pod, PODS, happening)
        event |= {
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "eventTime": to_micro_time(now),
            "action": "Scheduling" if happening.warning else "Binding",
            "reportingComponent": "default-scheduler",
            "reportingInstance": f"default-scheduler-{self.node}",
        }
        self.store.create(EVENTS, event)

    def expire(self) -> None:
        """Forget events whose last occurrence is longer ago than an hour."""
        limit = self.clock() - KEPT
        for event in self.store.all(EVENTS):
            last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
            if from_rfc3339(last) < limit:
                self.store.delete(EVENTS, namespace_of(event), name_of(event))

    def _counted(self, about: Object, resource: Resource, source: Object, happening: Happening) -> None:
        now = to_rfc3339(self.clock())
        event = self._event(about, resource, happening)
        similar = [
            known
            for known in self.store.all(EVENTS, namespace_of(about))
            if known.get("source") == source and _kind_of(known) == _kind_of(event)
        ]
        same = next((known for known in similar if known["message"] == event["message"]), None)
        if same is None and self._are_many(similar):
            event["message"] = f"{_COMBINED}{event['message']}"
            same = next((known for known in similar if known["message"].startswith(_COMBINED)), None)
        if same is not None:
            self.store.update(
                EVENTS,
                namespace_of(same),
                name_of(same),
                lambda item: item.update(count=item["count"] + 1, lastTimestamp=now, message=event["message"]),
            )
            return
        event |= {
            "source": source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "eventTime": None,
            "reportingComponent": source["component"],
            "reportingInstance": source.get("host", ""),
        }
        self.store.create(EVENTS, event)

    def _are_many(self, similar: list[Object]) -> bool:
        limit = self.clock() - _SIMILAR_WITHIN
        recent = sum(from_rfc3339(known["lastTimestamp"]) >= limit for known in similar)
        return recent + 1 >= _SIMILAR

    def _event(self, about: Object, resource: Resource, happening: Happening) -> Object:
        involved: Object = {"kind": resource.kind}
        if namespace_of(about):
            involved["namespace"] = namespace_of(about)
        involved |= {
            "name": name_of(about),
            "uid": uid_of(about),
            "apiVersion": resource.api_version,
            "resourceVersion": about["metadata"]["resourceVersion"],
        }
        if happening.container:
            involved["fieldPath"] = f"spec.containers{{{happening.container}}}"
        nanoseconds = int(self.clock().timestamp() * 1_000_000) * 1000 + self.store.revision % 1000
        return {
            "metadata": {
                "name": f"{name_of(about)}.{nanoseconds:x}",
                "namespace": namespace_of(about) or "default",
            },
            "involvedObject": involved,
            "reason": happening.reason,
            "message": happening.message,
            "type": "Warning" if happening.warning else "Normal",
        }


def _kind_of(event: Object) -> tuple[str, ...]:
    """Return what makes two events similar: everything but their words."""
    about = event["involvedObject"]
    return event["type"], event["reason"], about.get("uid", ""), about.get("fieldPath", "")
