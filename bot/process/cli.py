"""`mlflow-ops`: the bot, its workers, the scheduler and what keeps the WAL as processes; any command without Slack; the
sandbox.

Exit codes: 0 well; 1 the answer is bad (a failed check, a failed operation); 2 wrong words or wrong settings.

Help, completion and a typing mistake need click alone: each command imports what it does when it does it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol

import click

if TYPE_CHECKING:
    from workers.report import Report
    from workers.settings import Settings

FAILED, USAGE = 1, 2


class _Main(click.Group):
    """Finds the sandbox when something of it is asked for: it is a distribution of its own."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] != "sandbox":
            return super().resolve_command(ctx, args)
        return args[0], _installed_sandbox(), args[1:]


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mlflow-ops")
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True)
def main(log_format: str) -> None:
    """Operate MLflow on Kubernetes from Slack, and from here when Slack is down."""


_METRICS = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    envvar="MLFLOW_OPS_METRICS_PORT",
    help="Serve /metrics, /healthz and /readyz there.",
)


@main.command()
@click.option("--http", is_flag=True, help="Serve Slack's HTTP requests instead of Socket Mode.")
@click.option("--host", default="0.0.0.0", show_default=True, help="With --http or --alerts-port: the address.")  # noqa: S104
@click.option("--port", default=3000, show_default=True, type=click.IntRange(0, 65535), help="With --http.")
@click.option(
    "--alerts-port",
    type=click.IntRange(0, 65535),
    envvar="MLFLOW_OPS_ALERTS_PORT",
    help="Take Alertmanager's webhook there, at /alerts.",
)
@_METRICS
def bot(*, http: bool, host: str, port: int, alerts_port: int | None, metrics_port: int | None) -> None:
    """Serve Slack: acknowledge commands, check who may, and queue them."""
    from bot import alert_webhook, app

    with (
        _settings(checked=True) as loaded,
        _until_stopped(loaded) as (stop, said_ready),
        _metrics(loaded, metrics_port, said_ready, "bot") as ready,
        alert_webhook.served(loaded, host, alerts_port),
    ):
        if http:
            app.serve_http(loaded, host, port, stop, ready)
        else:
            app.serve_socket_mode(loaded, stop, ready)


@main.command()
@click.option("--queue", type=click.Choice(["quick", "ops"]), required=True, help="quick: reads; ops: changes.")
@_METRICS
def worker(*, queue: str, metrics_port: int | None) -> None:
    """Run the commands of one queue."""
    from workers.engine.worker import work

    with (
        _settings(checked=True) as loaded,
        _metrics(loaded, metrics_port, _readiness(loaded), f"worker-{queue}", shared=False) as ready,
    ):
        work(queue, ready)


@main.command()
@_METRICS
def scheduler(*, metrics_port: int | None) -> None:
    """Do what falls due; one of those started works, the others stand by."""
    from bot.process import scheduler as seat

    with (
        _settings(checked=True) as loaded,
        _until_stopped(loaded) as (stop, said_ready),
        _metrics(loaded, metrics_port, said_ready, "scheduler") as ready,
    ):
        seat.serve(loaded, stop, ready)


@main.command()
@_METRICS
def wal(*, metrics_port: int | None) -> None:
    """Keep the database server's WAL for point-in-time recovery; one of those started works, the others stand by."""
    from bot.process import wal as seat

    with (
        _settings(checked=True) as loaded,
        _until_stopped(loaded) as (stop, said_ready),
        _metrics(loaded, metrics_port, said_ready, "wal") as ready,
    ):
        seat.serve(loaded, stop, ready)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the report as data.")
