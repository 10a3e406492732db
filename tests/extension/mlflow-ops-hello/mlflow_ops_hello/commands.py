"""Our own: hello from MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import change, command, group_that_acts

if TYPE_CHECKING:
    from workers.operation import Operation


@command("say", examples=("hello",))
def _say() -> Operation:
    """Say how many experiments there are."""
    from mlflow_ops_hello.operations import Hello

    return Hello()


@change("play", examples=("hello play ada", "hello play ada --dry-run"))
@click.argument("who", metavar="NAME")
def _play(who: str) -> Operation:
    """Make an experiment to play with."""
    from mlflow_ops_hello.operations import HelloPlay

    return HelloPlay(who=who)


hello = group_that_acts("hello", _say, _play, takes=(), meaning="Hello from MLflow, and an experiment to play with.")
