"""Where MLflow keeps artifacts in their bucket: from the location that it names to a prefix, from a key to its owner.

MLflow puts artifacts at `<root>/<experiment>/<run>/artifacts/…`, a logged model's at `<experiment>/models/m-…/`, a
trace's at `<experiment>/traces/tr-…/` (MLflow 3.17, mlflow/store/tracking/sqlalchemy_store.py). The root may have
folders of its own. What it proxies lies under its --artifacts-destination, and its location does not say where that is
(https://mlflow.org/docs/latest/self-hosting/architecture/artifact-store/).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError

if TYPE_CHECKING:
    from workers.systems import Systems

_PROXIED: Final = re.compile(r"mlflow-artifacts:/+(?:[^/]+:\d+/)?(.*)")
_DESTINATION: Final = re.compile(r"--artifacts-destination[ =]+[\"']?([^\s\"']+)")
_VARIABLE: Final = "MLFLOW_ARTIFACTS_DESTINATION"
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
    place = place_of(location, lambda: proxied_to(systems))
    if place is None or place[0] != bucket:
        raise OperatorError(f"Its artifacts are at {location[:120]}, which is not in s3://{bucket}.", "Use --prefix.")
    return place[1]


def in_a_bucket(systems: Systems, location: str) -> tuple[str, str]:
    """The bucket and prefix that a location is kept under. Raises OperatorError where it is in none."""
    place = place_of(location, lambda: proxied_to(systems))
    if place is None:
        raise OperatorError(f"Its artifacts are at {location[:120]}, which no backup holds.", "Use --prefix.")
    return place


def place_of(location: str, proxied: Callable[[], str]) -> tuple[str, str] | None:
    """The bucket and prefix of a location, with a slash at the prefix's end; None where it is in no bucket.

    proxied: where MLflow keeps what it proxies, as `proxied_to` says it; asked only if that is needed.
    """
    found = _PROXIED.fullmatch(location)
    if found:
        location = f"{proxied().rstrip('/')}/{found[1]}"
    scheme, _, rest = location.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        return None
    return bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""


def proxied_to(systems: Systems) -> str:
    """Where MLflow keeps what it proxies, as it was told: "s3://bucket/prefix", "gs://…", "/mlartifacts".

    By its --artifacts-destination, or MLFLOW_ARTIFACTS_DESTINATION (mlflow/cli/__init__.py); storage.artifacts_bucket
    where neither is to be seen.
    """
    bucket, names = systems.settings.ops.storage.artifacts_bucket, systems.settings.ops.kubernetes
    try:
        spec = systems.cluster.deployment(names.deployment)["spec"]["template"]["spec"]
    except OperatorError:
        return f"s3://{bucket}"
    for container in spec.get("containers", ()):
        said = " ".join(map(str, (*container.get("command", ()), *container.get("args", ()))))
        found = _DESTINATION.search(said)
        if found:
            return found[1]
        for variable in container.get("env", ()):
            if variable.get("name") == _VARIABLE and variable.get("value"):
                return str(variable["value"])
    return f"s3://{bucket}"
