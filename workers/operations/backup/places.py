"""Where artifacts are besides their own bucket: what is backed up from there too, and what is in no backup.

MLflow lets every experiment have a location of its own. Those in other buckets of the artifacts' store are copied from
there; a bucket that we may not read, another cloud or a path in a pod is named, with the experiments that it concerns.

Trap this avoids: a location is a prefix. The rest of that bucket is somebody else's, perhaps a lake of data, and is
neither listed nor copied.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from workers.operations.backup.manifest import Elsewhere
from workers.operations.storage.locations import place_of, proxied_to
from workers.settings import SettingsError
from workers.systems.errors import AccessDenied, BucketMissing, DatabaseError, Nonsense, ObjectsError, Unreachable
from workers.systems.mlflow.artifact_locations import ArtifactLocations
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.s3.metadata import Listed
    from workers.systems.s3.transfer import Transfer

NAMES_AT_MOST: Final = 5
PLACES_AT_MOST: Final = 50
"""That are told apart; what is beyond is one more."""
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_LOCATION: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/]*))?(.*)", re.DOTALL)
_MORE: Final = "other places"
_KINDS: Final = {
    "gs": "Google Cloud Storage",
    "wasb": "Azure Blob Storage",
    "wasbs": "Azure Blob Storage",
    "abfs": "Azure Data Lake Storage",
    "abfss": "Azure Data Lake Storage",
    "dbfs": "Databricks",
    "hdfs": "Hadoop",
    "viewfs": "Hadoop",
    "file": "a file system that only MLflow's pods or its clients see",
}


@dataclass
class Survey:
    """Where experiments keep their artifacts. others: experiments by the other buckets that are backed up as well.

    elsewhere: the places that are in no backup. unasked: why nobody knows, where MLflow's database could not be asked.
    denied: prefixes that could not be listed after all; known once `items` was read to its end.
    """

    systems: Systems
    experiments: int = 0
    own: int = 0
    others: dict[str, int] = field(default_factory=dict)
    elsewhere: tuple[Elsewhere, ...] = ()
    unasked: str = ""
    proxied: str = ""
    denied: dict[str, str] = field(default_factory=dict)

    def items(self, origin: Transfer) -> Iterator[Listed]:
        """The artifacts in the other buckets, in the order of object_keys. Raises ObjectsError, DatabaseError."""
        self.denied.clear()
        for bucket, prefix in self._prefixes() if self.others else ():
            try:
                for item in origin.items(bucket, prefix):
                    yield replace(item, bucket=bucket)
            except (AccessDenied, BucketMissing) as error:
                self.denied[f"s3://{bucket}/{prefix}"] = error.message

    def _prefixes(self) -> Iterator[tuple[str, str]]:
        """Bucket and prefix of each, none within another, in order."""
        ordered = ArtifactLocations(self.systems.database).ordered("s3://")
        proxied = [f"{self.proxied.rstrip('/')}/"] if self.proxied else []
        last = "\0"
        for location in heapq.merge(ordered, proxied):
            place = place_of(location, lambda: "")
            if place is None or place[0] not in self.others or location.startswith(last):
                continue
            last = location
            yield place

    @property
    def left_out(self) -> tuple[Elsewhere, ...]:
        """All that is in no backup."""
        denied = (Elsewhere(place=place, why=why, experiments=0) for place, why in self.denied.items())
        return (*self.elsewhere, *denied)

    def warnings(self) -> tuple[str, ...]:
        """A sentence for each place that is in no backup."""
        if self.unasked:
            return (f"Whether artifacts are in other places than their bucket is unknown: {self.unasked}",)
        return tuple(f"NOT IN THIS SET: {told(each)}" for each in self.left_out)


def told(elsewhere: Elsewhere) -> str:
    """As in "artifacts of 3 experiments (churn, fraud, …) at gs://ml: Google Cloud Storage"."""
    if not elsewhere.experiments:
        return f"artifacts at {elsewhere.place}: {elsewhere.why.rstrip('.')}."
    names = ", ".join(elsewhere.names) + (", …" if elsewhere.experiments > len(elsewhere.names) else "")
    whose = f"{count(elsewhere.experiments, 'experiment')} ({names})"
    return f"artifacts of {whose} at {elsewhere.place}: {elsewhere.why.rstrip('.')}."


def survey(systems: Systems) -> Survey:
    """Ask MLflow's database for every experiment's location, and the store for each bucket among them.

    Raises Unreachable where the store does not answer.
    """
    found = Survey(systems)
    proxied = cache(partial(proxied_to, systems))
    roots: dict[str, _Root] = {}
    try:
        for each in ArtifactLocations(systems.database).every():
            found.experiments += 1
            bucket, root = _root(systems, each.location, proxied)
            if bucket == systems.settings.ops.storage.artifacts_bucket:
                found.own += 1
                continue
            if root not in roots and len(roots) >= PLACES_AT_MOST:
                bucket, root = "", _MORE
            prefix = (place_of(each.location, proxied) or ("", ""))[1]
            place = roots.setdefault(root, _Root(bucket, prefix))
            place.add(each.experiment)
            if bucket and each.location.startswith("mlflow-artifacts:"):
                found.proxied = proxied()
    except (DatabaseError, Nonsense, SettingsError) as error:
        return Survey(systems, unasked=str(error))
    elsewhere = []
    for root, place in roots.items():
        why = _unreadable(systems, place.bucket, place.prefix) if place.bucket else _why(systems, root)
        if why:
            elsewhere.append(Elsewhere(place=root, why=why, experiments=place.experiments, names=tuple(place.names)))
        else:
            found.others[place.bucket] = place.experiments
    found.elsewhere = tuple(elsewhere)
    return found


@dataclass
class _Root:
    bucket: str
    prefix: str
    experiments: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.experiments += 1
        self.names += [name] if len(self.names) < NAMES_AT_MOST else []


def _root(systems: Systems, location: str, proxied: Callable[[], str]) -> tuple[str, str]:
    """The bucket of a location, empty where it is in none; and the place that it is told with others by."""
    place = place_of(location, proxied)
    if place and _BUCKET.fullmatch(place[0]):
        ours = place[0] == systems.settings.ops.storage.backups_bucket
        mixed = ours and place[0] != systems.settings.ops.storage.artifacts_bucket
        return ("" if mixed else place[0]), f"s3://{place[0]}"
    if location.startswith("mlflow-artifacts:"):
        location = f"{proxied().rstrip('/')}/"
    found = _LOCATION.fullmatch(location)
    scheme, authority, path = (found[1].lower(), found[2] or "", found[3]) if found else ("file", "", location)
    if authority:
        return "", f"{scheme}://{authority}"
    return "", f"{scheme}:{path.rpartition('/')[0] or '/'}"


def _why(systems: Systems, root: str) -> str:
    if root == _MORE:
        return "too many places to tell apart"
    if root == f"s3://{systems.settings.ops.storage.backups_bucket}":
        return "the backups' own bucket, which is not copied into itself"
    scheme = root.partition(":")[0]
    if scheme == "s3":
        return "no bucket has such a name"
    return _KINDS.get(scheme, "a kind of storage that is not backed up")


def _unreadable(systems: Systems, bucket: str, prefix: str) -> str:
    """Why a bucket of the artifacts' store cannot be read there; empty where it can."""
    try:
        systems.objects.any(bucket, prefix)
    except Unreachable:
        raise
    except ObjectsError as error:
        return error.message
    return ""
