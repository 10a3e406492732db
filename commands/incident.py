"""Escalation: whoever is on call is called, and what is done from then on is kept together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import change, command, group

if TYPE_CHECKING:
    from workers.operation import Operation


@change("escalate", examples=('escalate "MLflow is down"', "escalate nobody can log in"))
@click.argument("what", nargs=-1, required=True)
def escalate(what: tuple[str, ...]) -> Operation:
    """Call whoever is on call, and open an incident with health, operations, logs and a timeline."""
    from workers.operations.incident.escalate import Escalate

    return Escalate(what=" ".join(what))


@command("show", examples=("incident show",))
def _show() -> Operation:
    """Show what was done since it was opened."""
    from workers.operations.incident.incident import ShowIncident

    return ShowIncident()


@change("note", examples=('incident note "the disk is full"',))
@click.argument("text", nargs=-1, required=True)
def _note(text: tuple[str, ...]) -> Operation:
    """Add a note to its timeline."""
    from workers.operations.incident.incident import NoteIncident

    return NoteIncident(text=" ".join(text))


@change("take", examples=("incident take",))
def _take() -> Operation:
    """Say that you are on it."""
    from workers.operations.incident.incident import TakeIncident

    return TakeIncident()


@change("close", examples=('incident close "the disk was full"', "incident close"))
@click.argument("outcome", nargs=-1)
def _close(outcome: tuple[str, ...]) -> Operation:
    """End it, and write its account as a Markdown file into its thread."""
    from workers.operations.incident.incident import CloseIncident

    return CloseIncident(outcome=" ".join(outcome))


incident = group("incident", _show, _note, _take, _close, meaning="An incident: its timeline, notes, and its end.")
