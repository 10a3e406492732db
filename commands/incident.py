"""Escalation: whoever is on call is called, and what is done from then on is kept together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import FreeText, change, command, group

if TYPE_CHECKING:
    from workers.operation import Operation


@change("escalate", examples=("escalate MLflow is down", "escalate nobody can log in, and the logs don't say why"))
@click.argument("what", type=FreeText())
def escalate(what: str) -> Operation:
    """Page the person on call, and open an incident with health, operations, logs and a timeline."""
    from workers.operations.incident.escalate import Escalate

    return Escalate(what=what)


@command("show", examples=("incident show",))
def _show() -> Operation:
    """Show what was done since it was opened."""
    from workers.operations.incident.incident import ShowIncident

    return ShowIncident()


@change("note", examples=("incident note it's the disk: full since 03:10",))
@click.argument("text", type=FreeText())
def _note(text: str) -> Operation:
    """Add a note to its timeline."""
    from workers.operations.incident.incident import NoteIncident

    return NoteIncident(text=text)


@change("take", examples=("incident take",))
def _take() -> Operation:
    """Say that you are on it."""
    from workers.operations.incident.incident import TakeIncident

    return TakeIncident()


@change("close", examples=("incident close the disk was full", "incident close"))
@click.argument("outcome", type=FreeText(), default="", metavar="[OUTCOME]")
def _close(outcome: str) -> Operation:
    """End it, and write its account as a Markdown file into its thread."""
    from workers.operations.incident.incident import CloseIncident

    return CloseIncident(outcome=outcome)


incident = group("incident", _show, _note, _take, _close, meaning="An incident: its timeline, notes, and its end.")
