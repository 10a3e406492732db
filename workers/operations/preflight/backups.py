"""The backup bucket: can we write, read back and delete there."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.audit.export import NOT_SEALED
from workers.operations.health.questions import Answer, Question
from workers.records import audit_key
from workers.report import Facts, Status
from workers.systems.s3.lock import Lock, try_out

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings


LOCK_KEY: Final = "check/lock"
TRIED: Final = timedelta(minutes=1)


def ask(asking: Asking) -> Answer:
    """One small object there and back."""
    bucket = asking.settings.ops.storage.backups_bucket
    objects = asking.systems.backups
    key, body = f"check/{secrets.token_hex(8)}", secrets.token_bytes(64)
    objects.write(bucket, key, body)
    try:
        same = objects.read(bucket, key, at_most=len(body) + 1) == body
    finally:
        objects.delete(bucket, key)
    try:
        versioning = objects.versioning(bucket)
    except OperatorError as error:
        versioning = f"unknown: {error.message}"
    lock, unlocked = objects.object_lock(bucket), _unlocked(asking)
    artifacts = asking.systems.objects.address
    shared = objects.address == artifacts
    shares = (
        "loss of a store",
        f"takes artifacts and backups together: both are at {artifacts}"
        if shared
        else f"takes one of the two: artifacts are at {artifacts}, backups at {objects.address}",
    )
    tried = "tried: a locked object can't be removed" if asking.settings.ops.backup.lock and not unlocked else ""
    kept = (("versioning", versioning), ("object lock", "; ".join(filter(None, (lock, tried)))))
    facts = Facts(items=(("bucket", bucket), ("write, read, delete", "yes"), *kept, shares))
    if unlocked:
        sentence = f"Object Lock does not hold in {bucket}: {unlocked}."
        return Answer(Status.FAIL, sentence, "no lock", (facts,), own_fault=True)
    if not same:
        sentence = f"What was written to {bucket} came back changed."
        return Answer(Status.FAIL, sentence, details=(facts,), own_fault=True)
    if shared and bucket == asking.settings.ops.storage.artifacts_bucket:
        sentence = f"Backups go into the artifacts' own bucket {bucket}: give them one of their own."
        return Answer(Status.WARN, sentence, details=(facts,), own_fault=True)
    audit_key.keys(asking.systems)  # raises where KMS has one and does not let us use it
    if not audit_key.given(asking.settings):
        return Answer(Status.WARN, f"The audit record is {NOT_SEALED}", details=(facts,), own_fault=True)
    sentence = f"{bucket} can be written, read and deleted from."
    sentence += (
        " One store holds it and the artifacts: have it copied, or set MLFLOW_OPS_BACKUP_S3_ENDPOINT_URL."
        if shared
        else f" It is at {objects.address}, not where the artifacts are."
    )
    if versioning == "Enabled":
        sentence += f" {_EXPIRE}"
    return Answer(Status.OK, sentence, f"versioning {versioning.lower()}", (facts,), own_fault=True)


def _unlocked(asking: Asking) -> str:
    """Why what backup.lock promises does not hold, found by trying; empty where it does, or where there is no lock."""
    wanted = asking.settings.ops.backup.lock
    if wanted is None:
        return ""
    soon = Lock(wanted.mode.upper(), datetime.now(UTC) + TRIED)
    try:
        return try_out(asking.systems.backups, asking.settings.ops.storage.backups_bucket, LOCK_KEY, soon)
    except OperatorError as error:
        return error.message.rstrip(".")


_EXPIRE = "What is pruned stays as old versions until a lifecycle rule (NoncurrentVersionExpiration) removes them."


def _look(settings: Settings) -> str:
    return f"aws s3 ls s3://{settings.ops.storage.backups_bucket}/"


QUESTION = Question("backups", "Backup bucket", "The object store", ask, _look)
