"""Every command that touches MLflow, on each version of it that we claim to support.

With MLFLOW_OPS_TABLE=file the table of versions and commands is written there, as Markdown; it is printed in any case.
"""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.world.mlflow_world import VERSIONS, begun
from workers.errors import AlreadySo, OperatorError
from workers.operation import Unwatched
from workers.operations.preflight import Preflight
from workers.report import Status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# In this order: each finds what those before it have left. {run} is a run, {old} one that is purged.
COMMANDS = (
    "health",
    "check",
    "status",
    "latency",
    "experiments list",
    "experiments search forecast",
    "experiments show load-forecast-eu",
    "experiments create world",
    "experiments rename world world2",
    "experiments delete world2",
    "experiments restore world2",
    "runs search load-forecast-eu",
    "runs search load-forecast-eu metrics.rmse < 1000",
    "runs show {run}",
    "runs show {name} --experiment load-forecast-eu",
    "runs compare load-forecast-eu",
    "runs tag {run} reviewed=yes",
    "runs untag {run} reviewed",
    "runs param {run} world=1",
    "models list",
    "models show carbon-intensity",
    "models alias carbon-intensity champion 1",
    "models rollback carbon-intensity champion",
    "models unalias carbon-intensity champion",
    "models stage carbon-intensity 1 Archived",
    "models tag carbon-intensity owner=grid",
    "models tag carbon-intensity --version 1 bad=yes",
    "models untag carbon-intensity owner",
    "storage --fresh",
    "db tables",
    "db indexes",
    "db activity",
    "db vacuum experiments",
    "runs archive --older-than 90d --experiment load-forecast-eu",
    "runs unarchive {mark}",
    "backup",
    "backup show latest",
    "backup verify latest --deep",
    "drill latest",
    "runs purge --run {old}",
    "restore run {old} --from latest",
    "restore experiment world2 --from latest",
    "restore database latest",
    "restore undo",
    "restore artifacts latest --experiment load-forecast-eu",
    "restart",
)
# What cannot be done on a version, and the words that say so.
CANNOT: dict[tuple[str, str], str] = {}
TABLE: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="module", params=VERSIONS)
def world(request, start_sandbox_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions", numbered=True)
    folder.chmod(0o711)
    folder.parent.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        yield begun(start_sandbox_once, folder, patch, request.param)


@pytest.fixture(scope="module", autouse=True)
def table():
    """Print it once all is told."""
    yield
    text = _markdown()
    if os.environ.get("MLFLOW_OPS_TABLE"):
        Path(os.environ["MLFLOW_OPS_TABLE"]).write_text(text, encoding="utf-8")
    sys.__stdout__.write(f"\n{text}")


@pytest.fixture(scope="module")
def known(world):
    """What stands in the commands' braces, found on the way."""
    return {}


def _places(world, known):
    """The values of the braces, from MLflow itself."""
    if "run" not in known:
        experiment = world.systems.tracking.ask("experiments/get-by-name", experiment_name="load-forecast-eu")
        number = experiment["experiment"]["experiment_id"]
        found = world.systems.tracking.call(
            "runs/search", {"experiment_ids": [number], "filter": "attributes.status = 'FINISHED'", "max_results": 50}
        )["runs"]
        newest, oldest = found[0]["info"], found[-1]["info"]
        known |= {"run": newest["run_id"], "name": newest["run_name"]}
        # One that was deleted long ago, as an archiving leaves it, so that the backup holds it.
        known["old"] = oldest["run_id"]
    return known


def _done(world, line, known):
    words = line.format_map(_places(world, known))
    if line == "backup":
        world.systems.tracking.call("runs/delete", {"run_id": known["old"]})
        world.sql(
            "UPDATE runs SET deleted_time = %s WHERE run_uuid = %s", int(time.time() * 1000) - 10**10, known["old"]
        )
    if line == "check":
        return Preflight().run(world.systems, Unwatched())
    report = world.do(words)
    if "archive" in line and report.undo:
        known["mark"] = report.undo.split()[-1]
    return report


def _told(world, line, known):
    """What a command came to, in a cell's words: ok, what is so already, why it was refused, or how it failed."""
    try:
        report = _done(world, line, known)
    except AlreadySo as so:
        return so.message
    except OperatorError as error:
        return f"refused: {error}"
    if report.status in {Status.OK, Status.WARN}:
        return "ok"
    failing = [f"{each.name}: {each.sentence}" for each in report.checks if each.status is Status.FAIL]
    return f"fails: {report.summary} {' '.join(failing)}"


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_on_a_version(world, line, known):
    told = TABLE[line, world.version] = _told(world, line, known)
    cannot = CANNOT.get((line, world.version))
    if cannot is None:
        assert not told.startswith(("refused: ", "fails: "))
    else:
        assert told.startswith("refused: ")
        assert cannot in told


def _markdown():
    heads = [version for version in VERSIONS if any(each == version for _, each in TABLE)]
    lines = [f"| command | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for line in COMMANDS:
        cells = [TABLE.get((line, version), "not run").replace("|", "/")[:120] for version in heads]
        lines.append(f"| {line.replace('{', '').replace('}', '')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
