"""Made-up experiments of a team that forecasts power and carbon: names, parameters, curves, files.

Everything follows from one number and one moment. Runs are spread over the half year before that moment, so that some
are older than the ninety days after which the runbook archives them.
"""

from __future__ import annotations

import json
import math
import random
import struct
import zlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

NUMBER: Final = 254
MODEL: Final = "carbon-intensity"
MODEL_DESCRIPTION: Final = "Grid carbon intensity for the next 48 hours, by bidding zone."
MODEL_RUNS: Final = ("carbon-intensity-forecast-08", "carbon-intensity-forecast-09")
_RUNS: Final = 10
_RETIRED_RUNS: Final = 3
_STEPS: Final = 20
_FAILS: Final = "-03"
_KILLED: Final = "risk-05"
_WITH_RUNNING: Final = "load-forecast-eu"
_WITH_DELETED: Final = "emissions-anomaly"
_NAMES: Final = (
    ("carbon-intensity-forecast", "forecasting", "lightgbm"),
    ("power-price-day-ahead", "markets", "xgboost"),
    ("load-forecast-eu", "forecasting", "temporal-fusion"),
    ("emissions-anomaly", "reporting", "isolation-forest"),
    ("contract-extraction", "documents", "layout-transformer"),
    ("grid-outage-risk", "markets", "catboost"),
)
_RETIRED: Final = ("ranking-prototype", "documents", "lightgbm")
_USERS: Final = ("mira", "jonas", "leila", "tomas")
_MINUTE: Final = 60_000


@dataclass(frozen=True, slots=True)
class Run:
    """One run. Times are milliseconds since 1970; a run without an end is running."""

    name: str
    status: str
    start: int
    end: int | None
    params: dict[str, str]
    tags: dict[str, str]
    # Each: name, step, value, time.
    metrics: list[tuple[str, int, float, int]]
    artifacts: dict[str, bytes]
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment."""

    name: str
    tags: dict[str, str]
    runs: list[Run] = field(default_factory=list)
    deleted: bool = False


def experiments(number: int, now: datetime) -> list[Experiment]:
    """The experiments, the retired one last."""
    found = [_experiment(number, now, *item, runs=_RUNS) for item in _NAMES]
    return [*found, replace(_experiment(number, now, *_RETIRED, runs=_RETIRED_RUNS), deleted=True)]


def _experiment(number: int, now: datetime, *words: str, runs: int) -> Experiment:
    name, team, framework = words
    chance = random.Random(f"{number}/{name}")  # noqa: S311 - made-up data, no secret
    # The oldest first; a new one each eighteen days.
    ages = [timedelta(days=18 * (runs - index) - 10, minutes=chance.randrange(600)) for index in range(runs)]
    made = [_run(chance, f"{name}-{index:02d}", framework, now - age) for index, age in enumerate(ages)]
    if name == _WITH_RUNNING:
        # It began a moment ago, with a name that follows the others'.
        made[-1] = _unfinished(made[-1], now - timedelta(minutes=40))
    if name == _WITH_DELETED:
        made[1] = replace(made[1], deleted=True)
    return Experiment(name, {"team": team, "framework": framework}, made)


def _run(chance: random.Random, name: str, framework: str, began: datetime) -> Run:
    start = round(began.timestamp() * 1000)
    status = "FAILED" if name.endswith(_FAILS) else "KILLED" if name.endswith(_KILLED) else "FINISHED"
    steps = _STEPS if status == "FINISHED" else chance.randrange(4, _STEPS)
    minutes = chance.randrange(12, 240)
    metrics = _curves(chance, steps, start, minutes)
    params = {
        "model": framework,
        "learning_rate": str(chance.choice((0.3, 0.1, 0.05, 0.01, 0.003))),
        "max_depth": str(chance.randrange(4, 12)),
        "horizon_hours": str(chance.choice((24, 48, 72))),
        "training_window_days": str(chance.choice((90, 180, 365))),
        "seed": str(chance.randrange(10_000)),
    }
    tags = {
        "mlflow.user": chance.choice(_USERS),
        "mlflow.source.name": f"train_{name.rpartition('-')[0].replace('-', '_')}.py",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": f"{chance.getrandbits(160):040x}",
        "stage": "candidate" if name in MODEL_RUNS else "exploration",
    }
    if status == "FAILED":
        tags["failure"] = "the training data of 3 bidding zones was missing"
    whole = status == "FINISHED"
    artifacts = _files(name, params, metrics) if whole else {"log.txt": f"{name}: {status}\n".encode()}
    return Run(name, status, start, start + minutes * _MINUTE, params, tags, metrics, artifacts)


def _unfinished(run: Run, began: datetime) -> Run:
    """The same run as it stood after its first steps, begun at another moment."""
    start = round(began.timestamp() * 1000)
    metrics = [
        (name, step, value, start + (step + 1) * 4 * _MINUTE)
        for name, step, value, _ in run.metrics
        if step < _STEPS // 2
    ]
    return replace(run, status="RUNNING", start=start, end=None, metrics=metrics, artifacts={})


def _curves(chance: random.Random, steps: int, start: int, minutes: int) -> list[tuple[str, int, float, int]]:
    floor, pace = chance.uniform(0.05, 0.3), chance.uniform(0.1, 0.4)
    found: list[tuple[str, int, float, int]] = []
    for step in range(steps):
        at = start + (step + 1) * minutes * _MINUTE // (_STEPS + 1)
        loss = floor + math.exp(-pace * step) + chance.gauss(0, 0.01)
        found.append(("train_loss", step, round(loss, 5), at))
        found.append(("val_loss", step, round(loss * chance.uniform(1.02, 1.2), 5), at))
    final = found[-1][2]
    at = start + minutes * _MINUTE
    found.append(("rmse", steps, round(40 * final, 3), at))
    found.append(("accuracy", steps, round(max(0.0, 1 - final), 4), at))
    return found


def _files(name: str, params: dict[str, str], metrics: list[tuple[str, int, float, int]]) -> dict[str, bytes]:
    final = {key: value for key, _, value, _ in metrics}
    losses = [value for key, _, value, _ in metrics if key == "train_loss"]
    model = f"artifact_path: model\nflavors:\n  python_function:\n    loader_module: model.loader\nmodel_name: {name}\n"
    weights = random.Random(name).randbytes(4096)  # noqa: S311 - made-up data, no secret
    return {
        "log.txt": "".join(f"step {step:2d}: loss {loss}\n" for step, loss in enumerate(losses)).encode(),
        "evaluation/summary.json": json.dumps({"params": params, "metrics": final}, indent=2).encode(),
        "evaluation/plots/loss.png": _png(losses),
        "model/MLmodel": model.encode(),
        "model/requirements.txt": b"numpy\nlightgbm\n",
        "model/data/weights.bin": weights,
    }


def _png(values: list[float], width: int = 160, height: int = 60) -> bytes:
    """A line through the values, as a greyscale picture."""
    rows = [bytearray(b"\xff" * width) for _ in range(height)]
    low, high = min(values), max(values)
    for x in range(width):
        value = values[x * len(values) // width]
        y = round((high - value) / ((high - low) or 1) * (height - 3))
        for thickness in range(2):
            rows[y + thickness][x] = 0x33
    pixels = zlib.compress(b"".join(b"\x00" + row for row in rows), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
