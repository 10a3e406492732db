"""What a new set lost against the last one that was whole: a set that shrank is kept, and is not good news.

A table, an experiment or an object of the configuration that is gone is always told. Rows and artifacts go in the
course of a day's work, so these are told from a share on (backup.shrink_warn), and only from `FEW` on: of five rows,
one is a fifth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.wording import count, listed, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from workers.operations.backup.manifest import ArtifactsPart, ConfigurationPart, DatabasePart, Manifest

FEW: Final = 10
"""Rows or artifacts whose loss is nobody's alarm."""
TABLES: Final = "tables"
EXPERIMENTS: Final = "experiments"
ROWS: Final = "rows"
ARTIFACTS: Final = "artifacts"
CONFIGURATION: Final = "configuration"
_FIELDS: Final = {"database": "database", "artifacts": "artifacts", "config": "configuration"}


@dataclass(frozen=True)
class Loss:
    """Something that a set lost, in a few words. kind: tables, experiments, rows, artifacts or configuration."""

    kind: str
    words: str


def compared(
    made: Manifest,
    earlier: Iterable[Manifest],
    share: float,
    explain: Callable[[Manifest, Manifest, Iterable[Loss]], dict[Loss, str]] | None = None,
) -> Manifest:
    """The same, saying what it lost: each part against the newest of `earlier`, newest first, that is whole and has it.

    share: see `lost`. explain: what explains losses between two sets (explaining.py); these are told apart.
    """
    shrank: list[str] = []
    explained: list[str] = []
    since, left = "", set(made.parts)
    for seen in earlier:
        if seen.shrunk or not left.intersection(seen.parts):
            continue
        done = {field: None for part, field in _FIELDS.items() if part not in left}
        found = lost(seen.model_copy(update=done), made, share)
        why = explain(seen, made, found) if explain and found else {}
        explained += [f"{each.words}, by {why[each]}" for each in found if each in why]
        unexplained = [each.words for each in found if each not in why]
        shrank += unexplained
        since = since or (seen.id if unexplained else "")
        left -= set(seen.parts)
        if not left:
            break
    made = made.model_copy(update={"explained": tuple(explained)}) if explained else made
    if not shrank:
        return made
    made = made.model_copy(update={"shrank": tuple(shrank), "shrank_since": since})
    told = (
        f"SHRANK since {since}: lost {made.losses}. It is kept and is not latest; if that was meant: "
        f"/mlflow backup accept {made.id}"
    )
    return made.model_copy(update={"warnings": (told, *made.warnings)})


def lost(before: Manifest, now: Manifest, share: float) -> tuple[Loss, ...]:
    """What `now` lacks that `before` held; of the parts that both have. share: 0.1 for 10 %."""
    found: list[Loss] = []
    if before.database and now.database:
        found += _database(before.database, now.database, share)
    if before.artifacts and now.artifacts:
        found += _artifacts(before.artifacts, now.artifacts, share)
    if before.configuration and now.configuration:
        found += _configuration(before.configuration, now.configuration)
    return tuple(found)


def _database(before: DatabasePart, now: DatabasePart, share: float) -> Iterable[Loss]:
    gone = sorted(before.rows.keys() - now.rows.keys())
    if gone:
        yield Loss(TABLES, f"{count(len(gone), 'table')}: {listed(gone)}")
    for table, held in sorted(before.rows.items()):
        left = now.rows.get(table)
        if left is None or left >= held:
            continue
        if table == EXPERIMENTS:
            yield Loss(EXPERIMENTS, f"{count(held - left, 'experiment')} of {held:,}")
        elif _worth(held, left, share):
            yield Loss(ROWS, f"{held - left:,} of {held:,} rows of {table}")


def _artifacts(before: ArtifactsPart, now: ArtifactsPart, share: float) -> Iterable[Loss]:
    if _worth(before.objects, now.objects, share):
        yield Loss(ARTIFACTS, f"{before.objects - now.objects:,} of {before.objects:,} artifacts")
    elif before.bytes and before.bytes - now.bytes > share * before.bytes:
        yield Loss(ARTIFACTS, f"{size(before.bytes - now.bytes)} of {size(before.bytes)} of artifacts")


def _configuration(before: ConfigurationPart, now: ConfigurationPart) -> Iterable[Loss]:
    gone = sorted(set(before.objects) - set(now.objects))
    if gone:
        yield Loss(CONFIGURATION, f"{count(len(gone), 'object')} of the configuration: {listed(gone)}")


def _worth(held: int, left: int, share: float) -> bool:
    return held - left > max(FEW, share * held)
