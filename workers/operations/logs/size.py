"""What fills up in the containers: `du` in each of them, over the folders that programs write into.

The runbook looks at /var/log in one pod; but logs here go to standard output, and what fills a node is /tmp, a cache in
a home directory or a volume. What a container has written to standard output stands on its node and is counted too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.inspection.finding import containers_of, mlflow_pods, name_of, one_of, our_pods
from workers.operations.kubectl import by_hand, kubectl
from workers.report import Report, Section, Status, Table, Text
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterError, ClusterForbidden, ClusterNotFound, ClusterNotReady
from workers.wording import NOTHING, count, size

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

FOLDERS: Final = ("/var/log", "/tmp", "/var/tmp", "/var/cache", "/root")  # noqa: S108 - folders of containers
LARGE_BYTES: Final = 1024**3
"""A gibibyte: as much as a small node has to spare for one container."""
DU_SECONDS: Final = 10.0
AT_ONCE: Final = 8
LOOK_SECONDS: Final = 0.5
KIB: Final = 1024
_GIVEN: Final = ("configMap", "secret", "projected", "downwardAPI", "hostPath")
"""Volumes that nobody writes into, and those that are the node's."""
STREAM: Final = "standard output (on the node)"


@dataclass(frozen=True)
class Place:
    """A container, and its folders that are measured: what kind of volume each is, empty for the container's own.

    empties: what empties those that do not outlive the pod.
    """

    pod: str
    container: str
    folders: tuple[tuple[str, str], ...]
    empties: str

    def __str__(self) -> str:
        """As it is named in lists."""
        return f"{self.pod}/{self.container}"


@dataclass(frozen=True)
class Measured:
    """One folder, or what was written to standard output. advice: what may be done where it is large."""

    place: Place
    folder: str
    bytes: int
    advice: str


class LogsSize(Operation):
    """Show what logs and temporary files take in each container."""

    name: ClassVar[str] = "logs-size"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 240
    long: ClassVar[bool] = True

    pod: str = ""

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Size of logs"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Measure every running container. Raises OperatorError where none could be measured."""
        progress.step("Measuring in the containers")
        pods = our_pods(systems)
        if self.pod:
            name = one_of(self.pod, [name_of(pod) for pod in pods], "pod")
            pods = [pod for pod in pods if name_of(pod) == name]
        ours = {name_of(pod) for pod in mlflow_pods(systems)}
        places = [place for pod in pods for place in _places(pod, _empties(name_of(pod), ours, systems))]
        if not places:
            raise OperatorError("No container is running, so none can be measured.", "See /mlflow status.")
        found: list[Measured] = []
        missed: list[str] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            left = {pool.submit(_measure, systems.cluster, place) for place in places}
            try:
                while left:
                    done, left = wait(left, timeout=LOOK_SECONDS)
                    for measured, why in (future.result() for future in done):
                        found += measured
                        missed += why
                    progress.advance(len(places) - len(left), len(places), "containers")
                    progress.checkpoint()
            except BaseException:  # Cancelled and TimedOut too: what has not begun is not begun any more
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return _report(self.title, found, missed, places, systems)


def _places(pod: dict[str, Any], empties: str) -> list[Place]:
    fields = Fields(pod, "pod")
    running = {each.name for each in containers_of([pod]) if each.running}
    volumes = {each.text("name"): each for each in fields.each("spec", "volumes")}
    found = []
    for container in fields.each("spec", "containers"):
        if container.text("name") not in running:
            continue
        mounts = {}
        for mount in container.each("volumeMounts"):
            volume = volumes.get(mount.text("name"))
            kind = next((name for name in volume.names() if name != "name"), "") if volume else ""
            if kind not in _GIVEN and not mount.flag("readOnly"):
                mounts[mount.text("mountPath").rstrip("/") or "/"] = kind or "volume"
        folders = {**dict.fromkeys(FOLDERS, ""), **mounts}
        found.append(Place(fields.text("metadata", "name"), container.text("name"), tuple(folders.items()), empties))
    return found


