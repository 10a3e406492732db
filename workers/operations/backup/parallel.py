"""Many workers on one set: the keys that are to be copied are cut into spans, and each free worker takes the next.

    spans:<set>   list: the spans that nobody has taken yet, as JSON; kept for a day at most

The worker that makes the set asks for helpers through records of their own, which say nothing in Slack unless they
fail, takes spans itself, and waits for those that have begun. Whatever became of a span, the set is made whole
afterwards by the one that asked: what a lost helper did not copy, that one does.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from workers.engine import locks
from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.backup.encryption import Keys, for_data
from workers.operations.backup.locking import Locking
from workers.records.keys import PREFIX
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.rendering.message import asked
from workers.report import Report, Status
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.backup.artifacts.known import Sources
    from workers.operations.backup.artifacts.spans import Span
    from workers.systems import Systems
    from workers.systems.s3.objects import Objects

KEPT_SECONDS: Final = 86_400
LOOK_SECONDS: Final = 0.5
SPANS_PER_WORKER: Final = 4
"""So that nobody waits long for the one that has the largest."""


class BackupHelper(Operation):
    """Take spans of a set that another worker makes, until none is left. No command of people's."""

    name: ClassVar[str] = "backup-help"
    risk: ClassVar[Risk] = Risk.READ
    long: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    timeout_seconds: ClassVar[int] = 6 * 3600

    set_name: str
    previous: tuple[str, ...] = ()
    distrust: tuple[str, ...] = ()
    sha256: str = ""
    objects: int = 0

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Take them. That a span fails is no failure: whoever asked copies what is missing, and says what is wrong."""
        summary = "No span is left."
        try:
            taken, copied = take_all(systems, sources_of(systems, self), progress)
            summary = f"{count(taken, 'span')} done, {count(copied, 'artifact')} copied."
        except OperatorError as error:
            summary = f"It stopped: {error.message}"
        return Report(title=self.title, status=Status.OK, summary=summary)


def sources_of(systems: Systems, about: BackupHelper) -> Sources:
    """What is copied from where to where."""
    from workers.operations.backup.artifacts.known import Sources

    storage = systems.settings.ops.storage
    return Sources(
        storage.artifacts_bucket,
        storage.backups_bucket,
        about.set_name,
        about.previous,
        distrust=frozenset(about.distrust),
        source=other_store(systems),
        keys=Keys.of(systems.settings),
        encrypt=for_data(systems.settings) is not None,
        sha256=about.sha256,
        objects=about.objects,
        locking=Locking.of(systems.settings, datetime.now(UTC)),
    )


def other_store(systems: Systems) -> Objects | None:
    """The artifacts' store, where the backups are in another one."""
    return None if systems.backups is systems.objects else systems.objects


def copy_together(systems: Systems, sources: Sources, spans: list[Span], progress: Progress) -> int:
    """Have spans copied by as many workers as are free, this one among them; how many helped.

    Raises ObjectsError where one fails here, and Cancelled; helpers stop then as well.
    """
    from workers.operations.backup.artifacts.spans import announce

    announce(systems.backups, sources)
    redis, key = systems.redis, _key(sources)
    redis.delete(key)
    redis.rpush(key, *(span.model_dump_json() for span in spans))
    redis.expire(key, KEPT_SECONDS)
    helpers = _ask(systems, sources, min(systems.settings.ops.backup.helpers, len(spans) - 1))
    try:
        take_all(systems, sources, progress)
        return _wait_for(helpers, Records(redis), progress)
    finally:
        redis.delete(key)
        _dismiss(helpers, Records(redis))


def take_all(systems: Systems, sources: Sources, progress: Progress) -> tuple[int, int]:
    """Copy spans until none is left; how many they were, and how many artifacts were copied."""
    from workers.operations.backup.artifacts.spans import Span, copy_span

    taken = copied = 0
    while True:
        raw: Any = systems.redis.lpop(_key(sources))
        if raw is None:
            return taken, copied
        span = Span.model_validate_json(raw)
        progress.step(f"Artifacts: copying span {span.number}")
        copied += copy_span(systems.backups, sources, span, progress)
        taken += 1


def _ask(systems: Systems, sources: Sources, number: int) -> list[str]:
    """Records of as many helpers; none where nobody in Slack asked for the set, as in a terminal."""
    from workers.engine import queues

    records = Records(systems.redis)
    holder = locks.holder(systems.redis, "backup")
    parent = records.get(holder) if holder else None
    if parent is None:
        return []
    about = BackupHelper(
        set_name=sources.set_name,
        previous=sources.previous,
        distrust=tuple(sources.distrust),
        sha256=sources.sha256,
    )
    asked_for = []
    for each in range(number):
        record = Record(
            operation=BackupHelper.name,
            arguments=about.model_dump(mode="json"),
            words=f"{parent.words} (helper {each + 1})",
            requester=parent.requester,
            channel=parent.channel,
            quiet=True,
        )
        queues.accept(record, record.id, asked(record.words, record.requester), systems.redis)
        asked_for.append(record.id)
    return asked_for


def _wait_for(helpers: list[str], records: Records, progress: Progress) -> int:
    """Until those that have begun are at their end; the others are not needed any more. How many helped."""
    began = _dismiss(helpers, records)
    if began:
        progress.step("Artifacts: waiting for the other workers")
    waited_for = len(began)
    while began:
        time.sleep(LOOK_SECONDS)
        progress.checkpoint()
        began = [each for each in began if not _ended(records.get(each))]
        progress.advance(waited_for - len(began), waited_for, "workers")
    return sum(record is not None and record.phase is not Phase.CANCELLED for record in map(records.get, helpers))


def _dismiss(helpers: list[str], records: Records) -> list[str]:
    """End those that nobody has begun; the others, which still run."""
    for each in helpers:
        for waits in (Phase.ACCEPTED, Phase.QUEUED):
            records.finish(each, Ending(Phase.CANCELLED, "not needed"), before=waits)
    return [each for each in helpers if not _ended(records.get(each))]


def _ended(record: Record | None) -> bool:
    return record is None or record.phase.ended


def _key(sources: Sources) -> str:
    return f"{PREFIX}spans:{sources.set_name}"
