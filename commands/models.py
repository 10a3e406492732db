"""Common tasks: the model registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import FreePairs, OneOf, Whole, change, command, group

if TYPE_CHECKING:
    from workers.operation import Operation

_MODEL = click.argument("model", metavar="NAME")
_ALIAS = click.argument("alias", metavar="ALIAS")
_VERSION = click.argument("version", type=Whole(1, 2**31 - 1), metavar="VERSION")
_OF_VERSION = click.option(
    "--version", type=Whole(1, 2**31 - 1), default=None, metavar="N", help="Of this version; else of the model itself."
)


@command("list", examples=("models list",))
@click.option("--page", type=click.IntRange(1, 100_000), default=1, metavar="N", help="Twenty to a page.")
def _list(page: int) -> Operation:
    """List registered models with their newest version and aliases."""
    from workers.operations.models.show import ModelsList

    return ModelsList(page=page)


@command("show", examples=("models show carbon-intensity",))
@_MODEL
def _show(model: str) -> Operation:
    """Show a registered model: its versions with aliases, stages, tags and source runs."""
    from workers.operations.models.show import ModelShow

    return ModelShow(model=model)


@change("alias", examples=("models alias carbon-intensity champion 1",))
@_MODEL
@_ALIAS
@_VERSION
def _alias(model: str, alias: str, version: int) -> Operation:
    """Let an alias name a version: what serving asks for as models:/NAME@ALIAS."""
    from workers.operations.models.aliases import ModelAlias

    return ModelAlias(model=model, alias=alias, version=version)


@change("unalias", examples=("models unalias carbon-intensity champion",))
@_MODEL
@_ALIAS
def _unalias(model: str, alias: str) -> Operation:
    """Take an alias away; its version stays."""
    from workers.operations.models.aliases import ModelUnalias

    return ModelUnalias(model=model, alias=alias)


@change("rollback", examples=("models rollback carbon-intensity champion",))
@_MODEL
@_ALIAS
def _rollback(model: str, alias: str) -> Operation:
    """Bring an alias back to the version that it named before, by the record of what was done here."""
    from workers.operations.models.aliases import ModelRollback

    return ModelRollback(model=model, alias=alias)


@change("stage", examples=("models stage carbon-intensity 1 archived",))
@_MODEL
@_VERSION
@click.argument("stage", type=OneOf(["None", "Staging", "Production", "Archived"]))
def _stage(model: str, version: int, stage: str) -> Operation:
    """Put a version into a stage: None, Staging, Production or Archived."""
    from workers.operations.models.tags import ModelStage

    return ModelStage.model_validate({"model": model, "version": version, "stage": stage})


@change("tag", examples=("models tag carbon-intensity owner=grid", "models tag carbon-intensity --version 2 bad=yes"))
@_MODEL
@click.argument("tags", type=FreePairs(), metavar="K=V…")
@_OF_VERSION
def _tag(model: str, tags: dict[str, str], version: int | None) -> Operation:
    """Set tags of a registered model, or of one of its versions."""
    from workers.operations.models.tags import ModelTag

    return ModelTag(model=model, tags=tags, version=version or 0)


@change("untag", examples=("models untag carbon-intensity owner",))
@_MODEL
@click.argument("keys", nargs=-1, required=True, metavar="K…")
@_OF_VERSION
def _untag(model: str, keys: tuple[str, ...], version: int | None) -> Operation:
    """Remove tags of a registered model, or of one of its versions."""
    from workers.operations.models.tags import ModelUntag

    return ModelUntag(model=model, keys=keys, version=version or 0)


models = group(
    "models",
    *(_list, _show, _alias, _unalias, _rollback, _stage, _tag, _untag),
    meaning="MLflow's registered models: list and show them; move an alias, a stage or tags, and back.",
)
