"""What was changed shortly before something broke: commands, revisions, the ConfigMap and the Secret.

Each source knows a part: the audit record what was asked for here, the ReplicaSets what was rolled out by whomever, the
managed fields who has written the ConfigMap or the Secret last. Of a Secret nothing but that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.records import audit_log
from workers.report import Facts, Section, Text
from workers.settings import SettingsError
from workers.systems.cluster.fields import Fields
from workers.wording import ago, duration, listed

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems.cluster.client import Cluster

Json = dict[str, Any]

BEFORE: Final = timedelta(hours=2)
_ASKED_EARLIER: Final = timedelta(hours=24)
"""How long a command may have waited for its approval."""
_REDIS_SECONDS: Final = 0.5
_MOST: Final = 8
_CHARACTERS: Final = 120
_TITLE: Final = "Changed shortly before"
_REVISION: Final = "deployment.kubernetes.io/revision"
_CONTROLLERS: Final = "kube-controller-manager"
_RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"


@dataclass(frozen=True)
class Change:
    """Something that was changed. what: in a few words. by: who did, as in a record or in managed fields."""

    at: datetime
    what: str
    by: str = ""


@dataclass(frozen=True)
class Changes:
    """Those within `BEFORE`, the newest first. missed: what could not be asked."""

    until: datetime
    found: tuple[Change, ...]
    missed: tuple[str, ...] = ()


def begin(
    cluster: Cluster,
    settings: Settings,
    until: datetime | None,
    owner: str,
    start: Callable[[Callable[[], Any]], Callable[[], Any]],
) -> Callable[[], Changes | None]:
    """Begin to ask; the result has the changes before `until`, None if that is not known. owner: a ReplicaSet's uid."""
    if until is None:
        return lambda: None
    names = settings.ops.kubernetes
    asked = {
        "the audit record": start(lambda: list(_commands(settings, until))),
        "the revisions": start(lambda: list(_revisions(cluster.replica_sets(names.selector), names.deployment, owner))),
        f"Deployment {names.deployment}": start(
            lambda: list(_written("Deployment", cluster.deployment(names.deployment)))
        ),
        f"ConfigMap {names.configmap}": start(lambda: list(_written("ConfigMap", cluster.configmap(names.configmap)))),
        f"Secret {names.secret}": start(lambda: list(_written("Secret", cluster.secret(names.secret)))),
    }

    def gather() -> Changes:
        found: list[Change] = []
        missed: list[str] = []
        for what, later in asked.items():
            try:
                found += later()
            except (OperatorError, SettingsError, TimeoutError):
                missed.append(what)
        within = [each for each in found if until - BEFORE <= each.at <= until]
        newest = sorted(within, key=lambda each: each.at, reverse=True)
        return Changes(until, tuple(newest[:_MOST]), tuple(missed))

    return gather


def section(changes: Changes, now: datetime) -> Section:
    """What was found, or that nothing was."""
    missed = listed(changes.missed, most=5)
    if not changes.found:
        before = f"Nothing known was changed in the {duration(BEFORE.total_seconds())} before it."
        return Text(title=_TITLE, text=f"{before} Could not be asked: {missed}." if missed else before)
    items = [
        (ago((now - each.at).total_seconds()), f"{each.what}{f', by {each.by}' if each.by else ''}")
        for each in changes.found
    ]
    return Facts(title=_TITLE, items=(*items, *((("could not be asked", missed),) if missed else ())))


