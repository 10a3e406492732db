"""Common tasks: experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import NameOf, change, command, group

if TYPE_CHECKING:
    from workers.operation import Operation
    from workers.operations.experiments.finding import View


def pairs(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE words as a mapping; a usage error for what is none, or given twice."""
    found: dict[str, str] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            short = word[:40]
            raise click.BadParameter(f"“{short}” is not KEY=VALUE: write it as key=value.", context, parameter)
        if key in found:
            raise click.BadParameter(f"{key[:40]} is given twice.", context, parameter)
        found[key] = value
    return found


def _which(*, everything: bool, deleted: bool) -> View:
    if everything and deleted:
        raise click.UsageError("--all shows deleted ones too: give one of --all and --deleted.")
    return "ALL" if everything else "DELETED_ONLY" if deleted else "ACTIVE_ONLY"


_ALL = click.option("--all", "everything", is_flag=True, help="Active and deleted ones.")
_DELETED = click.option("--deleted", is_flag=True, help="Deleted ones only.")
_PAGE = click.option("--page", type=click.IntRange(1, 100_000), default=1, metavar="N", help="Twenty to a page.")


@command("list", examples=("experiments list", "experiments list --all --page 2"))
@_ALL
@_DELETED
@_PAGE
def _list(*, everything: bool, deleted: bool, page: int) -> Operation:
    """List experiments with their runs and last activity, the one changed last first."""
    from workers.operations.experiments.show import ExperimentsList

    return ExperimentsList(view=_which(everything=everything, deleted=deleted), page=page)


@command("search", examples=("experiments search price", 'experiments search "day ahead" --all'))
@click.argument("text", metavar="TEXT")
@_ALL
@_DELETED
@_PAGE
def _search(text: str, *, everything: bool, deleted: bool, page: int) -> Operation:
    """List experiments with this text in their name or their tags."""
    from workers.operations.experiments.show import ExperimentsList

    return ExperimentsList(view=_which(everything=everything, deleted=deleted), page=page, text=text)


@command("show", examples=("experiments show load-forecast-eu", 'experiments show "my experiment"'))
@click.argument("experiment", type=NameOf("experiment"), metavar="NAME|ID")
def _show(experiment: str) -> Operation:
    """Show one experiment: its runs, where its artifacts are, its tags."""
    from workers.operations.experiments.show import ExperimentShow

    return ExperimentShow(experiment=experiment)


@change("create", examples=("experiments create new_experiment", 'experiments create "two words" --tag team=markets'))
@click.argument("name", metavar="NAME")
@click.option("--artifact-location", "location", default="", metavar="URI", help="By default where the server says.")
@click.option("--tag", "tags", multiple=True, callback=pairs, metavar="K=V", help="May be given several times.")
def _create(name: str, location: str, tags: dict[str, str]) -> Operation:
    """Make an experiment."""
    from workers.operations.experiments.edit import ExperimentCreate

    return ExperimentCreate(experiment=name, location=location, tags=tags)


@change("rename", examples=('experiments rename draft "final name"',))
@click.argument("experiment", type=NameOf("experiment"), metavar="NAME|ID")
@click.argument("to", metavar="NEW")
def _rename(experiment: str, to: str) -> Operation:
    """Give an experiment another name."""
    from workers.operations.experiments.edit import ExperimentRename

    return ExperimentRename(experiment=experiment, to=to)


@change("delete", examples=("experiments delete draft", "experiments delete 12 --dry-run"))
@click.argument("experiment", type=NameOf("experiment"), metavar="NAME|ID")
def _delete(experiment: str) -> Operation:
    """Delete an experiment and its runs, so that they can be restored. Needs approval."""
    from workers.operations.experiments.edit import ExperimentDelete

    return ExperimentDelete(experiment=experiment)


@change("restore", examples=("experiments restore draft",))
@click.argument("experiment", type=NameOf("experiment"), metavar="NAME|ID")
def _restore(experiment: str) -> Operation:
    """Bring a deleted experiment back, with its runs."""
    from workers.operations.experiments.edit import ExperimentRestore

    return ExperimentRestore(experiment=experiment)


experiments = group(
    "experiments",
    *(_list, _search, _show, _create, _rename, _delete, _restore),
    meaning="MLflow's experiments: list, search and show them; make, rename, delete and restore them.",
)
