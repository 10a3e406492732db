"""Alerts: what fires, and silencing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import Duration, FreeText, change, command, group

if TYPE_CHECKING:
    from workers.operation import Operation


@command("list", examples=("alerts list", "alerts list 3f2a9c01de"))
@click.argument("group_id", default="", metavar="[GROUP]")
def _list(group_id: str) -> Operation:
    """What Alertmanager says fires, since when, and the silences; or the alerts of one group."""
    from workers.operations.alerts.show import AlertsList

    return AlertsList(group=group_id)


@change("silence", examples=("alerts silence 3f2a9c01de --for 2h --why we're moving the database",))
@click.argument("target", metavar="GROUP|FINGERPRINT")
@click.option("--for", "seconds", type=Duration(), default="2h", show_default=True, help="After which it ends.")
@click.option("--why", type=FreeText(), default="", metavar="REASON", help="Alertmanager keeps it, with who asked.")
def _silence(target: str, seconds: float, why: str) -> Operation:
    """Have Alertmanager keep quiet of a group of alerts, by the id in its message; or of one, by fingerprint."""
    from workers.operations.alerts.silence import AlertsSilence

    return AlertsSilence(target=target, seconds=seconds, why=why)


@change("unsilence", examples=("alerts unsilence 3f2a9c01de",))
@click.argument("target", metavar="GROUP|ID")
def _unsilence(target: str) -> Operation:
    """End a silence now, by its id or by its group's."""
    from workers.operations.alerts.silence import AlertsUnsilence

    return AlertsUnsilence(target=target)


alerts = group("alerts", _list, _silence, _unsilence, meaning="What Alertmanager reports: see it, and silence it.")
