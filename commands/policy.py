"""Who may do what, where: roles from ops.yaml, deny by default, and every refusal says who may.

`role_of` is the one place that says who somebody is, whichever way they came: a command, a button, a modal, the App
Home; and who stands behind what no person asks for: the schedule, an alert, someone in a terminal.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from workers import registry
from workers.engine.rights import EVERYBODY, NEEDED, Members, Unsure, needed_to_approve, needed_to_ask, role_of, told
from workers.operation import Caller, Operation, Risk
from workers.operations.commands import maintenance
from workers.operations.history import metrics
from workers.records.record import Record, new_id
from workers.settings import DEFAULT_ENTRIES, PER_PERSON, ROLES, Approval, Ops, RoleName, SettingsError
from workers.wording import nearest

__all__ = ["EVERYBODY", "NEEDED", "Members", "Unsure", "role_of"]


@dataclass(frozen=True)
class Refusal:
    """Why not, as one or two sentences for the person who asked."""

    sentence: str


def refusal_here(user: str, channel: str, ops: Ops, members: Members) -> Refusal | None:
    """Whether this person may use /mlflow in this channel at all; None where they may."""
    if channel not in ops.channels:
        if not ops.channels:
            return Refusal("/mlflow is not allowed in any channel yet: list channel ids under `channels` in ops.yaml.")
        allowed = ", ".join(f"<#{each}>" for each in ops.channels)
        return Refusal(f"/mlflow is not allowed in this channel; use it in {allowed}.")
    try:
        known = role_of(user, ops, members) is not None
    except Unsure as error:
        return Refusal(str(error))
    if not known:
        admins = _names("admin", ops) or "the people who keep ops.yaml"
        return Refusal(
            f"You have no role in ops.yaml, so /mlflow does nothing for you. Who can read: "
            f"{who_may('viewer', ops)}. Ask {admins} to add your user id {user}."
        )
    return None


def refusal(  # noqa: PLR0913 - who, where, what, and by which rules
    user: str, channel: str, operation: Operation, ops: Ops, members: Members, *, break_glass: bool = False
) -> Refusal | None:
    """Whether this person may do this, here, and without approval; None where they may."""
    here = refusal_here(user, channel, ops, members)
    if here is not None:
        return here
    lacking = lacks(user, operation, ops, members, break_glass=break_glass)
    if lacking is not None:
        return lacking
    if getattr(operation, "unsigned", False) and not break_glass:
        return Refusal(
            f"You need the admin role and --break-glass REASON for --unsigned. Who has it: {who_may('admin', ops)}."
        )
    if not break_glass and _outside(operation, ops):
        return Refusal(f"{operation.title} is allowed within the maintenance windows of ops.yaml only.")
    only = approval(operation, ops).channel
    if only is not None and channel != only:
        return Refusal(f"{operation.title} may be asked for in <#{only}> only.")
    return None


def lacks(who: str, operation: Operation, ops: Ops, members: Members, *, break_glass: bool = False) -> Refusal | None:
    """Whether somebody, or what asks in nobody's name, lacks the role that this needs; None where they have it."""
    role = role_of(who, ops, members)
    needed = needed_to_ask(operation, ops, break_glass=break_glass)
    if role is not None and ROLES.index(role) >= ROLES.index(needed):
        return None
    what = "--break-glass" if break_glass else operation.title
    yours = f"You're {'a' if role == 'viewer' else 'an'} {role}" if role else "You have no role"
    return Refusal(f"You need the {needed} role for {what}. {yours}. Who has it: {who_may(needed, ops)}.")


def approval(operation: Operation, ops: Ops, now: datetime | None = None) -> Approval:
    """Whose approval it needs: as ops.yaml says, else one approver where the operation is gated; within a maintenance
    window, no more than it says for these. What is urgent needs nobody's.
    """
    if operation.urgent:
        return Approval(approvers=0)
    gated = operation.risk is not Risk.READ and operation.gated(ops)
    said = told(operation.name, ops) if operation.risk is not Risk.READ else ops.approvals.get(operation.name)
    needed = said or Approval(approvers=operation.approvers if gated else 0)
    inside = ops.maintenance.approvers_inside
    if inside is None or inside >= needed.approvers or not maintenance.window(ops, now or datetime.now(UTC)):
        return needed
    return needed.model_copy(update={"approvers": inside})


