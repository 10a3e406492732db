"""What the model's commands change: a value with a version, which may be closed to people; and what must never be."""

from typing import ClassVar

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Risk
from workers.report import Report, Status
from workers.systems import fencing
from workers.systems.errors import Unreachable


class World:
    """A value that counts its changes. away: it does not answer; nothing in it changes by that. slow: how often whoever
    has closed it, or opens it again, stops in between.
    """

    slow = 1

    def __init__(self, model):
        self.model, self.problems = model, []
        self.value = self.version = 0
        self.closed = self.away = False
        self.closed_by = 0
        self.effects, self._written = {}, []

    def look(self):
        """Raises Unreachable."""
        self.model.current.stops_here()
        if self.away:
            raise Unreachable("The world doesn't answer.")

    def takes_its_time(self):
        for _ in range(self.slow):
            self.model.current.stops_here()

    def changes(self, run, by):
        """Between two changes of one run nobody else changes anything."""
        earlier = [place for place, (each, _) in enumerate(self._written) if each is run]
        if earlier and any(each is not run for each, _ in self._written[earlier[-1] :]):
            self.problems.append(f"{by} went on after somebody else had changed the world")
        self._written.append((run, by))

    def write(self, run, to, version):
        """The world's own precondition: the version."""
        if version != self.version:
            raise OperatorError("Nothing was done: someone else changed it at the same moment.", "Ask again.")
        self.changes(run, to)
        self.value, self.version = to, self.version + 1
        self.effects[to] = self.effects.get(to, 0) + 1
        if self.effects[to] > 1:
            self.problems.append(f"{to} was done {self.effects[to]} times")


class ModelRead(Operation):
    """Looks."""

    name: ClassVar[str] = "model-read"
    risk: ClassVar[Risk] = Risk.READ
    to: int = 0

    def run(self, systems, progress):
        progress.step("Looking")
        systems.world.look()
        return Report(title="Read", status=Status.OK, summary=f"It is {systems.world.value}.")


class ModelChange(Operation):
    """Sets the value, in one change."""

    name: ClassVar[str] = "model-change"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("deployment",)
    to: int

    def plan(self, systems):
        systems.world.look()
        before, version = systems.world.value, systems.world.version
        if before == self.to:
            raise AlreadySo(f"It is {before} already.", "Nothing to do.")
        changes = (Change(what="value", before=str(before), after=str(self.to)),)
        return Plan(title="Change", summary=f"to {self.to}", steps=("Set it",), changes=changes, facts={"v": version})

    def run(self, systems, progress):
        run, world = object(), systems.world
        progress.step("Changing")
        world.look()
        version = world.version
        fencing.before_changing()
        world.write(run, self.to, version)
        progress.step("Watching")
        world.look()
        progress.checkpoint()
        return Report(title="Change", status=Status.OK, summary=f"It is {self.to} now.")


class ModelSwitch(ModelChange):
    """Closes the world, sets the value, and opens it: what dies in between leaves it closed."""

    name: ClassVar[str] = "model-switch"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "deployment")

    def run(self, systems, progress):
        run, world = object(), systems.world
        progress.step("Switching")
        world.look()
        version = world.version
        fencing.before_changing()
        world.changes(run, self.to)
        world.closed, world.closed_by = True, self.to
        progress.step("Closed")
        world.takes_its_time()
        fencing.before_changing()
        world.write(run, self.to, version)
        fencing.before_changing()
        world.changes(run, self.to)
        world.closed = False
        progress.step("Asking")
        return Report(title="Switch", status=Status.OK, summary=f"It is {self.to} now.")

    def aftermath(self, systems, planned):
        world = systems.world
        world.takes_its_time()
        said = "It had been closed, and is open again. " if world.closed else ""
        fencing.before_changing()
        if world.closed:
            world.changes(object(), self.to)
            world.closed = False
        return said + super().aftermath(systems, planned)
