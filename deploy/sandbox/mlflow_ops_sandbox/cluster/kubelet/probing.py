"""The probes of a running pod: readiness writes whether it is ready, liveness tells when it must be started again."""

from __future__ import annotations

import asyncio

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.kubelet.backing import Backing
from mlflow_ops_sandbox.cluster.kubelet.pod_record import PodRecord


async def probe_until_dead(record: PodRecord, backing: Backing) -> None:
    """Keep the pod's readiness in step; returns once its liveness probe has failed too often."""
    tasks = [
        asyncio.create_task(_probe_readiness(record, backing)),
        asyncio.create_task(_await_liveness_failure(record, backing)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _probe_readiness(record: PodRecord, backing: Backing) -> None:
    probe: Object = record.container().get("readinessProbe") or {}
    pace = record.node.pace.probe_period
    period = pace or float(probe.get("periodSeconds", 1))
    if pace is None and not record.state.ready:
        await asyncio.sleep(float(probe.get("initialDelaySeconds", 0)))
    failures = successes = 0
    while True:
        problem = await backing.probe(probe, record.placement.pod_ip) if probe else ""
        if problem:
            failures, successes = failures + 1, 0
            record.event("Unhealthy", f"Readiness probe failed: {problem}", warning=True)
            if failures >= probe.get("failureThreshold", 3):
                record.set_ready(ready=False)
        else:
            failures, successes = 0, successes + 1
            if successes >= probe.get("successThreshold", 1):
                record.set_ready(ready=True)
        await asyncio.sleep(period)


async def _await_liveness_failure(record: PodRecord, backing: Backing) -> None:
    probe: Object = record.container().get("livenessProbe") or {}
    if not probe:
        await asyncio.Event().wait()
    pace = record.node.pace.liveness_period
    await asyncio.sleep(pace or float(probe.get("initialDelaySeconds", 0)))
    failures = 0
    while failures < probe.get("failureThreshold", 3):
        problem = await backing.probe(probe, record.placement.pod_ip)
        failures = failures + 1 if problem else 0
        if problem:
            record.event("Unhealthy", f"Liveness probe failed: {problem}", warning=True)
        if failures < probe.get("failureThreshold", 3):
            await asyncio.sleep(pace or float(probe.get("periodSeconds", 10)))
    message = f"Container {record.main} failed liveness probe, will be restarted"
    record.event("Killing", message)
