"""Common tasks: the model registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import command, group

if TYPE_CHECKING:
    from workers.operation import Operation


@command("list", examples=("models list",))
@click.option("--page", type=click.IntRange(1, 100_000), default=1, metavar="N", help="Twenty to a page.")
def _list(page: int) -> Operation:
    """List registered models with their newest version and aliases."""
    from workers.operations.models.show import ModelsList

    return ModelsList(page=page)


@command("show", examples=("models show carbon-intensity",))
@click.argument("model", metavar="NAME")
def _show(model: str) -> Operation:
    """Show a registered model: its versions with aliases, stages and source runs."""
    from workers.operations.models.show import ModelShow

    return ModelShow(model=model)


models = group("models", _list, _show, meaning="MLflow's registered models: list them, and show one's versions.")
