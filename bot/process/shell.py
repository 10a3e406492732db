"""`mlflow-ops shell`: a prompt for whoever is on call without Slack, with completion and a history.

The connections stay open from one command to the next, so that the second answer is quick. A change is planned and
shown; it is done only after that, by whoever the shell was started for, and only if they type yes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bot.process import completing, here
from bot.process.progress import TerminalProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completion
    from prompt_toolkit.document import Document

    from workers.report import Report
    from workers.systems import Systems

_ENDS: Final = frozenset({"exit", "quit", ":q"})
_HELLO: Final = "Commands as after /mlflow; Tab completes, help lists them, exit or Ctrl-D ends. Changes are {}."


def serve(systems: Systems, name: str | None) -> None:
    """Read and answer until the end of input. name: in whose name changes are done; None: they are only shown."""
    session = _session()
    click.echo(_HELLO.format(f"shown, then done in the name of {name} if you say yes" if name else "only shown"))
    while True:
        try:
            words = session.prompt("mlflow> ").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if words in _ENDS:
            return
        if words:
            answer(words, systems, name, lambda: session.prompt("Type yes to do it: ").strip() == "yes")


def answer(words: str, systems: Systems, name: str | None, agreed: Callable[[], bool]) -> None:
    """One line of it, whatever comes of it. agreed: asked once a change's plan was shown."""
    from workers.operation import Risk

    try:
        asked = here.read(words, "mlflow>")
        if asked.operation is None:
            click.echo(asked.help)
            return
        _show(_done(asked, None, systems))
        if name is not None and asked.operation.risk is not Risk.READ and agreed():
            _show(_done(asked, name, systems))
    except (here.RefusedError, here.StoppedError) as error:
        click.echo(str(error), err=True)


def _done(asked: here.Asked, name: str | None, systems: Systems) -> Report:
    with _stoppable() as stop, TerminalProgress(stop, quiet_seconds=0.0) as progress:
        return here.carried_out(asked, name, systems, progress)


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Ctrl-C ends the command at its next safe point, and not the shell; a second one breaks off."""
    stop = threading.Event()

    def asked(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield stop
    except KeyboardInterrupt:
        raise here.StoppedError("It was broken off. See jobs for what it has left.") from None
    finally:
        signal.signal(signal.SIGINT, before)


def _show(report: Report) -> None:
    from workers.rendering import output

    output.write(report, None, sys.stdout)


def history_file() -> Path:
    """Where what was typed is kept: $XDG_STATE_HOME or ~/.local/state, then mlflow-ops/history."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "mlflow-ops" / "history"


def _session() -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.history import FileHistory

    class Words(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002 - prompt_toolkit's
            *before, last = document.text_before_cursor.lstrip().split(" ")
            for value, told in completing.candidates(list(filter(None, before)), last, completing.remembered):
                yield Completion(value, start_position=-len(last), display_meta=told)

    file = history_file()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    return PromptSession(history=FileHistory(str(file)), completer=Words(), complete_while_typing=False)
