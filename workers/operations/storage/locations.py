"""Where MLflow keeps artifacts in their bucket: from the location that it names to a prefix, from a key to its owner.

MLflow puts artifacts at `<root>/<experiment>/<run>/artifacts/…`, a logged model's at `<experiment>/models/m-…/`, a
trace's at `<experiment>/traces/tr-…/` (MLflow 3.17, mlflow/store/tracking/sqlalchemy_store.py). The root may have
folders of its own. What it proxies lies under its --artifacts-destination, and its location does not say where that is
(https://mlflow.org/docs/latest/self-hosting/architecture/artifact-store/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError

if TYPE_CHECKING:
    from workers.systems import Systems

_PROXIED: Final = re.compile(r"mlflow-artifacts:/+(?:[^/]+:\d+/)?(.*)")
_DESTINATION: Final = re.compile(r"--artifacts-destination[ =]+s3://([^\s/\"']+)/?([^\s\"']*)")
_OWNED: Final = re.compile(
    r"((?:[^/]+/)*?)([^/]+)/(?:([0-9a-f]{32})|models/(m-[0-9a-f]{32})|traces/(tr-[0-9a-f]{32}))/"
)


@dataclass(frozen=True, slots=True)
class Owner:
    """kind: run, model or trace. experiment: its folder, named after its id. folder: all its keys begin with it."""

    kind: str
    id: str
    experiment: str
    folder: str


def owner(key: str) -> Owner | None:
    """Whose an artifact is; None for what MLflow has not put there."""
    found = _OWNED.match(key)
    if found is None:
        return None
    _, experiment, run, model, trace = found.groups()
    kind = "run" if run else "model" if model else "trace"
    return Owner(kind, run or model or trace, experiment, found[0])


def prefix_of(systems: Systems, location: str) -> str:
    """The prefix of the artifacts' bucket that a location is kept under. Raises OperatorError where it is elsewhere."""
    bucket = systems.settings.ops.storage.artifacts_bucket
    proxied = _PROXIED.fullmatch(location)
    if proxied:
        return f"{destination(systems)}{proxied[1].rstrip('/')}/"
    if location.startswith(f"s3://{bucket}/"):
        return f"{location.removeprefix(f's3://{bucket}/').rstrip('/')}/"
    raise OperatorError(f"Its artifacts are at {location[:120]}, which is not in s3://{bucket}.", "Use --prefix.")


def destination(systems: Systems) -> str:
    """Under which prefix of their bucket MLflow keeps what it proxies, with a slash at its end; empty for its root."""
    bucket, names = systems.settings.ops.storage.artifacts_bucket, systems.settings.ops.kubernetes
    try:
        spec = systems.cluster.deployment(names.deployment)["spec"]["template"]["spec"]
    except OperatorError:
        return ""
    for container in spec.get("containers", ()):
        said = " ".join(map(str, (*container.get("command", ()), *container.get("args", ()))))
        found = _DESTINATION.search(said)
        if found and found[1] == bucket and found[2]:
            return f"{found[2].rstrip('/')}/"
    return ""
