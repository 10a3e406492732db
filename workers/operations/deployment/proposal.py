"""A change that is proposed in Git instead of made in the cluster: one field of one file, planned like any other.

The plan shows the difference, and rests on the file's version and on the values: what is approved is what is proposed.
Carrying it out and following it is the business of workers.operations.proposals, found by name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from workers.errors import AlreadySo, OperatorError
from workers.operation import Call, Plan
from workers.operations.deployment.manifest_edit import Place, edited, value_at
from workers.redaction import without_secrets
from workers.report import Data, Text
from workers.settings.gitops import GitField, GitImage
from workers.systems.cluster.quantities import quantity
from workers.systems.errors import Nonsense

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.operations.deployment.ownership import Owner
    from workers.settings import Settings
    from workers.systems import Systems

PROPOSE: Final = "propose"
FOLLOWING: Final = "Follow it"
WATCHING: Final = "Watch the pods"
"""The operation that carries it out."""


class Value(Data):
    """One value below the field, by its keys. wanted: as the file shall have it; live: as the object shall have it.

    before: as the object had it when it was planned; None if not at all.
    """

    keys: tuple[str, ...] = ()
    wanted: str | int
    live: str | int
    before: str | int | None


class Proposal(Data):
    """What is to be changed in Git, and what the cluster shows once it has it.

    field: replicas, image, resources or config. owner: who applies it. kind, name: of the object. title: of the
    request, and told: its changes in lines, for its text. version: the file's when it was planned.
    """

    field: str
    owner: str
    kind: str
    name: str
    file: str
    path: str
    values: tuple[Value, ...]
    title: str = ""
    told: tuple[str, ...] = ()
    version: str = ""

    @property
    def place(self) -> Place:
        """The field in its file."""
        return Place(self.file, self.kind, self.name, self.path)

    def edited(self, text: str) -> str:
        """The file as it is proposed. Raises OperatorError."""
        return edited(text, self.place, {each.keys: each.wanted for each in self.values})

    def in_file(self, text: str) -> dict[tuple[str, ...], Any]:
        """What the file holds of the values; None where it holds nothing. Raises OperatorError."""
        held = value_at(text, self.place)
        return {each.keys: _below(held, each.keys) for each in self.values}

    def differing(self, text: str) -> tuple[Value, ...]:
        """The values that the file does not have as they are wanted. Raises OperatorError."""
        held = self.in_file(text)
        return tuple(each for each in self.values if not self.same(held[each.keys], each.wanted))

    def same(self, one: object, other: object) -> bool:
        """Whether two values mean the same to Kubernetes: 1 and "1"; of resources, also 1Gi and 1024Mi."""
        if one is None or other is None:
            return False
        return str(one) == str(other) or (self.field == "resources" and _same_amount(str(one), str(other)))


def replicas(settings: Settings, whose: Owner, before: int, number: int) -> Proposal:
    """Another number of replicas. Raises OperatorError if ops.yaml does not say where it is; so do those below."""
    where = _where(settings, "replicas", settings.ops.gitops.fields.replicas)
    return _of(settings, whose, "replicas", where, (Value(wanted=number, live=number, before=before),))


def image(settings: Settings, whose: Owner, before: str, name: str) -> Proposal:
    """Another image."""
    where = _where(settings, "image", settings.ops.gitops.fields.image)
    wanted = name
    if isinstance(where, GitImage) and where.holds == "tag":
        same_name, _, wanted = name.rpartition(":")
        if "@" in name or same_name != before.partition("@")[0].rpartition(":")[0]:
            message = f"{where.file} holds the image's tag only, and {name} is more than another tag of {before}."
            raise OperatorError(message, "Ask for a tag, or make the change in Git.")
    return _of(settings, whose, "image", where, (Value(wanted=wanted, live=name, before=before),))


def resources(
    settings: Settings, whose: Owner, before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> Proposal:
    """Other requests and limits of MLflow's container: those that differ."""
    where = _where(settings, "resources", settings.ops.gitops.fields.resources)
    values = tuple(
        Value(keys=(kind, each), wanted=value, live=value, before=before.get(kind, {}).get(each))
        for kind, given in after.items()
        for each, value in given.items()
        if before.get(kind, {}).get(each) is None or not _same_amount(before[kind][each], value)
    )
    return _of(settings, whose, "resources", where, values)