def _measure(cluster: Cluster, place: Place) -> tuple[list[Measured], list[str]]:
    """What each folder holds, and sentences on what could not be measured."""
    from workers.systems.cluster.exec import run_inside

    found, missed = [], []
    kinds = dict(place.folders)
    try:
        ended = run_inside(cluster, place.pod, place.container, command(place), seconds=DU_SECONDS)
        for line in ended.output.splitlines():
            number, _, folder = line.partition("\t")
            if number.isdigit() and folder in kinds:
                found.append(Measured(place, folder, int(number) * KIB, _advice(folder, kinds[folder], place.empties)))
        if ended.problem:
            missed.append(f"{place}: du cannot be run there ({ended.problem[-120:]}).")
        elif not found:
            missed.append(f"{place}: du found none of the folders.")
    except ClusterForbidden:
        raise
    except ClusterError as error:
        missed.append(f"{place}: {error.message}")
    try:
        written = sum(map(len, cluster.log_bytes(place.pod, place.container)))
        found.append(Measured(place, STREAM, written, "the node rotates it; `logs archive` keeps it"))
    except (ClusterNotReady, ClusterNotFound):
        pass
    except ClusterError as error:
        missed.append(f"{place}: {error.message}")
    return found, missed


def command(place: Place) -> list[str]:
    """Du over the folders, each within its own file system; what lies in a volume is measured with the volume."""
    volumes = {folder for folder, kind in place.folders if kind}
    wanted = [
        folder
        for folder, kind in place.folders
        if kind or not any(str(parent) in volumes for parent in PurePosixPath(folder).parents)
    ]
    return ["du", "-sxk", *wanted]


def _empties(pod: str, ours: set[str], systems: Systems) -> str:
    """What empties a pod's own folders: MLflow is restarted; another one must be deleted, and is down meanwhile."""
    if pod in ours:
        return "`restart` empties it"
    return f"`{kubectl(systems.settings, 'delete', 'pod', pod)}` empties it, with downtime"


def _advice(folder: str, kind: str, empties: str) -> str:
    if kind == "emptyDir":
        return f"It lasts as long as the pod: {empties}."
    if kind:
        return "A volume that stays: see what it holds before you remove anything."
    if folder == "/var/log":
        return f"{empties}. Log to standard output instead."
    return f"{empties}."


def _report(title: str, found: list[Measured], missed: list[str], places: list[Place], systems: Systems) -> Report:
    if not found:
        raise OperatorError(f"Nothing could be measured. {missed[0] if missed else ''}".strip(), "See /mlflow status.")
    ranked = sorted(found, key=lambda each: (-each.bytes, str(each.place), each.folder))
    large = [each for each in ranked if each.bytes >= LARGE_BYTES]
    worst = ranked[0]
    where = f"{worst.folder} in {worst.place}"
    if large:
        summary = f"{count(len(large), 'folder')} of 1 GiB or more; the largest is {where}: {size(worst.bytes)}."
    else:
        summary = f"Nothing is large: at most {size(worst.bytes)} ({where}) in {count(len(places), 'container')}."
    if missed:
        summary += f" {len(missed)} could not be measured."
    rows = tuple(
        (
            str(each.place),
            each.folder,
            size(each.bytes),
            each.advice if each.bytes >= LARGE_BYTES else NOTHING,
        )
        for each in ranked
    )
    columns = ("container", "folder", "size", "what to do")
    table = Table(columns=columns, rows=rows, numeric=("size",))
    sections: list[Section] = [table]
    if missed:
        sections.append(Text(title="Not measured", text="\n".join(missed)))
    first = places[0]
    line = kubectl(systems.settings, "exec", first.pod, "-c", first.container, "--", *command(first))
    return Report(
        title=title,
        status=Status.WARN if large or missed else Status.OK,
        summary=summary,
        sections=(*sections, by_hand(line)),
        hints=("logs archive", "restart --dry-run") if large else ("logs archive",),
    )
