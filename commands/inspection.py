"""Useful commands: looking at the cluster, and what is to be typed in a shell instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import click

from commands.grammar import NameOf, OneOf, command
from commands.since import Since
from workers.operations.choices import ManifestKind

if TYPE_CHECKING:
    from workers.operation import Operation

_POD = click.option(
    "--pod", type=NameOf("pod"), default="", metavar="NAME", help="The name, or a part of it that only one pod has."
)


@command("status", examples=("status",))
def status() -> Operation:
    """Show every object of MLflow's in the cluster, as kubectl get all does."""
    from workers.operations.inspection.status import ClusterStatus

    return ClusterStatus()


@command("describe", examples=("describe pod", "describe pod x7k2p", "describe deployment"))
@click.argument("kind", type=OneOf(["pod", "deployment"]), metavar="pod|deployment")
@click.argument("name", type=NameOf("pod"), default="", metavar="[NAME]")
def describe(kind: str, name: str) -> Operation:
    """Describe a pod, or the Deployment: state, containers, conditions, events, and why it died. A part of a name is
    enough; without one it's MLflow's only pod, or the worst of them.
    """
    from workers.operations.inspection.describe import Describe

    return Describe.model_validate({"kind": kind, "called": name.strip()})


@command("manifest", examples=("manifest deployment", "manifest service mlflow --as file", "manifest secret"))
@click.argument("what", type=OneOf(list(get_args(ManifestKind))), metavar="|".join(get_args(ManifestKind)))
@click.argument("name", type=NameOf("pod"), default="", metavar="[NAME]")
@click.option("--as", "shown_as", type=OneOf(["text", "file"]), default="text", help="A long one is a file anyway.")
def manifest(what: ManifestKind, name: str, shown_as: str) -> Operation:
    """Show an object as YAML, its secrets masked. By default the one that ops.yaml names."""
    if what == "pod" and not name.strip():
        raise click.UsageError("Which pod? Its name, or a part of it, is needed; status lists them.")

    from workers.operations.inspection.manifest import Manifest

    return Manifest(what=what, called=name.strip(), as_file=shown_as == "file")


@command("events", examples=("events", "events --warnings --since 30m", "events --about x7k2p"))
@click.option("--about", default="", metavar="NAME", help="A part of the object's name.")
@click.option("--warnings", is_flag=True, help="These only.")
@click.option("--since", type=Since(), default=None, metavar="TIME", help="30m, 6h, yesterday, 2026-11-23T15:00 (UTC).")
def events(about: str, since: float | None, *, warnings: bool) -> Operation:
    """List what Kubernetes says has happened in the namespace: MLflow's first, the newest on top."""
    from workers.operations.inspection.events import Events

    return Events(about=about.strip(), warnings=warnings, since_seconds=since)


@command("top", examples=("top", "top --pod x7k2p"))
@_POD
def top(pod: str) -> Operation:
    """Show what the pods use of CPU and memory, and what they may use."""
    from workers.operations.inspection.top import Top

    return Top(pod=pod)


@command("howto", examples=("howto port-forward", "howto shell --pod x7k2p"))
@click.argument("what", type=OneOf(["port-forward", "shell"]), metavar="port-forward|shell")
@_POD
@click.option("--container", default="", metavar="NAME", help="By default MLflow's.")
def howto(what: str, pod: str, container: str) -> Operation:
    """Print the exact line for what needs a shell of your own, with the names and ports of this cluster."""
    from workers.operations.inspection.howto import HowTo

    return HowTo.model_validate({"what": what, "pod": pod, "container": container})
