"""What cannot be done in Slack: the exact lines for a shell, with the names and ports that this cluster has now."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.backup.wal.archive import moment_of
from workers.operations.inspection.finding import Container, chosen, name_of
from workers.operations.kubectl import by_hand, kubectl
from workers.operations.peek import peek
from workers.report import Report, Section, Status, Text
from workers.systems.cluster.fields import Fields

if TYPE_CHECKING:
    from workers.systems import Systems

FREE_PORTS = 1024
"""Below these a program needs more rights."""


class HowTo(Operation):
    """Print the line for what needs a shell of one's own."""

    name: ClassVar[str] = "howto"
    risk: ClassVar[Risk] = Risk.READ

    what: Literal["port-forward", "shell"]
    pod: str = ""
    container: str = ""

    @property
    def title(self) -> str:
        """The report's headline."""
        return f"How to: {self.what}"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Look at the cluster. Raises OperatorError where there is no such Service, or no container that runs."""
        progress.step("Reading names and ports")
        return self._port_forward(systems) if self.what == "port-forward" else self._shell(systems)

    def _port_forward(self, systems: Systems) -> Report:
        settings = systems.settings
        wanted = settings.ops.kubernetes.service
        found = next((each for each in systems.cluster.services() if name_of(each) == wanted), None)
        if found is None:
            message = f"There is no Service {wanted} in {settings.ops.kubernetes.namespace}."
            raise OperatorError(message, "Set kubernetes.service in ops.yaml.")
        ports = [each.number("port") for each in Fields(found, f"Service {wanted}").each("spec", "ports")]
        if not ports:
            raise OperatorError(f"Service {wanted} has no port.", f"See /mlflow manifest service {wanted}.")
        lines, addresses = [], []
        for port in ports:
            local = port if port >= FREE_PORTS else port + 8000
            lines.append(kubectl(settings, "port-forward", f"svc/{wanted}", f"{local}:{port}"))
            addresses.append(f"http://127.0.0.1:{local}")
        past = peek.open_now(systems)
        if past is not None:
            lines.append(peek.forward(settings, past))
            addresses.append(f"{peek.local(settings)} (MLflow as it was at {moment_of(past.at)})")
        sections: tuple[Section, ...] = (
            by_hand(*lines),
            Text(
                text=f"Then open {' or '.join(addresses)}; Ctrl-C ends it. It goes to one pod and ends with that pod."
            ),
        )
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"Service {wanted} listens on {', '.join(map(str, ports))}: {lines[0]}",
            sections=sections,
            hints=("status", "howto shell"),
        )

    def _shell(self, systems: Systems) -> Report:
        settings = systems.settings
        there = chosen(systems, self.pod, self.container)
        usual = settings.ops.kubernetes.container
        running = sorted((each for each in there if each.running), key=lambda each: each.name != usual)
        if not running:
            names = ", ".join(str(each) for each in there)
            raise OperatorError(f"None of them is running: {names}.", "See /mlflow status.")
        first: Container = running[0]
        line = kubectl(settings, "exec", "-it", first.pod, "-c", first.name, "--", "sh")
        sections: tuple[Section, ...] = (
            by_hand(line),
            Text(text="Type exit to leave. What is changed in a container is gone when it restarts."),
        )
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"{first.pod} is running: {line}",
            sections=sections,
            hints=(f"logs --pod {first.pod}", f"describe pod {first.pod}"),
        )
