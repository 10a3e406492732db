"""Whether what is restored fits on the server's disk: asked before, and watched while it comes.

PostgreSQL tells nobody how large its disk is. ops.yaml may say so (restore.database_disk_bytes); else `df` is asked in
PostgreSQL's pod, where there is one and our account may run programs in it; else nobody knows, and the plan says so and
how much is needed. A restore is stopped before the room ends: a full disk stops the live server, not only the restore.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.settings import SettingsError
from workers.systems.cluster.fields import Fields
from workers.systems.errors import DatabaseFull, GatewayError
from workers.wording import size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import DatabasePart
    from workers.systems import Systems
    from workers.systems.postgres.admin import Server

MIB: Final = 1 << 20
LEAST_BYTES, MOST_BYTES, SHARE = 64 * MIB, 1024 * MIB, 0.05
"""What stays free: a twentieth of the disk, within these bounds."""
LOOK_SECONDS: Final = 2.0
DF_SECONDS: Final = 10.0
KIB: Final = 1024


@dataclass(frozen=True)
class Disk:
    """The disk that the server's data is on. told_by: who says so."""

    size_bytes: int
    free_bytes: int
    told_by: str

    @property
    def reserve_bytes(self) -> int:
        """What is left to the live server."""
        return int(min(MOST_BYTES, max(LEAST_BYTES, SHARE * self.size_bytes)))


def warnings(systems: Systems, part: DatabasePart) -> tuple[str, ...]:
    """What whoever approves a restore should know of the room. Raises OperatorError where there is not enough."""
    server = systems.server
    wal = server.wal()
    more = part.size_bytes if wal.kept else min(part.size_bytes, wal.most_bytes)
    why = " because a slot or the archive keeps it" if wal.kept else ""
    needs = f"{size(part.size_bytes)} for data and indexes, and up to {size(more)} of WAL{why}"
    disk = find(systems, server)
    if disk is None:
        return (
            f"The size of the server's disk is not known (restore.database_disk_bytes). The restore needs {needs}.",
        )
    if disk.free_bytes < part.size_bytes:
        raise OperatorError(
            f"The restored database takes {size(part.size_bytes)}, and the server's disk of {size(disk.size_bytes)} "
            f"({disk.told_by}) has {size(max(disk.free_bytes, 0))} left.",
            "Make room: /mlflow restore prune removes databases that were put aside.",
        )
    if disk.free_bytes < part.size_bytes + more + disk.reserve_bytes:
        told = f"The server's disk has {size(disk.free_bytes)} free ({disk.told_by}), and the restore needs {needs}."
        return (f"{told} It is stopped if less than {size(disk.reserve_bytes)} is left.",)
    return ()


def find(systems: Systems, server: Server) -> Disk | None:
    """The server's disk; None where nobody says how large it is. Raises DatabaseError."""
    told = systems.settings.ops.restore.database_disk_bytes
    if told is not None:
        return Disk(told, told - server.taken_bytes(), "restore.database_disk_bytes")
    asked = _in_the_pod(systems)
    return asked() if asked else None


def watched(systems: Systems, server: Server, progress: Progress) -> Progress:
    """The progress of a restore that is stopped before the disk is full; the same where nobody knows its size."""
    if systems.settings.ops.restore.database_disk_bytes is not None:
        return _Watch(progress, lambda: find(systems, server))
    asked = _in_the_pod(systems)
    return _Watch(progress, asked) if asked else progress


class _Watch:
    """Progress whose checkpoints look at the disk. They raise DatabaseFull."""

    def __init__(self, progress: Progress, look: Callable[[], Disk | None]) -> None:
        self._progress, self._look = progress, look
        self._next = time.monotonic()

    def step(self, name: str, of: str = "") -> None:
        """As it is."""
        self._progress.step(name, of)

    def advance(self, done: int, total: int, unit: str) -> None:
        """As it is."""
        self._progress.advance(done, total, unit)

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """As it is."""
        self._progress.ended(said, well=well)

    def checkpoint(self) -> None:
        """As it is, and every few seconds a look."""
        self._progress.checkpoint()
        if time.monotonic() < self._next:
            return
        disk = self._look()
        self._next = time.monotonic() + LOOK_SECONDS
        if disk is not None and disk.free_bytes < disk.reserve_bytes:
            raise DatabaseFull(
                f"The restore was stopped: the server's disk of {size(disk.size_bytes)} ({disk.told_by}) has only "
                f"{size(max(disk.free_bytes, 0))} left, and the live server needs that.",
                "Make room, or a larger disk: /mlflow restore prune removes databases that were put aside.",
            )


def _in_the_pod(systems: Systems) -> Callable[[], Disk | None] | None:
    """What asks `df` in PostgreSQL's pod; None where there is no such pod, or it cannot be asked."""
    from workers.systems.cluster.exec import run_inside

    names = systems.settings.ops.kubernetes
    try:
        pods = systems.cluster.pods(names.postgres_selector)
        place = next((found for pod in pods if (found := _place(pod))), None)
        if place is None:
            return None
        pod, container, folder = place

        def look() -> Disk | None:
            try:
                ended = run_inside(systems.cluster, pod, container, ["df", "-Pk", folder], seconds=DF_SECONDS)
            except GatewayError:
                return None
            return _read(ended.output, f"df in {pod}")

        return look if look() else None
    except (GatewayError, SettingsError):
        return None


def _place(pod: dict[str, Any]) -> tuple[str, str, str] | None:
    """The pod, its container, and the folder of it that is on a claimed volume."""
    fields = Fields(pod, "pod")
    claimed = {each.text("name") for each in fields.each("spec", "volumes") if "persistentVolumeClaim" in each.names()}
    for container in fields.each("spec", "containers"):
        for mount in container.each("volumeMounts"):
            if mount.text("name") in claimed:
                return fields.text("metadata", "name"), container.text("name"), mount.text("mountPath")
    return None


def _read(output: str, told_by: str) -> Disk | None:
    """From what `df -Pk` writes (POSIX): a header, and a line with the size and what is free in KiB."""
    lines = output.splitlines()
    fields = lines[1].split() if len(lines) > 1 else []
    if len(fields) < 4 or not (fields[1].isdigit() and fields[3].isdigit()):  # noqa: PLR2004 - POSIX's columns
        return None
    return Disk(int(fields[1]) * KIB, int(fields[3]) * KIB, told_by)