def check(ops: Ops) -> None:
    """Raises SettingsError where ops.yaml names an operation, an entry, a figure or a channel that there is not."""
    known = registry.operations()
    gateable = {name: kind for name, kind in known.items() if kind.risk is not Risk.READ}
    chapters = {name.partition("-")[0] for name in gateable if "-" in name} - set(known)
    for name, approval_ in ops.approvals.items():
        if name not in known and name not in chapters:
            raise SettingsError(f"approvals.{name} is no operation; {_meant(name, [*gateable, *chapters])}")
        if approval_.channel is not None and approval_.channel not in ops.channels:
            right = f"Add it, or give one of {', '.join(ops.channels)}." if ops.channels else "Add it."
            raise SettingsError(
                f"approvals.{name}.channel is wrong: {approval_.channel} is not listed under channels, so nobody could "
                f"ask there. {right}"
            )
    for name, entry in ops.schedule.items():
        if entry is None and name not in DEFAULT_ENTRIES:
            raise SettingsError(
                f"schedule.{name} is null, which takes away what is there by default; {_meant(name, DEFAULT_ENTRIES)}"
            )
    for name in ops.limits:
        if name not in metrics.BY_NAME and name != PER_PERSON and "." not in name:
            raise SettingsError(f"limits.{name} is no figure; {_meant(name, [*metrics.NAMES, PER_PERSON])}")


def _meant(name: str, known: Iterable[str]) -> str:
    sorted_ = sorted(known)
    begins = [each for each in sorted_ if each.startswith(name)]
    near = nearest(name, begins or sorted_, alike=0.5)
    return f"did you mean {near}?" if near else f"known are {', '.join(sorted_)}."


def _outside(operation: Operation, ops: Ops) -> bool:
    """Whether this must wait for a maintenance window."""
    if ops.maintenance.outside == "allow" or maintenance.window(ops, datetime.now(UTC)):
        return False
    return approval(operation, ops).approvers > 0


def record_of(operation: Operation, words: str, requester: str, channel: str, ops: Ops) -> Record:
    """A command as it is accepted, with the approval that it needs."""
    needed = approval(operation, ops)
    now = time.time()
    record_id = new_id()
    operation = operation.asked_by(Caller(record_id=record_id, requester=requester, channel=channel))
    return Record(
        id=record_id,
        operation=operation.name,
        arguments=operation.model_dump(mode="json"),
        words=words,
        requester=requester,
        channel=channel,
        accepted_at=now,
        approvals=needed.approvers,
        approvers=who_may(needed.role, ops) if needed.approvers else "",
        asks_in_person=_asked_in_person(needed, requester, ops),
        expires_at=now + needed.expires_minutes * 60 if needed.approvers else None,
        calls=operation.calls(ops, datetime.fromtimestamp(now, UTC)),
    )


def without_approval(record: Record, reason: str) -> Record:
    """The same, done without approval, and why."""
    return record.model_copy(
        update={"approvals": 0, "approvers": "", "asks_in_person": (), "expires_at": None, "break_glass": reason}
    )


def refusal_to_decide(user: str, record: Record, ops: Ops, members: Members) -> Refusal | None:
    """Whether this person may approve or deny; None where they may. Nobody approves what they asked for."""
    needed = needed_to_approve(record.operation, ops)
    if user == record.requester:
        return Refusal("You asked for this yourself, so someone else must approve it. You can withdraw it.")
    role = role_of(user, ops, members)
    if role is None or ROLES.index(role) < ROLES.index(needed):
        return Refusal(f"You need the {needed} role to approve this. Who has it: {who_may(needed, ops)}.")
    return None


def refusal_to_cancel(user: str, record: Record, ops: Ops, members: Members) -> Refusal | None:
    """Whether this person may stop it: who asked for it, and whoever may approve."""
    role = role_of(user, ops, members)
    if user == record.requester or (role is not None and ROLES.index(role) >= ROLES.index("approver")):
        return None
    return Refusal(f"Only <@{record.requester}> and approvers may stop it: {who_may('approver', ops)}.")


def _asked_in_person(needed: Approval, requester: str, ops: Ops) -> tuple[str, ...]:
    """The ids of the approvers who are asked in a direct message; groups stand for their members."""
    if needed.notify != "dm" or not needed.approvers:
        return ()
    roles = [getattr(ops.roles, role) for role in ROLES[ROLES.index(needed.role) :]]
    ids = dict.fromkeys(each for role in roles for each in (*role.users, *role.groups))
    return tuple(each for each in ids if each not in {requester, EVERYBODY})


def who_may(needed: RoleName, ops: Ops) -> str:
    """Those who have this role or a higher one, as Slack shows them."""
    names = [_names(role, ops) for role in ROLES[ROLES.index(needed) :]]
    return ", ".join(name for name in names if name) or "no one yet (see `roles` in ops.yaml)"


def _names(role: RoleName, ops: Ops) -> str:
    entry = getattr(ops.roles, role)
    users = ["every full member of this workspace" if user == EVERYBODY else f"<@{user}>" for user in entry.users]
    return ", ".join([*users, *(f"<!subteam^{group}>" for group in entry.groups)])
