"""What a data platform's MLflow would hold, written through MLflow's own HTTP interface.

Deterministic for a seed number and a clock. Interrupted, it is taken up again: experiments are found by name, runs by
their seed tag, and what is written twice is the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts.mlflow import samples
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.web import OK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlflow_ops_sandbox.parts.mlflow.samples import Run

SEED_TAG: Final = "sandbox.seed"
_TOGETHER: Final = 6
_SECONDS: Final = 60
_CONFLICT: Final = "RESOURCE_ALREADY_EXISTS"


async def fill(port: int, *, now: datetime, number: int = samples.NUMBER) -> str:
    """Write everything that is not there yet; what there is, in words. Raises SandboxError where MLflow refuses."""
    wanted = samples.experiments(number, now)
    async with aiohttp.ClientSession(
        f"http://{HOST}:{port}",
        timeout=aiohttp.ClientTimeout(total=_SECONDS),
        connector=aiohttp.TCPConnector(limit=_TOGETHER),
        trust_env=False,
    ) as session:
        client = _Client(session)
        try:
            await _write(client, wanted)
        except (aiohttp.ClientError, TimeoutError) as error:
            msg = f"MLflow did not take its first experiments ({error or type(error).__name__}): start again."
            raise SandboxError(msg) from None
    runs = sum(len(item.runs) for item in wanted)
    return f"{len(wanted)} experiments, {runs} runs, a model with two versions"


async def _write(client: _Client, wanted: list[samples.Experiment]) -> None:
    # One after the other, so that the ids are the same each time.
    numbers = [await client.experiment(item) for item in wanted]
    tasks = [_runs(client, number, item.runs) for number, item in zip(numbers, wanted, strict=True)]
    places: dict[str, tuple[str, str]] = {}
    for written in await asyncio.gather(*tasks):
        places |= written
    await _model(client, places)
    for number, item in zip(numbers, wanted, strict=True):
        if item.deleted:
            await client.post("experiments/delete", experiment_id=number)


class _Client:
    """MLflow's HTTP interface, as far as it is needed."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, method: str, **body: Any) -> dict[str, Any]:
        async with self._session.post(f"/api/2.0/mlflow/{method}", json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status != OK and answer.get("error_code") != _CONFLICT:
                msg = f"MLflow refused {method}: {answer.get('message') or response.status}."
                raise SandboxError(msg)
            return answer

    async def experiment(self, wanted: samples.Experiment) -> str:
        """The id of an experiment, which is made, or brought back, where it is not there."""
        query = {"experiment_name": wanted.name}
        async with self._session.get("/api/2.0/mlflow/experiments/get-by-name", params=query) as response:
            found = (await response.json(content_type=None)).get("experiment")
        if found is None:
            made = await self.post("experiments/create", name=wanted.name, tags=_pairs(wanted.tags))
            return str(made["experiment_id"])
        if found["lifecycle_stage"] == "deleted":
            await self.post("experiments/restore", experiment_id=found["experiment_id"])
        return str(found["experiment_id"])

    async def versions(self, model: str) -> int:
        """How many versions a registered model has."""
        query = {"filter": f"name = '{model}'"}
        async with self._session.get("/api/2.0/mlflow/model-versions/search", params=query) as response:
            return len((await response.json(content_type=None)).get("model_versions", ()))

    async def put(self, experiment: str, run: str, path: str, content: bytes) -> None:
        """Write an artifact through the server."""
        address = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/{path}"
        async with self._session.put(address, data=content) as response:
            if response.status != OK:
                msg = f"MLflow refused the artifact {path}: {await response.text()}"
                raise SandboxError(msg)


async def _runs(client: _Client, experiment: str, wanted: list[Run]) -> dict[str, tuple[str, str]]:
    """Write the runs of one experiment; (experiment id, run id) by their names."""
    found = await client.post("runs/search", experiment_ids=[experiment], max_results=1000, run_view_type="ALL")
    known = {
        tag["value"]: str(run["info"]["run_id"])
        for run in found.get("runs", ())
        for tag in run["data"].get("tags", ())
        if tag["key"] == SEED_TAG
    }
    written = await asyncio.gather(*(_run(client, experiment, run, known.get(run.name)) for run in wanted))
    return {item.name: (experiment, run) for item, run in zip(wanted, written, strict=True)}


async def _run(client: _Client, experiment: str, wanted: Run, known: str | None) -> str:
    """Write one run, whole; its id."""
    if known is None:
        created = await client.post(
            "runs/create",
            experiment_id=experiment,
            run_name=wanted.name,
            start_time=wanted.start,
            tags=_pairs({SEED_TAG: wanted.name}),
        )
        run = str(created["run"]["info"]["run_id"])
    else:
        run = known
        # A deleted run takes nothing.
        await client.post("runs/restore", run_id=run)
    metrics = [
        {"key": key, "step": step, "value": value, "timestamp": timestamp}
        for key, step, value, timestamp in wanted.metrics
    ]
    await client.post(
        "runs/log-batch", run_id=run, metrics=metrics, params=_pairs(wanted.params), tags=_pairs(wanted.tags)
    )
    await asyncio.gather(*(client.put(experiment, run, path, content) for path, content in wanted.artifacts.items()))
    if wanted.end is not None:
        await client.post("runs/update", run_id=run, status=wanted.status, end_time=wanted.end)
    if wanted.deleted:
        await client.post("runs/delete", run_id=run)
    return run


async def _model(client: _Client, places: Mapping[str, tuple[str, str]]) -> None:
    """Register the model with its versions and point the alias at the newest one."""
    await client.post("registered-models/create", name=samples.MODEL, description=samples.MODEL_DESCRIPTION)
    for name in samples.MODEL_RUNS[await client.versions(samples.MODEL) :]:
        experiment, run = places[name]
        source = f"mlflow-artifacts:/{experiment}/{run}/artifacts/model"
        await client.post("model-versions/create", name=samples.MODEL, source=source, run_id=run)
    newest = str(len(samples.MODEL_RUNS))
    await client.post("registered-models/alias", name=samples.MODEL, alias="champion", version=newest)


def _pairs(items: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in items.items()]
