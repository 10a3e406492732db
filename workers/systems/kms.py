"""A key service (AWS KMS): data keys, each given plain and wrapped, and unwrapped again by the service alone.

One data key serves a process; KMS is asked once for it, and once for each other one that is read. What is wrapped says
nothing to whoever may not ask KMS. A wrapped key is opened with the keys that ops.yaml names and with no other, so
nobody can put in one of a key of his own.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botocore import exceptions as boto

from workers.systems import connections
from workers.systems.errors import KeyDenied, KeyServiceError, KeyServiceUnreachable

if TYPE_CHECKING:
    from workers.settings import Settings

T = TypeVar("T")

CONTEXT: Final = {"mlflow-ops": "backup"}
"""Stands in CloudTrail beside each use, and must be given again to unwrap (KMS developer guide, encryption context)."""
SECONDS: Final = 5.0
ATTEMPTS: Final = 4
_DENIED: Final = {"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException"}
_NOT_OURS: Final = {"InvalidCiphertextException", "IncorrectKeyException"}


@dataclass(frozen=True)
class Kms:
    """One KMS as `ops.yaml` names its keys: the one to wrap with, then those that only unwrap. Safe for threads."""

    client: Any
    keys: tuple[str, ...]
    _opened: dict[str, bytes] = field(default_factory=dict, repr=False)
    _made: list[tuple[bytes, str]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def connect(cls, settings: Settings) -> Kms | None:
        """From backup.kms_key_id, with the credentials of AWS_*; None where ops.yaml names no key. Asks nothing yet."""
        backup = settings.ops.backup
        named = (backup.kms_key_id, *backup.kms_keys_old)
        return _connected(named) if backup.kms_key_id else None

    def data_key(self) -> tuple[bytes, str]:
        """This process's: 32 bytes, and the same as only KMS can read them. Raises KeyServiceError."""
        with self._lock:
            if not self._made:
                ask = self.client.generate_data_key
                answer = self._ask(
                    lambda: ask(KeyId=self.keys[0], KeySpec="AES_256", EncryptionContext=CONTEXT), self.keys[0]
                )
                self._made.append((answer["Plaintext"], base64.b64encode(answer["CiphertextBlob"]).decode()))
                self._opened[self._made[0][1]] = self._made[0][0]
            return self._made[0]

    def opened(self, wrapped: str, key_id: str) -> bytes:
        """A data key that was wrapped by `key_id`, one of ours. Raises KeyServiceError."""
        with self._lock:
            found = self._opened.get(wrapped)
        if found is not None:
            return found
        try:
            blob = base64.b64decode(wrapped, validate=True)
        except binascii.Error:
            blob = b""
        answer = self._ask(
            lambda: self.client.decrypt(CiphertextBlob=blob, KeyId=key_id, EncryptionContext=CONTEXT), key_id
        )
        with self._lock:
            self._opened[wrapped] = answer["Plaintext"]
        return bytes(answer["Plaintext"])

    def _ask(self, call: Callable[[], dict[str, Any]], key_id: str) -> dict[str, Any]:
        try:
            return call()
        except boto.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _NOT_OURS:
                raise KeyDenied(f"KMS did not wrap that data key with {key_id}.", "The set is not of ours.") from None
            if code in _DENIED or error.response["ResponseMetadata"]["HTTPStatusCode"] == 403:  # noqa: PLR2004
                raise KeyDenied(
                    f"KMS denies us the key {key_id} ({code}).",
                    "Allow kms:GenerateDataKey and kms:Decrypt on it to our credentials.",
                ) from None
            raise KeyServiceError(f"KMS refuses the key {key_id}: {code}.", "Check backup.kms_key_id.") from None
        except (boto.NoCredentialsError, boto.PartialCredentialsError):
            raise KeyDenied("There are no credentials for KMS.", "Set AWS_ACCESS_KEY_ID or give us a role.") from None
        except boto.EndpointConnectionError as error:
            raise KeyServiceUnreachable(f"KMS {connections.words(error.kwargs['error'], SECONDS)}.") from None
        except boto.BotoCoreError as error:
            raise KeyServiceUnreachable(f"KMS: {str(error).splitlines()[0][:200].rstrip('.')}.") from None


@cache
def _connected(keys: tuple[str, ...]) -> Kms:
    """One for the process: so is its data key."""
    import boto3
    from botocore.config import Config

    from workers.systems.s3.objects import DEFAULT_REGION

    session = boto3.session.Session()
    config = Config(
        connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": ATTEMPTS, "mode": "standard"}
    )
    return Kms(session.client("kms", region_name=session.region_name or DEFAULT_REGION, config=config), keys)
