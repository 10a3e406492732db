"""Common tasks: the model registry."""

from __future__ import annotations

import click

from commands.grammar import command, group
from workers.operations.models.show import ModelShow, ModelsList


@command("list", examples=("models list",))
@click.option("--page", type=click.IntRange(1, 100_000), default=1, metavar="N", help="Twenty to a page.")
def _list(page: int) -> ModelsList:
    """List registered models with their newest version and aliases."""
    return ModelsList(page=page)


@command("show", examples=("models show carbon-intensity",))
@click.argument("model", metavar="NAME")
def _show(model: str) -> ModelShow:
    """Show a registered model: its versions with aliases, stages and source runs."""
    return ModelShow(model=model)


models = group("models", _list, _show, meaning="MLflow's registered models: list them, and show one's versions.")
