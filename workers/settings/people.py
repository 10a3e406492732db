"""ops.yaml: who has which role, whose approval is needed, and who is on call."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from workers.settings.values import ROLES, ChannelId, ClockTime, GroupId, PersonId, RoleName, Section, UserId, Weekday


class Role(Section):
    """Who has a role: Slack user ids and user-group ids. `*` among the users of `viewer` means every full member of
    the workspace: guests, people from outside, bots and deactivated people are nobody unless they are named.
    """

    users: tuple[UserId, ...] = Field((), description="Slack user ids, such as U012AB3CD")
    groups: tuple[GroupId, ...] = Field((), description="Slack user-group ids, such as S012AB3CD")


class Roles(Section):
    """The four roles; each may do what those before it may."""

    viewer: Role = Role()
    operator: Role = Role()
    approver: Role = Role()
    admin: Role = Role()

    @model_validator(mode="after")
    def _only_viewers_may_be_everybody(self) -> Roles:
        for name in ROLES[1:]:
            if "*" in getattr(self, name).users:
                msg = f"'*' (everybody) is allowed for viewer only, not for {name}; list user or group ids"
                raise ValueError(msg)
        return self


class Approval(Section):
    """Whose approval an operation needs."""

    approvers: Annotated[int, Field(ge=0, le=5)] = Field(1, description="how many people must approve; 0: nobody")
    role: RoleName = Field("approver", description="the role that they must have")
    expires_minutes: Annotated[float, Field(gt=0, le=10_080)] = Field(30, description="after which nobody may")
    channel: ChannelId | None = Field(None, description="the only channel where it may be asked for and approved")
    notify: Literal["thread", "dm"] = Field(
        "thread", description="dm: the approvers are asked in a direct message as well as by a mention in the thread"
    )


class Scaling(Section):
    """What an operator may do alone."""

    free_up_to: Annotated[int, Field(ge=1, le=1000)] = Field(6, description="replicas; more, and 0, need approval")


class Called(Section):
    """Whom `escalate` calls: Slack user ids and user-group ids."""

    users: tuple[PersonId, ...] = Field((), description="Slack user ids, such as U012AB3CD")
    groups: tuple[GroupId, ...] = Field((), description="Slack user-group ids, such as S012AB3CD")

    @property
    def ids(self) -> tuple[str, ...]:
        """All of them, groups first."""
        return (*self.groups, *self.users)


class Escalation(Section):
    """Who is on call: the team in business hours of time_zone, else DevOps; where one is empty, the other."""

    team: Called = Called()
    devops: Called = Called()
    begins: ClockTime = Field("09:00", description="when business hours begin")
    ends: ClockTime = Field("17:00", description="when they end")
    weekdays: tuple[Weekday, ...] | None = Field(None, description="of business hours; by default the digest's")
    holidays: tuple[date, ...] | None = Field(None, description="days without them; by default the digest's")
    role: RoleName = Field("viewer", description="the role that somebody needs to escalate")

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Escalation:
        if self.begins >= self.ends:
            msg = f"business hours must begin before they end, on one day, not at {self.begins} and {self.ends}"
            raise ValueError(msg)
        return self
