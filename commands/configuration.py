"""Maintenance windows: configuration changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import change, command, group

if TYPE_CHECKING:
    from workers.operation import Operation


def _pairs(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:

    pairs: dict[str, str] = {}

    from workers.operations.configuration import values

    for word in given:
        key, equals, value = word.partition("=")
        if not equals:
            raise click.BadParameter(f"“{word[:40]}” has no “=”: write {word[:40]}=VALUE.", context, parameter)
        problem = values.key_problem(key) or values.value_problem(key, value)
        if problem:
            raise click.BadParameter(f"{problem.rstrip('.')}.", context, parameter)
        if key in pairs:
            raise click.BadParameter(f"{key[:40]} is given twice.", context, parameter)
        pairs[key] = value
    return pairs


def _keys(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:

    from workers.operations.configuration import values

    for key in given:
        problem = values.key_problem(key)
        if problem:
            raise click.BadParameter(problem, context, parameter)
    return given


@command("show", examples=("config show",))
def _show() -> Operation:
    """What the ConfigMap holds and how each value reaches MLflow; of secrets only the names and fingerprints."""
    from workers.operations.configuration.show import ConfigShow

    return ConfigShow()


@change("set", examples=("config set gunicorn_workers=8", 'config set "banner=two words" log_level=debug --dry-run'))
@click.argument("pairs", nargs=-1, required=True, callback=_pairs, metavar="KEY=VALUE…")
def _set(pairs: dict[str, str]) -> Operation:
    """Set keys of the ConfigMap, replace the pods one after the other, check that each runs with it, and put all of it
    back if they don't come up. Needs approval. Secrets are refused: what is typed here is read by others.
    """
    from workers.operations.configuration.edit import ConfigSet

    return ConfigSet(pairs=pairs)


@change("unset", examples=("config unset log_level", "config unset log_level --dry-run"))
@click.argument("keys", nargs=-1, required=True, callback=_keys, metavar="KEY…")
def _unset(keys: tuple[str, ...]) -> Operation:
    """Remove keys from the ConfigMap, as config set changes them. Needs approval."""
    from workers.operations.configuration.edit import ConfigUnset

    return ConfigUnset(keys=keys)


config = group("config", _show, _set, _unset, meaning="MLflow's configuration: show it, and change it under watch.")
