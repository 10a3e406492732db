"""Backup and recovery: backup procedures."""

from __future__ import annotations

import click

from commands.grammar import OneOf, change, command, group_that_acts
from workers.operation import Operation
from workers.operations.backup.backup import PARTS, Backup
from workers.operations.backup.prune import Prune
from workers.operations.backup.show import BackupList, BackupShow, BackupUsage
from workers.operations.backup.verify import BackupVerify, BackupVerifyDeep

_ID = click.argument("id_", metavar="[ID]", default="latest")


@change("all", examples=("backup", "backup database", "backup artifacts config", "backup --dry-run"))
@click.argument("parts", nargs=-1, type=OneOf(PARTS), metavar="[PART]…")
def _all(parts: tuple[str, ...]) -> Backup:
    """Make a set of the database, the artifacts and the configuration, or of those parts only; read it back, compare
    it, and only then call it a backup.
    """
    return Backup(parts=parts)


@command("list", examples=("backup list",))
def _list() -> BackupList:
    """All sets, newest first, and why each is kept."""
    return BackupList()


@command("show", examples=("backup show", "backup show 1a2b3c"))
@_ID
def _show(id_: str) -> BackupShow:
    """What a set holds: sizes, rows, versions, checksums. ID: as backup list shows it, or latest."""
    return BackupShow(id=id_)


@command("verify", examples=("backup verify latest", "backup verify 1a2b3c --deep"))
@_ID
@click.option("--deep", is_flag=True, help="Read the bytes of every artifact too.")
def _verify(id_: str, *, deep: bool) -> Operation:
    """Is a set still what it was? Reads its parts, compares their checksums, and looks for every artifact's bytes."""
    return BackupVerifyDeep(id=id_) if deep else BackupVerify(id=id_)


@change("prune", examples=("backup prune --dry-run", "backup prune"))
def _prune() -> Prune:
    """Remove the sets that backup.retention in ops.yaml does not keep, and the bytes that no set uses any more. Needs
    approval. Never the last good set.
    """
    return Prune()


@command("usage", examples=("backup usage",))
def _usage() -> BackupUsage:
    """What the backups take up, and what keeping each artifact once saves."""
    return BackupUsage()


backup = group_that_acts(
    "backup",
    _all,
    *(_list, _show, _verify, _prune, _usage),
    takes=PARTS,
    meaning="Back up database, artifacts and configuration as one verified set; list, show, verify and prune sets.",
)
