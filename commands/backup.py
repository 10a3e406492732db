"""Backup and recovery: backup procedures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import NameOf, OneOf, Whole, change, command, group_that_acts
from workers.operations.choices import PARTS, SETS

if TYPE_CHECKING:
    from workers.operation import Operation

_ID = click.argument("id_", type=NameOf("set"), metavar="[ID]", default="latest")


@change("all", examples=("backup", "backup database", "backup artifacts config", "backup --dry-run"))
@click.argument("parts", nargs=-1, type=OneOf(PARTS), metavar="[PART]…")
def _all(parts: tuple[str, ...]) -> Operation:
    """Make a set of the database, the artifacts and the configuration, or of those parts only; read it back, compare
    it, and only then call it a backup.
    """
    from workers.operations.backup.backup import Backup

    return Backup(parts=parts)


@change("base", examples=("backup base", "backup base --now"))
@click.option("--now", is_flag=True, help="Have the server write its checkpoint at once: quicker, and more load.")
@click.option("--full", is_flag=True, help="All of it, also where what has changed since the last one would do.")
def _base(*, now: bool, full: bool) -> Operation:
    """Make a base backup of the database server, for going back to any moment since (recovery.point_in_time)."""
    from workers.operations.backup.wal.base import BackupBase

    return BackupBase(now=now, full=full)


@command("list", examples=("backup list", "backup list --limit 5"))
@click.option("--limit", type=Whole(1, SETS), default=SETS, metavar="N", help=f"The newest so many; {SETS} by default.")
def _list(limit: int) -> Operation:
    """All sets, newest first, and why each is kept."""
    from workers.operations.backup.show import BackupList

    return BackupList(limit=limit)


@command("show", examples=("backup show", "backup show 1a2b3c"))
@_ID
def _show(id_: str) -> Operation:
    """What a set holds: sizes, rows, versions, checksums. ID: as backup list shows it, or latest."""
    from workers.operations.backup.show import BackupShow

    return BackupShow(id=id_)


@command("verify", examples=("backup verify latest", "backup verify 1a2b3c --deep"))
@_ID
@click.option("--deep", is_flag=True, help="Read the bytes of every artifact too.")
def _verify(id_: str, *, deep: bool) -> Operation:
    """Is a set still what it was? Reads its parts, compares their checksums, and looks for every artifact's bytes."""
    from workers.operations.backup.verify import BackupVerify, BackupVerifyDeep

    return BackupVerifyDeep(id=id_) if deep else BackupVerify(id=id_)


@change("prune", examples=("backup prune --dry-run", "backup prune"))
def _prune() -> Operation:
    """Remove the sets that backup.retention in ops.yaml does not keep, and the bytes that no set uses any more. Needs
    approval. Never the last good set.
    """
    from workers.operations.backup.prune import BackupPrune

    return BackupPrune()


@change("sign", examples=("backup sign 1a2b3c",))
@click.argument("id_", metavar="ID")
def _sign(id_: str) -> Operation:
    """Sign a set that was made before there was a key: every byte of it is read and compared first. Needs approval."""
    from workers.operations.backup.sign import BackupSign

    return BackupSign(id=id_)


@change("accept", examples=("backup accept 1a2b3c",))
@click.argument("id_", metavar="ID")
def _accept(id_: str) -> Operation:
    """Let a set be latest although it lost tables, rows or artifacts since the one before. Needs approval."""
    from workers.operations.backup.accept import BackupAccept

    return BackupAccept(id=id_)


@change("hold", examples=("backup hold 1a2b3c", "backup hold 1a2b3c --release"))
@click.argument("id_", metavar="ID")
@click.option("--release", is_flag=True, help="Lift the hold. Needs approval.")
def _hold(id_: str, *, release: bool) -> Operation:
    """Put a legal hold on everything in a set: nothing removes it until the hold is lifted. Needs Object Lock."""
    from workers.operations.backup.hold import BackupHold

    return BackupHold(id=id_, release=release)


@command("usage", examples=("backup usage",))
def _usage() -> Operation:
    """What the backups take up, and what keeping each artifact once saves."""
    from workers.operations.backup.show import BackupUsage

    return BackupUsage()


backup = group_that_acts(
    "backup",
    _all,
    *(_base, _list, _show, _verify, _prune, _sign, _accept, _hold, _usage),
    takes=PARTS,
    meaning="Back up database, artifacts and configuration as one set; list, show, verify, sign and prune sets.",
)
