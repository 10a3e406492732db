"""A plan as a report: what would be done, where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.report import Facts, Report, Section, Status, Table, Text
from workers.wording import duration

if TYPE_CHECKING:
    from workers.operation import Plan


def report(plan: Plan, *, do: str = "") -> Report:
    """A plan as a report. do: what would carry it out."""
    sections: list[Section] = []
    if plan.changes:
        rows = tuple((change.what, change.before, change.after) for change in plan.changes)
        sections.append(Table(title="Would change", columns=("what", "before", "after"), rows=rows))
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(plan.steps, 1))
    sections.append(Text(title="Steps", text=steps))
    sections += [Text(title="Warning", text=warning) for warning in plan.warnings]
    told = [("to undo", plan.undo)] if plan.undo else []
    if plan.estimate_seconds is not None:
        told.append(("takes about", duration(max(1.0, plan.estimate_seconds))))
    if do:
        told.append(("to do it", do))
    if told:
        sections.append(Facts(items=tuple(told)))
    return Report(
        title=f"{plan.title} (dry run)",
        status=Status.WARN if plan.warnings else Status.OK,
        summary=f"{plan.summary}. Nothing was changed.",
        sections=(*sections, *plan.sections),
        attachments=plan.attachments,
    )
