"""What metrics.k8s.io tells: real figures of the real processes, measured every few seconds.

A process and its children count together. MLflow's one process stands behind several pods, so its figures are
divided over the ready ones. A pod that does not run has no metrics, as with metrics-server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import psutil

from mlflow_ops_sandbox.cluster.api.label_selectors import LabelSelector, matches
from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of, is_ready, labels_of, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.resources import NODE_METRICS, NODES, POD_METRICS, PODS
from mlflow_ops_sandbox.cluster.api.status import not_found
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_rfc3339
from mlflow_ops_sandbox.cluster.wiring import Process, Wiring

PERIOD_SECONDS = 5.0
APPLICATIONS = ("mlflow", "postgres", "minio")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process tree uses."""

    cores: float
    memory: int
    at: str
    window: float


@dataclass(frozen=True, slots=True)
class _Reading:
    cpu_seconds: dict[int, float]
    memory: int
    time: float


class Sampler:
    """Measures, again and again."""

    def __init__(self, wiring: Wiring, clock: Clock, period: float = PERIOD_SECONDS) -> None:
        self._wiring = wiring
        self._clock = clock
        self._period = period
        self._before: dict[str, _Reading] = {}
        self.usage: dict[str, Usage] = {}
        self.node: Usage | None = None

    async def run(self) -> None:
        """Measure for ever."""
        psutil.cpu_percent()
        loop = asyncio.get_running_loop()
        started = loop.time()
        # A first rate soon, then at the usual pace.
        pause = min(self._period, 0.5)
        while True:
            self.sample(loop.time())
            await asyncio.sleep(pause)
            pause = self._period if loop.time() - started > 2 * pause else pause

    def sample(self, time: float) -> None:
        """Measure once."""
        at = to_rfc3339(self._clock())
        for application in APPLICATIONS:
            process = self._wiring.process_of(application)
            reading = _read(process, time) if process is not None else None
            before = self._before.pop(application, None)
            if reading is None:
                self.usage.pop(application, None)
                continue
            self._before[application] = reading
            if before is None:
                continue
            window = time - before.time
            spent = sum(
                max(seconds - before.cpu_seconds.get(pid, 0.0), 0.0) for pid, seconds in reading.cpu_seconds.items()
            )
            self.usage[application] = Usage(spent / window if window > 0 else 0.0, reading.memory, at, window)
        memory = psutil.virtual_memory()
        cores = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1)
        self.node = Usage(cores, memory.total - memory.available, at, self._period)


def _read(process: Process, time: float) -> _Reading | None:
    pid = process.pid()
    if pid is None:
        return None
    cpu: dict[int, float] = {}
    memory = 0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return None
    for member in family:
        try:
            times = member.cpu_times()
            cpu[member.pid] = times.user + times.system
            memory += member.memory_info().rss
        except psutil.Error:
            continue  # it ended while we looked
    return _Reading(cpu, memory, time) if cpu else None


@dataclass(frozen=True, slots=True)
class Metrics:
    """The objects of metrics.k8s.io."""

    store: Store
    sampler: Sampler

    def pods(self, namespace: str, selector: LabelSelector) -> list[Object]:
        """Return the metrics of the pods that run."""
        chosen = [pod for pod in self.store.all(PODS, namespace) if matches(selector, labels_of(pod))]
        return [entry for pod in chosen if (entry := self._pod(pod)) is not None]

    def pod(self, namespace: str, name: str) -> Object:
        """Return the metrics of one pod. Raises ApiError 404."""
        pod = self.store.find(PODS, namespace, name)
        entry = self._pod(pod) if pod is not None else None
        if entry is None:
            error = not_found(POD_METRICS, name)
            error.message = f'podmetrics.metrics.k8s.io "{namespace}/{name}" not found'
            raise error
        return entry

    def nodes(self, selector: LabelSelector) -> list[Object]:
        """Return the metrics of the nodes."""
        usage = self.sampler.node
        if usage is None:
            return []
        return [
            {"metadata": _metadata(node, usage), **_times(usage), "usage": _usage(usage, 1)}
            for node in self.store.all(NODES)
            if matches(selector, labels_of(node))
        ]

    def node(self, name: str) -> Object:
        """Return the metrics of one node. Raises ApiError 404."""
        for entry in self.nodes(()):
            if name_of(entry) == name:
                return entry
        error = not_found(NODE_METRICS, name)
        error.message = f'nodemetrics.metrics.k8s.io "{name}" not found'
        raise error

    def _pod(self, pod: Object) -> Object | None:
        application = labels_of(pod).get("app", "")
        usage = self.sampler.usage.get(application)
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        runs = any("running" in status["state"] for status in statuses)
        if usage is None or not runs:
            return None
        share = 1
        if application == "mlflow":
            ready = [
                other for other in self.store.all(PODS, namespace_of(pod))
                if labels_of(other).get("app") == application and is_ready(other)
            ]  # fmt: skip
            share = max(len(ready), 1)
        containers = [
            {"name": container["name"], "usage": _usage(usage, share if index == 0 else 0)}
            for index, container in enumerate(containers_of(pod))
        ]
        metadata = _metadata(pod, usage) | {"namespace": namespace_of(pod)}
        return {"metadata": metadata, **_times(usage), "containers": containers}


def _metadata(item: Object, usage: Usage) -> Object:
    metadata: Object = {"name": name_of(item), "creationTimestamp": usage.at}
    return metadata | ({"labels": labels_of(item)} if labels_of(item) else {})


def _times(usage: Usage) -> Object:
    return {"timestamp": usage.at, "window": f"{usage.window:.3f}s"}


def _usage(usage: Usage, share: int) -> Object:
    if not share:
        return {"cpu": "0", "memory": "0"}
    return {
        "cpu": f"{round(usage.cores / share * 1_000_000_000)}n",
        "memory": f"{usage.memory // share // 1024}Ki",
    }
