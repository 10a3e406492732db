"""Who has which role now, and whether those behind a command still may: when it is approved, and when it starts.

    groups          hash: user group → its members and when Slack told them, as JSON; written by the bot
    groups:wanted   list: a token while somebody wants them told anew

Workers hold no token of Slack's, so the bot tells them who is in which group, at each last press and whenever a worker
asks. What nobody has told for `OLDEST_SECONDS` gives nobody a right.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers import registry
from workers.errors import OperatorError
from workers.operation import Operation, Risk
from workers.records.keys import PREFIX
from workers.records.requester import BY_ALERT, BY_CLOCK, BY_TERMINAL, is_person
from workers.settings import ROLES, Approval, Ops, RoleName
from workers.wording import count

if TYPE_CHECKING:
    from redis import Redis

    from workers.records.record import Record

Members = Callable[[str], Container[str]]
"""User-group id → the ids of its members; of EVERYBODY, the full members of our workspace."""
EVERYBODY: Final = "*"
"""Among the users of a role: every full member of the workspace, no guests, nobody from outside, no bots."""

NEEDED: Final[Mapping[Risk, RoleName]] = {Risk.READ: "viewer", Risk.CHANGE: "operator", Risk.DESTRUCTIVE: "operator"}
"""Who may ask. What is destructive needs approval besides."""

FRESH_SECONDS: Final = 60.0
OLDEST_SECONDS: Final = 600.0
ANSWER_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.1

_GROUPS: Final = PREFIX + "groups"
_WANTED: Final = _GROUPS + ":wanted"


@dataclass(frozen=True)
class Standing:
    """What has become of the rights of those behind a command.

    requester: why who asked may not ask for it any more; empty if they may. gone: approvers who may not approve now.
    """

    requester: str = ""
    gone: tuple[str, ...] = ()


class Unsure(OperatorError):  # noqa: N818 - its message is a sentence for people
    """Slack was asked who somebody is, and didn't say. why: its name for it."""

    def __init__(self, why: str) -> None:
        scope = " My app lacks the scope users:read." if why == "missing_scope" else ""
        super().__init__(f"I can't tell whether you belong to this workspace: Slack says {why}.{scope}", "Try again.")


def role_of(who: str, ops: Ops, members: Members) -> RoleName | None:
    """The highest role of a person, or of what asks in nobody's name; None for somebody who has none.

    who: a user id, or a requester as records have it. Raises Unsure.
    """
    if who.startswith(BY_CLOCK):
        # What follows the name says that it is late, or tried again.
        entry = ops.clock.get(who.removeprefix(BY_CLOCK).partition(",")[0])
        return entry.role if entry else None
    if who.startswith(BY_ALERT):
        return "viewer"
    if who.startswith(BY_TERMINAL):
        return "admin"  # Whoever holds the workers' credentials may do all that they can.
    for name in reversed(ROLES):
        role = getattr(ops.roles, name)
        if who in role.users or any(who in members(group) for group in role.groups):
            return name
        if EVERYBODY in role.users and who in members(EVERYBODY):
            return name
    return None


def reaches(role: RoleName | None, needed: RoleName) -> bool:
    """Whether a role is the one that is needed, or more."""
    return role is not None and ROLES.index(role) >= ROLES.index(needed)


def needed_to_ask(operation: Operation, ops: Ops, *, break_glass: bool = False) -> RoleName:
    """The role that somebody needs to ask for it."""
    return "admin" if break_glass else operation.needs(ops) or NEEDED[operation.risk]


def told(operation: str, ops: Ops) -> Approval | None:
    """What `approvals:` says of an operation by its name, else by its chapter's (restore, of restore-database)."""
    if operation in ops.approvals:
        return ops.approvals[operation]
    chapter = operation.partition("-")[0]
    return ops.approvals[chapter] if chapter in ops.approvals and chapter not in registry.operations() else None


def needed_to_approve(operation: str, ops: Ops) -> RoleName:
    """The role that an approver needs."""
    return (told(operation, ops) or Approval()).role


