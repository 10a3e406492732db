"""Key metrics: artifact storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import OneOf, command

if TYPE_CHECKING:
    from workers.operation import Operation


@command("storage", examples=("storage", "storage --by prefix --top 50", "storage --fresh"))
@click.option("--by", type=OneOf(["experiment", "prefix"]), default="experiment")
@click.option("--top", type=click.IntRange(1, 100), default=20, metavar="N", help="How many; 20 by default.")
@click.option("--fresh", is_flag=True, help="List the bucket again, though it was within the hour.")
def storage(by: str, top: int, *, fresh: bool) -> Operation:
    """Show artifact storage: size and count, growth since last week, old versions, unfinished uploads, and
    artifacts that MLflow doesn't know, and ones that are gone.
    """
    from workers.operations.storage.show import Storage

    return Storage.model_validate({"by": by, "top": top, "fresh": fresh})
