"""Which groups there are, by what the server was told of its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlflow_ops_sandbox import control
from mlflow_ops_sandbox.slack.panel.cluster import Cluster
from mlflow_ops_sandbox.slack.panel.damage import Damage
from mlflow_ops_sandbox.slack.panel.processes import Processes
from mlflow_ops_sandbox.slack.panel.trouble import Trouble

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow_ops_sandbox.slack.panel.thing import Group
    from mlflow_ops_sandbox.slack.state.installation import Installation

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The sandbox around this Slack: the cluster's control address, and the folder that names its processes."""

    control: str | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        """Refuse an address that is not on this machine."""
        if self.control is None:
            return
        place = urlsplit(self.control)
        if place.scheme != "http" or place.hostname not in LOOPBACK:
            raise ValueError(f"{self.control}: the control address must be http on the loopback")


def groups(slack: Installation, surroundings: Surroundings) -> list[Group]:
    """Return the groups, in the order in which the page shows them."""
    found: list[Group] = []
    if surroundings.control:
        found.append(Cluster(surroundings.control))
    if surroundings.folder:
        found += [Processes(surroundings.folder), Damage(partial(control.environment, surroundings.folder))]
    return [*found, Trouble(slack)]
