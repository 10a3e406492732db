"""Where experiments keep their artifacts: all of it in buckets that backups copy, or what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.operations.backup import places
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status
from workers.wording import count, listed

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings


def ask(asking: Asking) -> Answer:
    """Every experiment's location, and each bucket among them."""
    found = places.survey(asking.systems)
    if found.unasked:
        return Answer(Status.UNKNOWN, f"Where experiments keep their artifacts is unknown: {found.unasked}")
    bucket = asking.settings.ops.storage.artifacts_bucket
    facts: list[tuple[str, str]] = [(bucket, count(found.own, "experiment"))]
    facts += [(name, f"{count(number, 'experiment')}; backed up too") for name, number in sorted(found.others.items())]
    facts += [("in no backup", places.told(each)) for each in found.elsewhere]
    details = (Facts(items=tuple(facts)),)
    if found.elsewhere:
        lost = sum(each.experiments for each in found.elsewhere)
        where = listed([each.place for each in found.elsewhere])
        sentence = f"Artifacts of {count(lost, 'experiment')} are in no backup: they are at {where}."
        return Answer(Status.WARN, sentence, details=details, own_fault=True)
    also = f" and {listed(sorted(found.others))}" if found.others else ""
    sentence = f"The artifacts of all {count(found.experiments, 'experiment')} are in {bucket}{also}."
    return Answer(Status.OK, sentence, details=details, own_fault=True)


def _look(settings: Settings) -> str:
    return f"aws s3 ls s3://{settings.ops.storage.artifacts_bucket}/"


QUESTION = Question("places", "Artifact locations", "The object store", ask, _look)
