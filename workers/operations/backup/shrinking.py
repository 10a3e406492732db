"""What a new set lost against the last one that was whole: a set that shrank is kept, and is not good news.

A table, an experiment or an object of the configuration that is gone is always told. Rows and artifacts go in the
course of a day's work, so these are told from a share on (backup.shrink_warn), and only from `FEW` on: of five rows,
one is a fifth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.wording import count, listed, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.operations.backup.manifest import ArtifactsPart, ConfigurationPart, DatabasePart, Manifest

FEW: Final = 10
"""Rows or artifacts whose loss is nobody's alarm."""
_EXPERIMENTS: Final = "experiments"
_FIELDS: Final = {"database": "database", "artifacts": "artifacts", "config": "configuration"}


def compared(made: Manifest, earlier: Iterable[Manifest], share: float) -> Manifest:
    """The same, saying what it lost: each part against the newest of `earlier`, newest first, that is whole and has it.

    share: see `lost`.
    """
    shrank: list[str] = []
    since, left = "", set(made.parts)
    for seen in earlier:
        if seen.shrunk or not left.intersection(seen.parts):
            continue
        done = {field: None for part, field in _FIELDS.items() if part not in left}
        found = lost(seen.model_copy(update=done), made, share)
        shrank += found
        since = since or (seen.id if found else "")
        left -= set(seen.parts)
        if not left:
            break
    if not shrank:
        return made
    made = made.model_copy(update={"shrank": tuple(shrank), "shrank_since": since})
    told = (
        f"SHRANK since {since}: lost {made.losses}. It is kept and is not latest; if that was meant: "
        f"/mlflow backup accept {made.id}"
    )
    return made.model_copy(update={"warnings": (told, *made.warnings)})


def lost(before: Manifest, now: Manifest, share: float) -> tuple[str, ...]:
    """What `now` lacks that `before` held, each in a few words; of the parts that both have. share: 0.1 for 10 %."""
    found: list[str] = []
    if before.database and now.database:
        found += _database(before.database, now.database, share)
    if before.artifacts and now.artifacts:
        found += _artifacts(before.artifacts, now.artifacts, share)
    if before.configuration and now.configuration:
        found += _configuration(before.configuration, now.configuration)
    return tuple(found)


def _database(before: DatabasePart, now: DatabasePart, share: float) -> Iterable[str]:
    gone = sorted(before.rows.keys() - now.rows.keys())
    if gone:
        yield f"{count(len(gone), 'table')}: {listed(gone)}"
    for table, held in sorted(before.rows.items()):
        left = now.rows.get(table)
        if left is None or left >= held:
            continue
        if table == _EXPERIMENTS:
            yield f"{count(held - left, 'experiment')} of {held:,}"
        elif _worth(held, left, share):
            yield f"{held - left:,} of {held:,} rows of {table}"


def _artifacts(before: ArtifactsPart, now: ArtifactsPart, share: float) -> Iterable[str]:
    if _worth(before.objects, now.objects, share):
        yield f"{before.objects - now.objects:,} of {before.objects:,} artifacts"
    elif before.bytes and before.bytes - now.bytes > share * before.bytes:
        yield f"{size(before.bytes - now.bytes)} of {size(before.bytes)} of artifacts"


def _configuration(before: ConfigurationPart, now: ConfigurationPart) -> Iterable[str]:
    gone = sorted(set(before.objects) - set(now.objects))
    if gone:
        yield f"{count(len(gone), 'object')} of the configuration: {listed(gone)}"


def _worth(held: int, left: int, share: float) -> bool:
    return held - left > max(FEW, share * held)
