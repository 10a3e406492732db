"""The forms of commands that change something: scale, resources, archiving runs, the schedule, silencing an alert."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from bot.modals.form import Form, chosen, typed
from bot.modals.silence import TIMES, USUAL
from workers.operations.alerts.store import AlertStore
from workers.operations.commands import schedule
from workers.rendering.blocks import section
from workers.wording import as_typed, count

if TYPE_CHECKING:
    from redis import Redis

    from bot.modals.form import Values
    from workers.rendering.blocks import Block
    from workers.settings import Ops

OPTION: Final = 75
_MOST: Final = 100
_AGES: Final = {f"{days}d": f"{days} days" for days in (30, 60, 90, 180, 365)}
_DO: Final = {"pause": "Pause it", "resume": "Let it go on", "run": "Run it now"}


def _scale(_redis: Redis, ops: Ops) -> list[Block]:
    free = ops.scaling.free_up_to
    return [typed("replicas", "How many pods?", like="4", hint=f"0, and more than {free}, need approval.", most=4)]


def _resources(_redis: Redis, _ops: Ops) -> list[Block]:
    hint = "What is left empty stays as it is."
    return [
        typed("cpu_request", "CPU request", like="500m", hint=hint, most=20, optional=True),
        typed("cpu_limit", "CPU limit", like="2", most=20, optional=True),
        typed("memory_request", "Memory request", like="4Gi", most=20, optional=True),
        typed("memory_limit", "Memory limit", like="8Gi", most=20, optional=True),
    ]


def _resources_words(values: Values) -> str:
    words = ["resources"]
    for name in ("cpu", "memory"):
        pair = f"{values.get(name + '_request', '')}:{values.get(name + '_limit', '')}"
        words += [f"--{name}", pair] if pair != ":" else []
    return shlex.join(words)


def _archive(_redis: Redis, _ops: Ops) -> list[Block]:
    experiment = "By default all active ones."
    tag = "A tag, such as keep or keep=true: runs that have it stay."
    return [
        chosen("older", "Runs that are older than", _AGES, first="90d"),
        typed("experiment", "Of which experiment?", hint=experiment, most=500, optional=True),
        typed("except", "Except", hint=tag, most=250, optional=True),
    ]


def _archive_words(values: Values) -> str:
    words = ["runs", "archive", "--older-than", values["older"]]
    words += ["--experiment", values["experiment"]] if values.get("experiment") else []
    words += ["--except-tag", values["except"]] if values.get("except") else []
    return shlex.join(words)


def _schedule(redis: Redis, ops: Ops) -> list[Block]:
    stopped = schedule.paused(redis)
    entries = {
        name: f"{name}{' (paused)' if name in stopped else ''}: {entry.command}"[:OPTION]
        for name, entry in list(ops.clock.items())[:_MOST]
    }
    if not entries:
        return [section("Nothing is scheduled in ops.yaml.")]
    return [chosen("entry", "Which job?", entries), chosen("do", "What?", _DO)]


def _silence(redis: Redis, _ops: Ops) -> list[Block]:
    firing = {
        group.id: f"{group.name}: {count(group.fires, 'alert')}"[:OPTION]
        for group in AlertStore(redis).groups()
        if group.over is None
    }
    if not firing:
        return [section("No alert fires: there is nothing to silence.")]
    return [
        chosen("group", "Which alert?", dict(list(firing.items())[:_MOST])),
        chosen("for", "For how long?", TIMES, first=USUAL),
        typed("why", "Why?", like="Alertmanager keeps it, with your name", most=300, optional=True),
    ]


def _silence_words(values: Values) -> str:
    words = f"alerts silence {values['group']} --for {values['for']}"
    return f"{words} --why {as_typed(values['why'])}" if values.get("why") else words


FORMS: Final = (
    Form(
        "form-scale",
        opens=("scale",),
        label="Scale …",
        sample="scale 2",
        title="Scale MLflow",
        submit="Plan it",
        fields=_scale,
        words=lambda values: shlex.join(["scale", values["replicas"]]),
    ),
    Form(
        "form-resources",
        opens=("resources",),
        label="Resources …",
        sample="resources --memory :8Gi",
        title="Change resources",
        submit="Plan it",
        fields=_resources,
        words=_resources_words,
    ),
    Form(
        "form-archive",
        opens=("runs archive",),
        label="Archive runs …",
        sample="runs archive --older-than 90d",
        title="Archive old runs",
        submit="Plan it",
        fields=_archive,
        words=_archive_words,
    ),
    Form(
        "form-schedule",
        opens=("schedule", "schedule pause", "schedule resume", "schedule run"),
        label="Scheduled jobs …",
        sample="schedule pause backup",
        title="Scheduled jobs",
        submit="Do it",
        fields=_schedule,
        words=lambda values: shlex.join(["schedule", values["do"], values["entry"]]),
    ),
    Form(
        "form-silence",
        opens=("alerts silence",),
        label="Silence an alert …",
        sample="alerts silence 3f2a9c01de --for 2h",
        title="Silence an alert",
        submit="Silence",
        fields=_silence,
        words=_silence_words,
    ),
)