@click.option("--details", is_flag=True, help="Print what is behind every check, not only the bad ones.")
def check(*, as_json: bool, details: bool) -> None:
    """Check the set-up: Slack, Redis, Kubernetes, PostgreSQL, S3 and MLflow, and what to do about each.

    Exits with 0 where all that is configured here is well, 1 where something is to be done.
    """
    from bot.process import check as slack
    from workers.engine import performing
    from workers.operations.preflight import Preflight
    from workers.systems import Systems

    with _settings(checked=True) as loaded:
        report = performing.perform(Preflight(), Systems(loaded), _TerminalProgress())
        _show(slack.added(report, loaded), as_json=as_json, details=details)


@main.group()
def config() -> None:
    """The settings."""


@config.command()
def reference() -> None:
    """Print every key of ops.yaml and every variable, with type, limits, default and meaning, as Markdown."""
    from bot.process import reference as documented

    click.echo(documented.markdown())


@config.command()
def commands() -> None:
    """Print every command with its options, examples and who may, as Markdown."""
    from bot.process import commands_reference

    click.echo(commands_reference.markdown(), nl=False)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete mlflow-ops: eval "$(mlflow-ops completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(main, {}, "mlflow-ops", "_MLFLOW_OPS_COMPLETE").source())


@main.group()
def audit() -> None:
    """The audit record."""


@audit.command()
def verify() -> None:
    """Make every seal of the record anew: exits with 1 and names the entry where one is broken."""
    from workers.records import audit_log as recorded
    from workers.systems.redis import connect

    with _settings() as loaded:
        found = recorded.verify(connect(loaded))
    if found.broken:
        click.echo(f"The audit record was tampered with: {found.broken}.", err=True)
        sys.exit(FAILED)
    click.echo(
        f"{found.entries} entries, {found.sealed} sealed, unbroken. The last seal is {found.last_seal or 'none'}."
    )


@audit.command()
def export() -> None:
    """Print the record as JSON Lines: each moment's text, its id and its seal."""
    from workers.records import audit_log as recorded
    from workers.systems.redis import connect

    with _settings() as loaded:
        for line in recorded.lines(connect(loaded)):
            click.echo(line)


@main.command()
def sandbox() -> None:
    """Run Slack, Kubernetes, MLflow, PostgreSQL, S3, Redis and the bot on this machine."""
    raise NotImplementedError("_Main finds the sandbox's own command")


def _installed_sandbox() -> click.Command:
    from importlib.metadata import entry_points

    found = next(iter(entry_points(group="mlflow_ops.sandbox", name="sandbox")), None)
    if found is None:
        _stop("The sandbox isn't installed: pip install mlflow-ops-sandbox, or in a checkout ./deploy/sandbox.")
    command: click.Command = found.load()
    return command


@main.command()
@click.argument("words")
@click.option("--json", "as_json", is_flag=True, help="Print the report as data.")
@click.option("--details", is_flag=True, help="Print what is behind every check, not only the bad ones.")
@click.option("--yes-by", metavar="NAME", help="Carry a change out in this person's name, without anybody's approval.")
def run(words: str, *, as_json: bool, details: bool, yes_by: str | None) -> None:
    """Run a command here, as it would be typed after /mlflow: mlflow-ops run "health".

    A change is shown and not done, unless --yes-by says in whose name: the way in when Slack is down. Ctrl-C stops it
    at its next safe point, where it puts back what is half done; a second one breaks off.
    Exits with 0 where the report is ok or a warning, 1 where it failed, 2 where WORDS are not a command.
    """
    from commands import grammar

    try:
        request = grammar.parse(words, program="mlflow-ops run")
    except grammar.UsageError as error:
        _stop(f"{error}\n{error.usage}")
    if isinstance(request, grammar.Help):
        click.echo(request.text)
        return
    if isinstance(request, grammar.BreakGlass):
        _stop("--break-glass is for Slack: here nobody is asked for approval. Say --yes-by NAME.")
    from workers.engine import performing
    from workers.errors import OperatorError
    from workers.operation import Cancelled
    from workers.systems import Systems

    stop = threading.Event()
    if yes_by:
        signal.signal(signal.SIGINT, lambda *_: _asked_to_stop(stop))
    with _settings() as loaded:
        try:
            report = performing.perform_here(request, words, yes_by, Systems(loaded), _TerminalProgress(stop))
        except OperatorError as error:
            click.echo(str(error), err=True)
            sys.exit(FAILED)
        except Cancelled as cancelled:
            click.echo(f"It was stopped at a safe point. {cancelled.left}".rstrip(), err=True)
            sys.exit(FAILED)
    _show(report, as_json=as_json, details=details)


