"""Hello from MLflow, and an experiment to play with."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.report import Report, Status
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems import Systems


class Hello(Operation):
    """Say how many experiments there are."""

    name: ClassVar[str] = "hello"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask MLflow."""
        progress.step("Asking MLflow")
        known = count(len(systems.tracking.search_experiments()), "experiment")
        return Report(title="Hello", status=Status.OK, summary=f"Hello! MLflow has {known}.")


class HelloPlay(Operation):
    """Make an experiment to play with."""

    name: ClassVar[str] = "hello-play"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("experiments",)

    who: str = Field(pattern=r"^[a-z]{1,20}$")

    @property
    def experiment(self) -> str:
        """What it is called."""
        return f"playground-{self.who}"

    def plan(self, systems: Systems) -> Plan:
        """Raises AlreadySo if it is there."""
        if self.experiment in {str(each["name"]) for each in systems.tracking.search_experiments()}:
            raise AlreadySo(f"The experiment {self.experiment} is already there.")
        return Plan(
            title="Make a playground",
            summary=self.experiment,
            steps=(f"Create the experiment {self.experiment}",),
            changes=(Change(what=f"experiment {self.experiment}", before="does not exist", after="active"),),
            undo=f"/mlflow experiments delete {self.experiment}",
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Make it."""
        progress.step(f"Creating {self.experiment}")
        systems.tracking.call("experiments/create", {"name": self.experiment})
        return Report(
            title="Make a playground",
            status=Status.OK,
            summary=f"{self.experiment} is there.",
            undo=f"experiments delete {self.experiment}",
        )
