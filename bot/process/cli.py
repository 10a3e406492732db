"""`mlflow-ops`: the bot, its workers, the scheduler and what keeps the WAL as processes; any command without Slack; the
sandbox.

Exit codes: 0 well; 1 the answer is bad (a failed check, a failed operation); 2 wrong words or wrong settings; 3
nothing failed, but not everything could be asked.

Help, completion and a typing mistake need click alone: each command imports what it does when it does it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from bot.process import completing, here, progress, readiness

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


def _say_version(context: click.Context, _: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's
    if asked:
        from bot.process import version

        click.echo(version.text())
        context.exit()


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Print the version and the commit it was made from.",
)
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True)
def main(log_format: str) -> None:  # noqa: ARG001 - read by those that log
    """Operate MLflow on Kubernetes from Slack, and from here when Slack is down."""
    import resource

    # A core dump would hold every secret that the process does. Those that it starts have the limit from it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


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
        readiness.until_stopped(loaded) as (stop, said_ready),
        readiness.with_metrics(loaded, metrics_port, said_ready, "bot") as ready,
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
        readiness.with_metrics(loaded, metrics_port, readiness.of(loaded), f"worker-{queue}", shared=False) as ready,
    ):
        work(queue, ready)


def _serve(seat: Callable[[Settings, threading.Event, Callable[[], None]], None], name: str, port: int | None) -> None:
    """Take a seat of which one works and the others stand by, until the process is stopped. port: for its metrics."""
    with (
        _settings(checked=True) as loaded,
        readiness.until_stopped(loaded) as (stop, said_ready),
        readiness.with_metrics(loaded, port, said_ready, name) as ready,
    ):
        seat(loaded, stop, ready)


@main.command()
@_METRICS
def scheduler(*, metrics_port: int | None) -> None:
    """Do what falls due; one of those started works, the others stand by."""
    from bot.process import scheduler as seat

    _serve(seat.serve, "scheduler", metrics_port)


@main.command()
@_METRICS
def wal(*, metrics_port: int | None) -> None:
    """Keep the database server's WAL for point-in-time recovery; one of those started works, the others stand by."""
    from bot.process import wal as seat

    _serve(seat.serve, "wal", metrics_port)


_OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice(["wide", "json", "yaml", "name", "csv"]),
    help="wide: every column; json, yaml: as data; name: what its rows are called; csv: its table.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
_DETAILS = click.option("--details", is_flag=True, help="Print what is behind every check, not only the bad ones.")


def _printed(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a command that prints a report."""
    return _OUTPUT(_JSON(_DETAILS(command)))


@main.command()
@_printed
def check(*, output: str | None, as_json: bool, details: bool) -> None:
    """Check the set-up: Slack, Redis, Kubernetes, PostgreSQL, S3 and MLflow, and what to do about each.

    Exits with 0 if all is well, 1 if something is to be done, 3 if something could not be asked, as where it is not
    configured here.
    """
    from bot.process import check as slack
    from workers.engine import performing
    from workers.operations.preflight import Preflight
    from workers.systems import Systems

    with _settings(checked=True) as loaded:
        with progress.TerminalProgress() as shown:
            report = slack.added(performing.perform(Preflight(), Systems(loaded), shown), loaded)
        _show(report, output or ("json" if as_json else None), details=details)


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


@config.command()
def schema() -> None:
    """Print the JSON Schema of what `run -o json` prints."""
    import json

    from workers.rendering import document

    click.echo(json.dumps(document.schema(), indent=2))


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
    """Make every seal anew and compare Redis with the export: exits with 1 and names what was changed."""
    from workers.errors import OperatorError
    from workers.operation import Unwatched
    from workers.operations.audit.verify import AuditVerify
    from workers.systems import Systems
    from workers.systems.redis import translated

    with _settings() as loaded:
        systems = Systems(loaded)
        try:
            with translated(systems.redis):
                report = AuditVerify().run(systems, Unwatched())
        except OperatorError as error:
            click.echo(str(error), err=True)
            sys.exit(FAILED)
    _show(report, None, details=True)


@audit.command()
def export() -> None:
    """Print the record that is in Redis as JSON Lines: each moment's text, its id and its seal."""
    from workers.records import audit_seals
    from workers.systems.redis import connect

    with _settings() as loaded:
        for line in audit_seals.lines(connect(loaded)):
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


@main.command(cls=completing.Typed, context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, shell_complete=completing.complete)
@_printed
@click.option("--yes-by", metavar="NAME", help="Carry a change out in this person's name, without approval.")
@click.option("-h", "--help", "help_", is_flag=True, help="Show this text; with WORDS, how to use that command.")
@click.pass_context
def run(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    *,
    words: tuple[str, ...],
    output: str | None,
    as_json: bool,
    details: bool,
    yes_by: str | None,
    help_: bool,
) -> None:
    """Run a command here, as it would be typed after /mlflow: mlflow-ops run health.

    A change is shown and not done, unless --yes-by says in whose name: the way in when Slack is down. Ctrl-C stops it
    at its next safe point, where it puts back what is half done; a second one breaks off. WORDS with quotes,
    apostrophes or options of the same names as these stand in one pair of quotes.
    Exits with 0 if the report is ok or a warning, 1 if it failed, 2 if WORDS are not a command, 3 if nothing failed
    but not everything could be asked.
    """
    if help_ and not words:
        click.echo(ctx.get_help())
        return
    try:
        asked = here.read(here.joined(words) + (" --help" if help_ else ""), "mlflow-ops run")
    except here.RefusedError as error:
        _stop(str(error))
    if asked.operation is None:
        click.echo(asked.help)
        return
    from workers.systems import Systems

    stop = threading.Event()
    quiet = 0.0 if yes_by else progress.QUIET_SECONDS
    if yes_by:
        signal.signal(signal.SIGINT, lambda *_: _asked_to_stop(stop))
    with _settings() as loaded, progress.TerminalProgress(stop, quiet_seconds=quiet) as shown:
        try:
            report = here.carried_out(asked, yes_by, Systems(loaded), shown)
        except here.StoppedError as error:
            shown.close()
            click.echo(str(error), err=True)
            sys.exit(FAILED)
    _show(report, output or ("json" if as_json else None), details=details)


@main.command()
@click.option("--yes-by", metavar="NAME", help="Offer to carry changes out, in this person's name.")
def shell(*, yes_by: str | None) -> None:
    """Type one command after another, with completion and a history: for an hour on call without Slack.

    A change is shown first; with --yes-by it is then done if you type yes.
    """
    from bot.process import shell as prompt
    from workers.systems import Systems

    with _settings() as loaded:
        prompt.serve(Systems(loaded), yes_by)


@main.command()
def man() -> None:
    """Print the manual page: mlflow-ops man | man -l -."""
    from importlib.metadata import version

    from bot.process import manual

    click.echo(manual.page(main, version("mlflow-ops")), nl=False)


def _show(report: Report, form: str | None, *, details: bool) -> NoReturn:
    from workers.rendering import output

    output.write(report, output.Form(form) if form else None, sys.stdout, details=details)
    sys.stdout.flush()
    sys.exit(output.exit_code(report))


def _asked_to_stop(stop: threading.Event) -> None:
    stop.set()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    click.echo("\nStopping at the next safe point; Ctrl-C again breaks off.", err=True)


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


def _stop(sentence: str) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(USAGE)