def _show(report: Report, *, as_json: bool, details: bool) -> NoReturn:
    from workers.report import Status

    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        from rich.console import Console

        from workers.rendering.terminal import to_terminal

        to_terminal(report, Console(highlight=False), details=details)
    sys.stdout.flush()
    sys.exit(FAILED if report.status is Status.FAIL else 0)


def _asked_to_stop(stop: threading.Event) -> None:
    stop.set()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    click.echo("\nStopping at the next safe point; Ctrl-C again breaks off.", err=True)


class _TerminalProgress:
    """Progress on standard error, where a person watches; nothing where nobody does. stop: set to have it stopped."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop

    def step(self, name: str) -> None:
        self._show(f"{name} …")

    def advance(self, done: int, total: int, unit: str) -> None:
        from workers.operation import how_far

        self._show(how_far(done, total, unit))

    def checkpoint(self) -> None:
        from workers.operation import Cancelled

        if self._stop and self._stop.is_set():
            raise Cancelled

    def _show(self, text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[2K{text}\r", nl=False, err=True)


@contextmanager
def _settings(*, checked: bool = False) -> Iterator[Settings]:
    """What every command that does something begins with: log lines as --log-format says, and the settings.

    checked: compare what ops.yaml names with what there is, for which every operation is imported.
    """
    from redis.exceptions import RedisError

    from workers import logging, settings

    logging.configure(click.get_current_context().find_root().params["log_format"])
    try:
        loaded = settings.load()
        if checked:
            from commands import policy

            policy.check(loaded.ops)
        yield loaded
    except settings.SettingsError as error:
        _stop(str(error))
    except RedisError as error:
        click.echo(f"Redis does not answer ({type(error).__name__}): start it, or correct REDIS_URL.", err=True)
        sys.exit(FAILED)


@contextmanager
def _until_stopped(loaded: Settings) -> Iterator[tuple[threading.Event, Callable[[], None]]]:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        yield stop, _readiness(loaded)
    finally:
        if loaded.environment.ready_file:
            loaded.environment.ready_file.unlink(missing_ok=True)


class _Ready(Protocol):
    """How a process says that it can serve. still: whether it can, asked from then on."""

    def __call__(self, still: Callable[[], bool] = ...) -> None: ...


@contextmanager
def _metrics(
    loaded: Settings, port: int | None, said_ready: Callable[[], None], process: str, *, shared: bool = True
) -> Iterator[_Ready]:
    """Serve the figures beside the process; what it says once it can serve makes /readyz say so too."""
    asked: list[Callable[[], bool]] = []

    def ready(still: Callable[[], bool] = lambda: True) -> None:
        said_ready()
        asked.append(still)

    if port is None:
        yield ready
        return
    from bot.process import metrics
    from workers.systems.redis import connect

    def can_serve() -> bool:
        return bool(asked) and asked[0]()

    redis = connect(loaded, answer_within_seconds=2.0)
    with metrics.served(port, metrics.app(redis, can_serve, process, shared=shared)):
        yield ready


def _readiness(loaded: Settings) -> Callable[[], None]:
    """How a process says that it can serve. What one that was killed has said, in the same folder, is taken back."""
    if loaded.environment.ready_file:
        loaded.environment.ready_file.unlink(missing_ok=True)

    def ready() -> None:
        if loaded.environment.ready_file:
            loaded.environment.ready_file.touch()

    return ready


def _stop(sentence: str) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(USAGE)