def standing(record: Record, ops: Ops, members: Members) -> Standing:
    """Who of those behind a command may not any more. Raises OperatorError where its arguments are wrong."""
    operation = registry.build(record.operation, record.arguments)
    asks = needed_to_ask(operation, ops, break_glass=bool(record.break_glass))
    why = ""
    if is_person(record.requester) and not reaches(role_of(record.requester, ops, members), asks):
        why = f"the person who asked no longer has the {asks} role, which this needs."
    approves = needed_to_approve(record.operation, ops)
    gone = (each for each in record.decided_by if not reaches(role_of(each, ops, members), approves))
    return Standing(why, tuple(gone))


def require_at_start(record: Record, ops: Ops, redis: Redis) -> None:
    """Raises OperatorError where who asked, or an approver, may not any more, or where that can't be told.

    What nobody had to approve, and was asked for just now, was allowed just now.
    """
    now = time.time()
    approved = bool(record.approvals or record.decided_by)
    if not approved and now - record.accepted_at < FRESH_SECONDS:
        return
    if not is_person(record.requester) and not record.decided_by:
        return
    found = standing(record, ops, _by_name)
    if found == Standing():
        # By their own names in ops.yaml: no group gives them the right.
        return
    groups = _members(ops, redis, newer_than=max(now - FRESH_SECONDS, record.decided_at or 0.0))
    if groups is None:
        raise OperatorError(
            "Nothing was done: Slack didn't say who may still ask for this and approve it.", "Ask again in a while."
        )
    found = standing(record, ops, lambda group: _Anybody() if group == EVERYBODY else groups.get(group, frozenset()))
    if found.requester:
        raise OperatorError(f"Nothing was done: {found.requester}", "Someone with the role can ask for it again.")
    if found.gone:
        raise OperatorError(
            f"Nothing was done: {count(len(found.gone), 'person')} who approved it may not approve it any more.",
            "Ask again for another approval.",
        )


def tell(redis: Redis, groups: Mapping[str, Iterable[str]]) -> None:
    """Keep who is in which group, as Slack has just told."""
    now = time.time()
    if groups:
        kept: dict[Any, Any] = {group: json.dumps([now, sorted(members)]) for group, members in groups.items()}
        redis.hset(_GROUPS, mapping=kept)


def wait_until_wanted(redis: Redis, seconds: float) -> bool:
    """Return after so long, or as soon as somebody wants the groups told anew; whether that is so."""
    wanted = redis.blpop([_WANTED], timeout=max(0.01, seconds))
    redis.delete(_WANTED)
    return wanted is not None


def _members(ops: Ops, redis: Redis, *, newer_than: float) -> dict[str, frozenset[str]] | None:
    """Those of all groups that ops.yaml names; None where nobody has told them for too long."""
    names = sorted({group for role in ROLES for group in getattr(ops.roles, role).groups})
    if not names:
        return {}
    until = time.monotonic() + ANSWER_SECONDS
    oldest, groups = _kept(redis, names)
    if oldest < newer_than:
        redis.lpush(_WANTED, "1")
        redis.expire(_WANTED, int(FRESH_SECONDS))
    while oldest < newer_than and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        oldest, groups = _kept(redis, names)
    return groups if time.time() - oldest <= OLDEST_SECONDS else None


def _kept(redis: Redis, names: list[str]) -> tuple[float, dict[str, frozenset[str]]]:
    raw: Any = redis.hmget(_GROUPS, names)
    found = {name: json.loads(each) for name, each in zip(names, raw, strict=True) if each}
    oldest = min((float(at) for at, _ in found.values()), default=0.0) if len(found) == len(names) else 0.0
    return oldest, {name: frozenset(members) for name, (_, members) in found.items()}


class _Anybody(Container[str]):
    """Whoever could ask is a full member: the bot has asked Slack, and this gives a viewer's right only."""

    def __contains__(self, _user: object) -> bool:
        return True


def _by_name(group: str) -> Container[str]:
    return _Anybody() if group == EVERYBODY else frozenset[str]()
