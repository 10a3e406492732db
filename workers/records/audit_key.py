"""The workers' key of the audit record: from the environment, or, where only AWS KMS has keys, one that it has wrapped.

KMS gives each process another data key, but every worker must be able to verify what any of them has ever sealed. So
one data key is kept for that, wrapped, in the backups' bucket (`audit/<target>/key.json`); the first worker that needs
it makes it. Whoever can write there can take it away, or put another wrapped one in its place, and can seal nothing
with either: he has no plain key. It shows, as seals by a key that is not ours.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.records.audit_log import STREAM
from workers.records.audit_seals import SealKeys
from workers.systems.errors import KeyDenied, KeyServiceError, ObjectMissing
from workers.systems.s3.lock import Lock, retain, write

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems import Systems
    from workers.systems.kms import Kms

FOLDER: Final = "audit/"
_BYTES_AT_MOST: Final = 16 << 10
_MAKING: Final = STREAM + ":making-key"
_MAKING_SECONDS: Final = 60


def keys(systems: Systems, *, make: bool = False) -> SealKeys:
    """The keys that seal and verify; none where there is none. make: the one that KMS wraps, if it is not there yet.

    Raises KeyServiceError and ObjectsError.
    """
    from workers.systems.kms import Kms

    settings = systems.settings
    of_environment = SealKeys.of(settings)
    kms = None if of_environment.given else Kms.connect(settings)
    if kms is None:
        return of_environment
    bucket, key = settings.ops.storage.backups_bucket, place(settings)
    raw = _there(systems, key)
    if raw is None and not make:
        return of_environment
    if raw is None:
        if not systems.redis.set(_MAKING, 1, nx=True, ex=_MAKING_SECONDS):
            message = "Another worker makes the audit record's key at this moment."
            raise KeyServiceError(message, "Try again in a minute.")
        try:
            # Whoever made it a moment ago has given the lock back.
            raw = _there(systems, key) or _made(systems, kms, key)
        finally:
            systems.redis.delete(_MAKING)
    named, wrapped = _read(raw, f"s3://{bucket}/{key}")
    if named not in kms.keys:
        hint = "Name that key in backup.kms_keys_old of ops.yaml."
        raise KeyDenied(f"The audit record's key is wrapped with the KMS key {named[:200]}, which is not ours.", hint)
    opened = kms.opened(wrapped, named)
    if make and (until := lock(settings)):
        retain(systems.backups, bucket, key, until)
    return SealKeys.from_key(opened)


def _there(systems: Systems, key: str) -> bytes | None:
    try:
        return systems.backups.read(systems.settings.ops.storage.backups_bucket, key, at_most=_BYTES_AT_MOST)
    except ObjectMissing:
        return None


def _made(systems: Systems, kms: Kms, key: str) -> bytes:
    told = json.dumps({"kms_key": kms.keys[0], "wrapped": kms.data_key()[1]}).encode()
    write(systems.backups, systems.settings.ops.storage.backups_bucket, key, told, lock(systems.settings))
    return told


def given(settings: Settings) -> bool:
    """Whether there is one, or KMS can make one."""
    return SealKeys.of(settings).given or bool(settings.ops.backup.kms_key_id)


def place(settings: Settings) -> str:
    """The key of the object, in the backups' bucket, that holds what KMS has wrapped."""
    return f"{FOLDER}{settings.environment.target}/key.json"


def lock(settings: Settings) -> Lock | None:
    """What of the audit record is written to the bucket now is kept so, where backup.lock says it."""
    wanted = settings.ops.backup.lock
    return Lock(wanted.mode.upper(), datetime.now(UTC) + timedelta(days=wanted.days)) if wanted else None


def _read(raw: bytes, where: str) -> tuple[str, str]:
    try:
        told = json.loads(raw)
        named, wrapped = str(told["kms_key"]), str(told["wrapped"])
        base64.b64decode(wrapped, validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        hint = "Restore an earlier version of it: without it no seal that was made so far can be verified."
        raise KeyDenied(f"{where} is not the audit record's key: it was changed.", hint) from None
    return named, wrapped
