"""Backups in a few words: how old the last one is against what is allowed, and whether anybody has ever tried one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.operations.choices import RECOVERY
from workers.wording import ago, count, duration

if TYPE_CHECKING:
    from workers.report import Check
    from workers.settings import Settings


def last(checks: tuple[Check, ...], settings: Settings) -> str:
    """The last good set's age against the recovery point; what the check says where there is none."""
    check = next((each for each in checks if each.name == "backup"), None)
    if check is None:
        return "not looked at"
    age = check.figures.get("age_seconds")
    if age is None:
        return check.sentence.rstrip(".")
    allowed = settings.ops.health.thresholds.backup_age_fail_seconds
    return f"last backup {duration(age)} old ({duration(allowed)} allowed)"


def drill(checks: tuple[Check, ...]) -> str:
    """The last drill and the recovery time that it measured, from the check of the backups."""
    figures = next((each.figures for each in checks if each.name == "backup"), {})
    if "drill_age_seconds" not in figures:
        return "no restore drill yet"
    when = ago(figures["drill_age_seconds"])
    if not figures["drill_well"]:
        return f"the last restore drill, {when}, failed"
    return f"last restore drill {when}, restored in {duration(figures['restore_seconds'])}"


def recovery(checks: tuple[Check, ...]) -> str:
    """The recovery point and time as measured, from the check of point-in-time recovery; empty where that is off."""
    check = next((each for each in checks if each.name == RECOVERY), None)
    if check is None:
        return ""
    if "point_seconds" not in check.figures:
        return f"; {check.sentence.rstrip('.')}"
    point = f"; any second up to {ago(check.figures['point_seconds'])}"
    gaps = int(check.figures.get("gaps", 0))
    missing = f", {count(gaps, 'gap')} in the WAL" if gaps else ""
    if "restore_seconds" not in check.figures:
        return f"{point}{missing}, not drilled yet"
    passed = "restored" if check.figures.get("drill_well") else "FAILED"
    return f"{point}{missing}, a random one {passed} in {duration(check.figures['restore_seconds'])}"