def _commands(settings: Settings, until: datetime) -> Iterator[Change]:
    """Commands that changed something, when they began. Raises GatewayError and SettingsError."""
    # Health is light to import: client libraries are loaded when a system is first asked.
    from workers.systems.redis import connect, translated

    with connect(settings, answer_within_seconds=_REDIS_SECONDS) as redis, translated(redis):
        asked: dict[str, Json] = {}
        oldest = int((until - BEFORE - _ASKED_EARLIER).timestamp() * 1000)
        for entry in audit_log.entries(redis, after=f"{oldest}-0"):
            event = entry.event
            moment = str(event.get("what", ""))
            told = asked.setdefault(str(event.get("id", "")), {})
            told |= {key: event[key] for key in ("words", "requester") if event.get(key)}
            # Only what changes something is planned, and has a digest of its plan.
            told["changes"] = told.get("changes") or moment == "planning" or bool(event.get("digest"))
            if moment == "started":
                told["at"] = int(entry.id.partition("-")[0]) / 1000
            elif moment in {"done", "failed", "cancelled"}:
                told["end"] = moment
    for told in asked.values():
        if told.get("changes") and told.get("words") and "at" in told:
            what = f"/mlflow {told['words']}"[:_CHARACTERS]
            at = datetime.fromtimestamp(told["at"], UTC)
            yield Change(at, f"{what}: {told.get('end', 'running')}", str(told.get("requester", "")))


def _revisions(sets: Sequence[Json], deployment: str, owner: str) -> Iterator[Change]:
    """The revisions of the Deployment that the pod's ReplicaSet belongs to, and what each changed. owner: its uid."""
    mine = next((each for each in sets if each["metadata"].get("uid") == owner), None)
    deployments = _owners(mine) if mine else set()
    ours = [each for each in sets if _owners(each) & deployments]
    ordered = sorted(ours, key=_number)
    for before, each in pairwise(ordered):
        made = Fields(each, "ReplicaSet").moment("metadata", "creationTimestamp")
        if made is not None:
            changed = _differences(before["spec"]["template"], each["spec"]["template"])
            yield Change(made, f"revision {_number(each)} of {deployment}: {changed}"[: 2 * _CHARACTERS])


def _owners(item: Json) -> set[str]:
    return {str(each.get("uid")) for each in item["metadata"].get("ownerReferences") or ()}


def _number(replica_set: Json) -> int:
    number = str((replica_set["metadata"].get("annotations") or {}).get(_REVISION, ""))
    return int(number) if number.isdecimal() else 0


def _differences(before: Json, after: Json) -> str:
    """What is another in a pod template, in a person's words: images and limits with their values, the rest by name."""
    old = {each["name"]: each for each in (before.get("spec") or {}).get("containers") or ()}
    said: list[str] = []
    for each in (after.get("spec") or {}).get("containers") or ():
        name, was = each["name"], old.get(each["name"])
        if was is None:
            said.append(f"container {name} added")
            continue
        if was.get("image") != each.get("image"):
            said.append(f"image {was.get('image')} → {each.get('image')}")
        said += _resources(was.get("resources") or {}, each.get("resources") or {})
        rest = sorted(key for key in {*was, *each} if was.get(key) != each.get(key))
        said += [f"{key} of {name}" for key in rest if key not in {"image", "resources"}]
    kept = {each["name"] for each in (after.get("spec") or {}).get("containers") or ()}
    said += [f"container {name} removed" for name in old if name not in kept]
    of_pod = sorted({*(before.get("spec") or {}), *(after.get("spec") or {})} - {"containers"})
    said += [key for key in of_pod if (before.get("spec") or {}).get(key) != (after.get("spec") or {}).get(key)]
    said += _annotations(before, after)
    return ", ".join(said) or "nothing but labels"


def _resources(before: Json, after: Json) -> Iterator[str]:
    for kind in ("requests", "limits"):
        old, new = before.get(kind) or {}, after.get(kind) or {}
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                yield f"{key} {kind[:-1]} {old.get(key, 'none')} → {new.get(key, 'none')}"


def _annotations(before: Json, after: Json) -> Iterator[str]:
    old, new = ((each.get("metadata") or {}).get("annotations") or {} for each in (before, after))
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield "a restart" if key == _RESTARTED else f"annotation {key}"


def _written(kind: str, item: Json) -> Iterator[Change]:
    """Who has written an object, and when, by its managed fields; each manager's last time."""
    fields = Fields(item, kind)
    name = fields.text("metadata", "name")
    for each in fields.each("metadata", "managedFields"):
        at, manager = each.moment("time"), each.text("manager")
        # What a controller writes follows from what somebody else has written.
        if at is not None and each.text("subresource") != "status" and manager != _CONTROLLERS:
            yield Change(at, f"{kind} {name} was written", manager)
