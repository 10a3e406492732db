"""Who may do what, where: roles from ops.yaml, deny by default, and every refusal says who may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workers.operation import Operation, Risk
from workers.settings import ROLES, Ops, RoleName

Members = Callable[[str], frozenset[str]]
"""User-group id → the ids of its members."""

NEEDED: dict[Risk, RoleName] = {
    Risk.READ: "viewer",
    Risk.CHANGE: "operator",
    Risk.DESTRUCTIVE: "approver",
}


@dataclass(frozen=True)
class Refusal:
    """Why not, as one or two sentences for the person who asked."""

    sentence: str


def role_of(user: str, ops: Ops, members: Members) -> RoleName | None:
    """The highest role of a user; None for somebody who has none."""
    for name in reversed(ROLES):
        role = getattr(ops.roles, name)
        if user in role.users or "*" in role.users or any(user in members(group) for group in role.groups):
            return name
    return None


def refusal_here(user: str, channel: str, ops: Ops, members: Members) -> Refusal | None:
    """Whether this person may use /mlflow in this channel at all; None where they may."""
    if channel not in ops.channels:
        if not ops.channels:
            return Refusal("/mlflow is not allowed in any channel yet: list channel ids under `channels` in ops.yaml.")
        allowed = ", ".join(f"<#{each}>" for each in ops.channels)
        return Refusal(f"/mlflow is not allowed in this channel; use it in {allowed}.")
    if role_of(user, ops, members) is None:
        admins = _names("admin", ops) or "whoever keeps ops.yaml"
        return Refusal(
            f"You have no role in ops.yaml, so /mlflow does nothing for you. Those who may read: "
            f"{_who('viewer', ops)}. Ask {admins} to add your user id {user}."
        )
    return None


def refusal(user: str, channel: str, operation: Operation, ops: Ops, members: Members) -> Refusal | None:
    """Whether this person may do this, here; None where they may."""
    here = refusal_here(user, channel, ops, members)
    if here is not None:
        return here
    role = role_of(user, ops, members)
    needed = NEEDED[operation.risk]
    if role is None or ROLES.index(role) < ROLES.index(needed):
        return Refusal(
            f"{operation.title} needs the role {needed}; you are {role}. Those who may: {_who(needed, ops)}."
        )
    return None


def _who(needed: RoleName, ops: Ops) -> str:
    names = [_names(role, ops) for role in ROLES[ROLES.index(needed) :]]
    return ", ".join(name for name in names if name) or "nobody yet (see `roles` in ops.yaml)"


def _names(role: RoleName, ops: Ops) -> str:
    entry = getattr(ops.roles, role)
    users = ["everybody" if user == "*" else f"<@{user}>" for user in entry.users]
    return ", ".join([*users, *(f"<!subteam^{group}>" for group in entry.groups)])
