"""What a command would do, and no more: `--dry-run` of every command that changes something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from workers import registry
from workers.operation import Operation, Progress, Risk
from workers.rendering import dry_run
from workers.report import Report

if TYPE_CHECKING:
    from workers.systems import Systems


class DryRun(Operation):
    """Show the plan of another operation. of: its name; arguments: its own."""

    name: ClassVar[str] = "dry-run"
    risk: ClassVar[Risk] = Risk.READ

    of: str
    arguments: dict[str, Any]

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Make the plan and report it."""
        progress.step("Planning")
        return dry_run.report(registry.build(self.of, self.arguments).plan(systems))
