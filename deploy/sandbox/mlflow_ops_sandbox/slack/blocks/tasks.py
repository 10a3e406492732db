"""What is under way, in messages: `plan` with its tasks, and a `task_card` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.blocks.tables import rich_text

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.blocks.findings import Findings
    from mlflow_ops_sandbox.slack.errors import Json

TASKS = 50
TITLE = 3000
STATES = ("pending", "in_progress", "complete", "error")


def plan(found: Findings, pointer: str, block: Json) -> None:
    """Check a plan: a title that is a bare string, and tasks of which each has its own id."""
    found.only(pointer, block, "type", "block_id", "title", "tasks")
    found.length(f"{pointer}/title", block.get("title"), TITLE, least=1)
    seen: set[str] = set()
    for index, item in enumerate(found.count(f"{pointer}/tasks", block.get("tasks") or [], TASKS, least=0)):
        at = f"{pointer}/tasks/{index}"
        if not isinstance(item, dict) or item.get("type") != "task_card":
            found.add(f"{at}/type", f"unsupported type: {item.get('type') if isinstance(item, dict) else item}")
            continue
        _task(found, at, item, STATES)
        if item.get("task_id") in seen:
            found.add(f"{at}/task_id", "`task_id` already exists for another task")
        seen.add(str(item.get("task_id")))


def task_card(found: Findings, pointer: str, block: Json) -> None:
    """Check a task that stands alone: it is not pending."""
    _task(found, pointer, block, STATES[1:])


def _task(found: Findings, pointer: str, block: Json, states: tuple[str, ...]) -> None:
    found.only(pointer, block, "type", "block_id", "task_id", "title", "status", "details", "output", "sources")
    found.length(f"{pointer}/task_id", block.get("task_id"), 255, least=1)
    found.length(f"{pointer}/title", block.get("title"), TITLE, least=1)
    if block.get("status") not in states:
        found.add(f"{pointer}/status", f"must be one of {', '.join(states)}")
    for name in ("details", "output"):
        if name not in block:
            continue
        if not isinstance(block[name], dict) or block[name].get("type") != "rich_text":
            found.add(f"{pointer}/{name}", "must be a rich_text")
        else:
            rich_text(found, f"{pointer}/{name}", block[name])
