"""What may follow the words of a command: other words, options, their values, and names of what there is.

The grammar says where a name stands and of what kind it is (`commands.grammar.kinds.NameOf`); which names there are is
asked of MLflow, the store or the cluster, and remembered for a minute, because Tab is pressed more than once. A system
that does not answer completes nothing and says nothing: it is no moment for an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from commands import grammar

if TYPE_CHECKING:
    from workers.systems import Systems

MOST: Final = 200
KEPT_SECONDS: Final = 60.0
_SECONDS: Final = 3.0

Names = Callable[[str], list[tuple[str, str]]]
"""What there is of a kind: names, and a word on each."""


class Typed(click.Command):
    """A command that takes another one's words: it completes that one's, and what is its own."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Its own options, until words begin; then those of the command that they name."""
        words = list(ctx.params.get("words") or ())
        own = super().shell_complete(ctx, incomplete)
        if not words:
            return own
        known = {each.value for each in own}
        return [*own, *(each for each in items(words, incomplete) if each.value not in known)]


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For click: what may follow the words that stand there."""
    return items(list(ctx.params.get(str(param.name)) or ()), incomplete)


def items(words: Sequence[str], incomplete: str) -> list[CompletionItem]:
    """The same, of words; those in one pair of quotes are several."""
    before = [each for word in words for each in word.split()]
    opened, _, last = incomplete.rpartition(" ")
    found = candidates([*before, *opened.lstrip("\"'").split()], last.lstrip("\"'"), remembered)
    lead = f"{opened} " if opened else incomplete[: len(incomplete) - len(incomplete.lstrip("\"'"))]
    return [CompletionItem(lead + value, help=told) for value, told in found]


def candidates(words: Sequence[str], incomplete: str, names: Names) -> list[tuple[str, str]]:
    """What may be typed next, each with a word on it. words: whole ones, without the program's name."""
    command, left = _reached(words)
    if command is None:
        return []
    found: Iterator[tuple[str, str]]
    waiting = _option(command, left[-1]) if left else None
    if waiting is not None and not waiting.is_flag:
        found = _values(waiting, names)
    elif incomplete.startswith("-"):
        found = _options(command, left)
    else:
        found = _next(command, left, names)
    return [each for each in found if each[0].lower().startswith(incomplete.lower())]


def _reached(words: Sequence[str]) -> tuple[click.Command | None, Sequence[str]]:
    """The command that the words lead to, and those that are left for it; None where they lead nowhere."""
    command: click.Command = grammar.load()
    for at, word in enumerate(words):
        if not isinstance(command, click.Group):
            return command, words[at:]
        if at == 0 and word == "help":
            continue
        found = command.commands.get(word.lower())
        if found is None:
            acts = getattr(command, "acts", "")
            return (command.commands[acts], words[at:]) if acts else (None, ())
        command = found
    return command, ()


def _next(command: click.Command, left: Sequence[str], names: Names) -> Iterator[tuple[str, str]]:
    """Words under a word; else values of the argument that is due."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield name, command.commands[name].get_short_help_str(80)
        acts = getattr(command, "acts", "")
        if not acts:
            return
        command = command.commands[acts]
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    given = _positional(command, left)
    if not arguments:
        return
    due = arguments[min(given, len(arguments) - 1)]
    if given < len(arguments) or due.nargs == -1:
        yield from _values(due, names)


def _positional(command: click.Command, left: Sequence[str]) -> int:
    """How many of the words are arguments, not options and their values."""
    number, skip = 0, False
    for word in left:
        option = _option(command, word)
        if skip:
            skip = False
        elif option is not None:
            skip = not option.is_flag
        elif not word.startswith("-"):
            number += 1
    return number


def _option(command: click.Command, word: str) -> click.Option | None:
    return next((each for each in command.params if isinstance(each, click.Option) and word in each.opts), None)


def _options(command: click.Command, left: Sequence[str]) -> Iterator[tuple[str, str]]:
    for each in command.params:
        if isinstance(each, click.Option) and (each.multiple or not set(each.opts) & set(left)):
            yield each.opts[0], each.help or ""
    yield "--help", "Show how it is used."


def _values(parameter: click.Parameter, names: Names) -> Iterator[tuple[str, str]]:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        yield from ((str(each), "") for each in kind.choices)
    elif isinstance(kind, grammar.NameOf):
        # A name with a space in it cannot be completed word by word; such an experiment has an id, too.
        yield from (each for each in names(kind.of) if " " not in each[0])


def remembered(kind: str) -> list[tuple[str, str]]:
    """The names of a kind, asked at most once a minute for the same settings."""
    told = "|".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(_TELLING))
    key = hashlib.sha256(f"{kind}|{told}".encode()).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME")
    file = (Path(base) if base else Path.home() / ".cache") / "mlflow-ops" / f"{kind}-{key}.json"
    with suppress(OSError, ValueError):
        if time.time() - file.stat().st_mtime < KEPT_SECONDS:
            return [(str(name), str(said)) for name, said in json.loads(file.read_text())]
    found = asked(kind)
    if found:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text(json.dumps(found))
    return found


_TELLING: Final = ("MLFLOW_", "KUBECONFIG", "REDIS_URL", "AWS_")
"""Variables by which one installation is told from another."""


def asked(kind: str) -> list[tuple[str, str]]:
    """The names of a kind, from the system that knows them; none where it does not answer."""
    from workers import settings
    from workers.errors import OperatorError
    from workers.systems import Systems

    try:
        return _ASKING[kind](Systems(settings.load()))
    except (OperatorError, settings.SettingsError):
        return []


def _experiments(systems: Systems) -> list[tuple[str, str]]:
    from workers.operations.experiments.finding import every

    found = islice(every(systems.tracking, "ACTIVE_ONLY"), MOST)
    return [(each.id, each.name) if " " in each.name else (each.name, each.id) for each in found]


def _sets(systems: Systems) -> list[tuple[str, str]]:
    from workers.operations.backup import sets

    known = sets.names(systems.backups, systems.settings.ops.storage.backups_bucket)[-MOST:]
    return [(sets.LATEST, ""), *((sets.id_of(each), f"{sets.begun(each):%Y-%m-%d %H:%M} UTC") for each in known[::-1])]


def _pods(systems: Systems) -> list[tuple[str, str]]:
    from workers.operations.inspection.finding import name_of, our_pods

    return [(name_of(each), str(each.get("status", {}).get("phase", ""))) for each in our_pods(systems)]


def _metrics(_systems: Systems) -> list[tuple[str, str]]:
    from workers.operations.history.metrics import METRICS

    return [(each.name, each.title) for each in METRICS]


_ASKING: Final[dict[str, Callable[[Any], list[tuple[str, str]]]]] = {
    "experiment": _experiments,
    "set": _sets,
    "pod": _pods,
    "metric": _metrics,
}
