"""The object store: is the artifacts bucket there, can one be read, and does a deleted one survive (versioning)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.health import dependency_pods
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Section, Status, Text
from workers.systems.errors import BucketMissing, ObjectArchived, ObjectMissing, ObjectsError, Unreachable
from workers.wording import milliseconds

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.s3.objects import Objects

READ_BYTES: Final = 4096


def ask(asking: Asking) -> Answer:
    """The bucket, and beside it the store's pods."""
    bucket = asking.settings.ops.storage.artifacts_bucket
    objects = asking.systems.objects
    pods = dependency_pods.look(asking, asking.names.storage_selector)
    try:
        # The first call opens the connection; what a client feels is the second one.
        versioning = _versioning(objects, bucket)
        began = time.perf_counter()
        objects.head_bucket(bucket)
        latency = time.perf_counter() - began
        read = _read(objects, bucket)
    except ObjectsError as error:
        table, trouble = pods()
        sentence = f"{error.message.rstrip('.')}; {trouble}." if trouble else error.message
        hint = (Text(text=error.hint),) if error.hint else ()
        unreachable = isinstance(error, Unreachable)
        return Answer(Status.FAIL, sentence, details=(*hint, *table), own_fault=True, unreachable=unreachable)
    return judge(latency, versioning, asking.settings, pods()[0], read)


def _read(objects: Objects, bucket: str) -> str:
    """Read the beginning of one artifact; which one. Raises ObjectsError where that cannot be done."""
    key = objects.first(bucket)
    if not key:
        return "the bucket is empty"
    try:
        objects.read(bucket, key, at_most=READ_BYTES)
    except ObjectMissing:
        return f"{key} went away just then"
    except ObjectArchived:
        return f"{key} is in an archive tier"
    return key


def _versioning(objects: Objects, bucket: str) -> str:
    """What the bucket says, or why it does not; that it may not be asked is no failure of the store's."""
    try:
        return objects.versioning(bucket)
    except (BucketMissing, Unreachable):
        raise
    except OperatorError as error:
        return f"unknown: {error.message}"


def judge(
    latency: float, versioning: str, settings: Settings, pods: tuple[Section, ...] = (), read: str = ""
) -> Answer:
    """From the seconds that a HeadBucket took and the bucket's versioning: Enabled, Suspended, Off or why unknown.

    read: the artifact of which the beginning was read.
    """
    bucket = settings.ops.storage.artifacts_bucket
    facts = Facts(
        items=(
            ("bucket", bucket),
            ("HeadBucket", milliseconds(latency)),
            ("versioning", versioning),
            ("artifact read", read),
        )
    )
    status, sentence = Status.OK, f"The bucket {bucket} answers; versioning is on."
    if latency >= settings.ops.health.thresholds.storage_latency_warn_seconds:
        status, sentence = Status.WARN, f"The object store is slow: HeadBucket took {milliseconds(latency)}."
    elif versioning in {"Off", "Suspended"}:
        word = "off" if versioning == "Off" else "suspended"
        status, sentence = Status.WARN, f"Versioning is {word} for {bucket}: a deleted artifact is gone for good."
    elif versioning != "Enabled":
        sentence = f"The bucket {bucket} answers; whether it keeps versions could not be read."
    figures = {"latency_seconds": latency, "versioning": float(versioning == "Enabled")}
    return Answer(status, sentence, milliseconds(latency), (facts, *pods), figures, own_fault=True)


def _look(settings: Settings) -> str:
    return f"aws s3api head-bucket --bucket {settings.ops.storage.artifacts_bucket}"


QUESTION = Question("storage", "Storage", "The object store", ask, _look, command="storage")
