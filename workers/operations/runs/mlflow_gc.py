"""MLflow's own `mlflow gc` for runs that are named, in Jobs of MLflow's image, one after the other.

Traps this avoids. `mlflow gc --run-ids …` removes more than these runs: every deleted experiment with all of its runs,
and every deleted logged model, because "no ids given" means all of them (mlflow/cli: _gc_tracking_resources). It leaves
both out where the store cannot do it, which it asks with hasattr; so within the Job the store is made one that cannot.
The database's address has no variable that gc reads and would stand, with its password, in the process's arguments; it
is put into `sys.argv` within the process instead. Where artifacts are is told by a variable: before 2.12 gc has no
option for it, and removes them through the server. A single argument of a program holds 128 KiB at most (Linux,
MAX_ARG_STRLEN), so ids go by chunks; between two of them is where it can be stopped, because a gc that is killed leaves
a run without artifacts that still has its rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.deployment.job import JobSpec, require_room, run_once, sweep
from workers.operations.deployment.update import image_of
from workers.operations.runs.finding import batches
from workers.operations.storage.locations import proxied_to
from workers.systems.mlflow.deleted_runs import DeletedRuns
from workers.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.operation import Progress
    from workers.systems import Systems

CHUNK: Final = 250
"""Runs a Job: it takes some seconds to begin, and a minute or two for so many."""
CHUNK_SECONDS: Final = 3600.0
_SAID: Final = 400
_PURPOSE: Final = "gc"

_GC: Final = """
import os, sys
_, variable, destination, ids = sys.argv
address = os.environ[variable]
os.environ["MLFLOW_ARTIFACTS_DESTINATION"] = destination
from mlflow.cli import cli
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
def cannot(store):
    raise AttributeError("runs only")
for name in ("_hard_delete_experiment", "_hard_delete_logged_model"):
    setattr(SqlAlchemyStore, name, property(cannot))
sys.argv = ["mlflow", "gc", "--backend-store-uri", address, "--run-ids", ids]
cli()
"""


@dataclass
class PurgeProgress:
    """How far it is. kept: ids that were brought back by somebody meanwhile; gone: that somebody else has purged."""

    done: int = 0
    kept: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


def require_room_for_gc(systems: Systems, image: str) -> None:
    """Raise OperatorError if a quota of the namespace has no room for the Jobs, one at a time."""
    require_room(systems, JobSpec(image, ("python",), _PURPOSE, CHUNK_SECONDS))


def purge(systems: Systems, progress: Progress, ids: Sequence[str], purged: PurgeProgress) -> None:
    """Remove these for good, chunk by chunk, in the image that MLflow runs. purged: kept up to date.

    Raises OperatorError where a chunk was not removed or a Job of before still runs, and Cancelled between two chunks.
    """
    if sweep(systems.cluster, _PURPOSE):
        raise OperatorError("A Job of an earlier purge is still at its runs.", "Ask again once it has ended: status.")
    names = systems.settings.ops.kubernetes
    image = image_of(systems.cluster.deployment(names.deployment), names.container)
    under = proxied_to(systems).rstrip("/")
    environment = (("MLFLOW_TRACKING_URI", systems.tracking.base),)
    store = DeletedRuns(systems.database)
    for chunk in batches(ids, CHUNK):
        progress.checkpoint()
        states = store.states(chunk)
        purged.gone += [each for each in chunk if each not in states]
        purged.kept += [each for each in chunk if states.get(each) is False]
        due = [each for each in chunk if states.get(each)]
        if not due:
            continue
        watching = _Watching(store, progress, due, purged.done, len(ids))
        command = ("python", "-c", _GC, names.backend_store_variable, under, ",".join(due))
        once = JobSpec(image, command, _PURPOSE, CHUNK_SECONDS, environment)
        ended = run_once(systems, watching, once)
        left = set(store.states(due))
        purged.done += len(due) - len(left)
        progress.advance(purged.done, len(ids), "runs")
        if left:
            last = next((line.strip() for line in reversed(ended.lines) if line.strip()), "")[-_SAID:]
            how = f"{count(len(left), 'run')} of {len(due):,}: {ended.why or 'it did not say why'}"
            raise OperatorError(f"mlflow gc has left {how}. {last}".strip(), "Asked for again, it goes on.")


@dataclass(frozen=True)
class _Watching:
    """A Job as it goes on, told in runs; it is not stopped in the middle."""

    store: DeletedRuns
    progress: Progress
    due: list[str]
    before: int
    total: int

    def step(self, name: str, of: str = "") -> None:
        """The step is the whole's."""

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """As the step is."""

    def advance(self, done: int, total: int, unit: str) -> None:
        """Counted in `checkpoint`."""

    def checkpoint(self) -> None:
        """Tell how many are gone; never raises Cancelled."""
        gone = len(self.due) - len(self.store.states(self.due))
        self.progress.advance(self.before + gone, self.total, "runs")
