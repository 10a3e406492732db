"""`mlflow-ops sandbox`: the whole product on this machine, in one command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts.folder import default_path
from mlflow_ops_sandbox.parts.gitops import MODES

_DATA = click.option(
    "--data",
    type=click.Path(file_okay=True, path_type=Path),
    metavar="DIR",
    help="Folder for all data and logs.  [default: $XDG_DATA_HOME or ~/.local/share, then mlflow-ops/sandbox]",
)


class _Sentence(click.ClickException):
    """A SandboxError, as one sentence on standard error and exit code 1."""

    def show(self, file: object = None) -> None:
        """Print the sentence alone."""
        del file
        click.echo(self.format_message(), err=True)


def _path(data: Path | None) -> Path:
    return (data or default_path()).expanduser().resolve()


def _meant(data: Path | None) -> Path:
    """The folder that was named; else that of the only sandbox that runs. Raises SandboxError."""
    from mlflow_ops_sandbox.control import found

    return _path(data) if data else found(_path(None))


@click.group("sandbox", invoke_without_command=True)
@_DATA
@click.option("--fresh", is_flag=True, help="Delete the folder's data first and start over.")
@click.option("--port-slack", type=click.IntRange(1, 65535), metavar="N", help="Port of the Slack page.")
@click.option(
    "--postgres",
    "postgres_major",
    type=click.IntRange(13, 18),
    metavar="N",
    help="Version of PostgreSQL: 16 and 18 are installed with the sandbox, others by apt.  [default: 18]",
)
@click.option(
    "--mlflow",
    "mlflow_versions",
    multiple=True,
    metavar="X.Y.Z",
    help="Version of MLflow, 2.11.3 or later, each in an environment of its own in your cache. Given again: versions "
    "that it can be updated to.  [default: the one installed here]",
)
@click.option("--without", multiple=True, metavar="PART", help="Leave a part out, to run it yourself. Repeatable.")
@click.option(
    "--point-in-time", is_flag=True, help="Keep the database's WAL, for good in this folder: go back to any second."
)
@click.option(
    "--gitops",
    type=click.Choice(MODES),
    help="Keep MLflow's manifests in a local Git host and undo what is not in it, for good in this folder; and have "
    "the bot warn of changes, refuse them, or propose them as pull requests.",
)
@click.pass_context
def sandbox(  # noqa: PLR0913 - one for each option
    context: click.Context,
    data: Path | None,
    port_slack: int | None,
    postgres_major: int | None,
    without: tuple[str, ...],
    *,
    mlflow_versions: tuple[str, ...],
    fresh: bool,
    point_in_time: bool,
    gitops: str | None,
) -> None:
    """Run Slack, Kubernetes, MLflow, PostgreSQL, S3, Redis and the bot on this machine.

    Nothing leaves it: all addresses are loopback ones. It runs until Ctrl-C; the next start finds its data again.
    """
    context.obj = data
    if context.invoked_subcommand is not None:
        return
    from mlflow_ops_sandbox.running import run

    try:
        run(
            _path(data),
            fresh=fresh,
            slack_port=port_slack,
            without=without,
            postgres_major=postgres_major,
            mlflow_versions=mlflow_versions,
            mode=gitops,
            point_in_time=point_in_time,
        )
    except SandboxError as error:
        raise _Sentence(str(error)) from None


@sandbox.command()
@_DATA
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of export lines.")
@click.pass_obj
def env(group_data: Path | None, data: Path | None, *, as_json: bool) -> None:
    """Print the running sandbox's environment: eval "$(mlflow-ops sandbox env)".

    Without --data, of the only one that runs.
    """
    from mlflow_ops_sandbox.control import environment

    try:
        values = environment(_meant(data or group_data))
    except SandboxError as error:
        raise _Sentence(str(error)) from None
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@sandbox.command()
@_DATA
@click.pass_obj
def stop(group_data: Path | None, data: Path | None) -> None:
    """Stop the sandbox that runs in another terminal, and wait for its end."""
    from mlflow_ops_sandbox.control import stop as end

    try:
        click.echo(end(_path(data or group_data)))
    except SandboxError as error:
        raise _Sentence(str(error)) from None


@sandbox.command()
@_DATA
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.pass_obj
def status(group_data: Path | None, data: Path | None, *, as_json: bool) -> None:
    """Show the running sandbox's parts: state, process, port. Without --data, of the only one that runs."""
    from mlflow_ops_sandbox.control import status as look

    try:
        state = look(_meant(data or group_data))
    except SandboxError as error:
        raise _Sentence(str(error)) from None
    if as_json:
        click.echo(json.dumps(state, indent=2))
        return
    readiness = "ready" if state["ready"] else "not ready yet"
    click.echo(f"Sandbox in {state['data']}, process {state['supervisor']}, {readiness}. Slack: {state['page']}")
    for name, part in state["parts"].items():
        click.echo(
            f"  {name:<13} {part['state']:<10} pid {part['pid']:<8} port {part['port'] or '-':<6} {part['what']}"
        )
