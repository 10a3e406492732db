"""ops.yaml: what runs by the clock, the morning's digest, and maintenance windows."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from workers.settings.values import ChannelId, ClockTime, Cron, RoleName, Section, Weekday


class Window(Section):
    """When maintenance is planned for."""

    cron: Cron = Field(description="when it opens: minute hour day month weekday")
    minutes: Annotated[int, Field(ge=1, le=7 * 1440)] = Field(120, description="how long it stays open")


class MaintenanceWindows(Section):
    """Windows by the clock of `time_zone`, and what they mean for commands that need approval."""

    windows: tuple[Window, ...] = ()
    approvers_inside: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="how many people must approve within a window; as everywhere where it is not set"
    )
    outside: Literal["allow", "refuse"] = Field("allow", description="of what needs approval, outside of the windows")

    @model_validator(mode="after")
    def _refusing_needs_windows(self) -> MaintenanceWindows:
        if self.outside == "refuse" and not self.windows:
            msg = "outside: refuse without any window would refuse everything for ever; name windows"
            raise ValueError(msg)
        return self


class ScheduleEntry(Section):
    """A command that runs by the clock of `time_zone`."""

    cron: Cron = Field(description="minute hour day month weekday")
    command: str = Field(description="as it would be typed after /mlflow")
    channel: ChannelId | None = Field(None, description="where it is told; by default the first of channels")
    quiet: bool = Field(default=False, description="say nothing where all is well")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(0, description="how often it is tried again where it failed")
    retry_minutes: Annotated[float, Field(gt=0, le=1440)] = Field(5, description="how long after it failed")
    channels: tuple[ChannelId, ...] = Field((), description="where it is told instead, each time anew; for reads only")
    holidays: tuple[date, ...] = Field((), description="days of `time_zone` on which it is left out")
    role: RoleName = Field("operator", description="the role that stands behind it: it may ask for no more than this")


BACKUP = ScheduleEntry(cron="*/30 * * * *", command="backup", quiet=True, retries=2)
"""The runbook's recovery point is under an hour. A set holds what there was when it began, so just before the next one
is finished, the time between two and the time that one takes may be lost. Every hour is too seldom whatever a set
takes; every half an hour keeps to it while a set takes less than 30 minutes."""
WEEKLY_DRILL = ScheduleEntry(cron="0 4 * * 0", command="drill", quiet=True)
"""A backup that was never restored is a hope."""
DAILY_BASE = ScheduleEntry(cron="30 2 * * *", command="backup base", quiet=True, retries=2)
"""WAL is replayed from a base on: the older that is, the longer it takes."""
WEEKLY_MOMENT = ScheduleEntry(cron="0 5 * * 0", command="drill --at random", quiet=True)
"""As of a backup, of the WAL: of a moment that nobody has chosen."""
HOURLY_AUDIT = ScheduleEntry(cron="45 * * * *", command="audit export", quiet=True, retries=2)
"""Until it is exported, an entry is where whoever owns Redis can reach it."""
HOURLY_FIGURES = ScheduleEntry(cron="20 * * * *", command="health", quiet=True)
"""What trends and the morning's picture are drawn from."""


class Digest(Section):
    """When and where the morning's digest comes."""

    at: ClockTime = Field("08:00", description="by the clock of time_zone")
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = ("mon", "tue", "wed", "thu", "fri")
    holidays: tuple[date, ...] = Field((), description="days without one, such as 2026-12-25")
    channels: tuple[ChannelId, ...] = Field((), description="by default the first of channels")

    @property
    def entry(self) -> ScheduleEntry:
        """As the clock runs it."""
        hour, minute = self.at.split(":")
        return ScheduleEntry(
            cron=f"{int(minute)} {int(hour)} * * {','.join(self.weekdays)}",
            command="digest",
            channels=self.channels,
            holidays=self.holidays,
        )