def config(settings: Settings, whose: Owner, before: Mapping[str, str | None], after: Mapping[str, str]) -> Proposal:
    """Other values of the ConfigMap's keys. One of before that has a secret's shape is not kept."""
    where = _where(settings, "config", settings.ops.gitops.fields.config)
    known = {key: value for key, value in before.items() if value and without_secrets(value) == value}
    values = tuple(Value(keys=(key,), wanted=value, live=value, before=known.get(key)) for key, value in after.items())
    return _of(settings, whose, "config", where, values)


def proposed(systems: Systems, plan: Plan, what: Proposal) -> Plan:
    """The plan of proposing what another plan would do. Raises OperatorError; AlreadySo if Git says that already."""
    gitops, git = systems.settings.ops.gitops, systems.git
    found = git.read(what.file)
    if not what.differing(found.text):
        settled = all(what.same(each.before, each.live) for each in what.values)
        so = "and so does the cluster" if settled else f"and {what.owner} has not applied it yet"
        hint = "Nothing to do." if settled else f"Look at {what.owner}: it may be suspended, or fail."
        raise AlreadySo(f"{what.file} on {gitops.branch} says that already, {so}.", hint)
    after = what.edited(found.text)
    changes = tuple(each for each in plan.changes if each.before != each.after)
    # No warning: what the nodes have room for may be another at the next look, and would be another proposal.
    told = tuple(f"{each.what}: {each.before} → {each.after}" for each in changes)
    what = what.model_copy(
        update={"version": found.version, "title": f"{plan.title}: {plan.summary}", "told": told},
    )
    return plan.model_copy(
        update={
            "title": f"{plan.title}, proposed in Git",
            "steps": (
                f"Open a {git.called} in {gitops.repository}: {what.path} in {what.file}",
                f"{FOLLOWING} until {what.owner} has applied it or it is closed, for {gitops.follow_hours:g} h at most",
                WATCHING,
            ),
            "changes": changes,
            "warnings": (*plan.warnings, *_apart(what, found.text, gitops.branch)),
            "undo": f"close the {git.called}; once it is merged, revert it",
            "estimate_seconds": None,
            "sections": (*plan.sections, Text(title="In Git", text=_diff(what.file, found.text, after), literal=True)),
            "facts": {**plan.facts, "branch": f"{gitops.repository} {gitops.branch}", what.file: found.version},
            "instead": Call(operation=PROPOSE, arguments={"proposal": what.model_dump(mode="json")}),
        }
    )


def _same_amount(one: str, other: str) -> bool:
    try:
        return quantity(one) == quantity(other)
    except Nonsense:
        return False


def _apart(what: Proposal, text: str, branch: str) -> Iterator[str]:
    """Where Git and the cluster differ before anything is changed: merging applies what Git says."""
    for keys, held in what.in_file(text).items():
        value = next(each for each in what.values if each.keys == keys)
        known = value.before if value.wanted == value.live else None
        if held is not None and known is not None and not what.same(held, known):
            yield f"{'.'.join((what.path, *keys))} is {held} on {branch}, but {known} in the cluster."


def _diff(file: str, before: str, after: str) -> str:
    return "\n".join(
        difflib.unified_diff(before.splitlines(), after.splitlines(), f"a/{file}", f"b/{file}", lineterm="", n=0)
    )


def _where(settings: Settings, name: str, where: GitField | None) -> GitField:
    if where is None:
        raise OperatorError(
            f"ops.yaml does not say where {name} stands in {settings.ops.gitops.repository}, so it can't be proposed.",
            f"Set gitops.fields.{name} in ops.yaml, or make the change in Git.",
        )
    return where


def _of(settings: Settings, whose: Owner, field: str, where: GitField, values: tuple[Value, ...]) -> Proposal:
    names = settings.ops.kubernetes
    kind, name = ("ConfigMap", names.configmap) if field == "config" else ("Deployment", names.deployment)
    return Proposal(
        field=field, owner=whose.name, kind=kind, name=name, file=where.file, path=where.path, values=values
    )


def _below(held: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        held = held.get(key) if isinstance(held, dict) else None
    return held
