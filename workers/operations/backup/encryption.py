"""The backup keys: what a set is encrypted, signed and named with; from the environment, or from a key service.

One key writes, all that are known read, so keys can be changed: the old one stays in MLFLOW_OPS_BACKUP_KEYS_OLD until
no set needs it. No key is used as it is: each purpose derives its own (HKDF, RFC 5869). The format is sealing.py's.

Documents of before (a line of JSON, then the ciphertext) are read as well, and not written any more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup import sealing
from workers.operations.backup.sealing import Header, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.settings import Settings
    from workers.systems.kms import Kms

NAME_END: Final = ".enc"
"""How the key of an encrypted object ends, save under objects/."""
_PURPOSE: Final = b"mlflow-ops backup configuration 1"
_SIGNING: Final = b"mlflow-ops backup manifest 1"
_NAMING: Final = b"mlflow-ops backup object name 1"
_HEADER_AT_MOST: Final = 4096
_KMS: Final = "kms:"


class WrongKey(OperatorError):  # noqa: N818 - named after what happened
    """None of our keys is the one that a document needs."""


@dataclass(frozen=True)
class Keys:
    """The key to write with, first, and those to read with. Does not show them. _kms: writes in their place."""

    _keys: tuple[bytes, ...] = ()
    _kms: Kms | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Keys({', '.join(self.ids)})"

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """What is written and read with; None where nothing is to be written with."""
        return cls.all_of(settings) if given(settings) else None

    @classmethod
    def all_of(cls, settings: Settings) -> Self:
        """Whatever can be read with, which may be nothing: MLFLOW_OPS_BACKUP_KEY, …_KEYS_OLD, backup.kms_key_id."""
        environment = settings.environment
        secrets = [environment.backup_key, environment.backup_keys_old]
        texts = [text for each in secrets if each for text in each.get_secret_value().split(",")]
        kms = None
        if settings.ops.backup.kms_key_id:
            from workers.systems.kms import Kms

            kms = Kms.connect(settings)
        return cls(tuple(base64.b64decode(text.strip()) for text in texts), kms)

    @cached_property
    def current(self) -> Secret:
        """What is written with. Raises KeyServiceError."""
        if self._kms:
            plain, wrapped = self._kms.data_key()
            return Secret(self.current_id, plain, wrapped)
        return Secret(self.current_id, self._keys[0])

    @property
    def current_id(self) -> str:
        """Of the key that is written with."""
        return self.ids[0]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Of all keys, the current one first."""
        named = [f"{_KMS}{each}" for each in self._kms.keys] if self._kms else []
        return (*named, *map(key_id, self._keys))

    def find(self, header: Header) -> bytes:
        """The key of an encrypted object. Raises WrongKey, KeyServiceError."""
        return self._found(header.key_id, header.wrapped, header.name)

    def proof(self, content: bytes) -> str:
        """HMAC-SHA-256 of the content by the current key's signing key, in hexadecimal."""
        return _mac(self.current.key, content, _SIGNING)

    def proves(self, of: str, mac: str, content: bytes, wrapped: str = "") -> bool:
        """Whether the key with the id `of`, one of ours, gave that proof of the content. Raises KeyServiceError.

        wrapped: the data key, where `of` is a key of a key service.
        """
        if of not in self.ids:
            return False
        expected = _mac(self._found(of, wrapped, "a signature"), content, _SIGNING)
        return hmac.compare_digest(expected.encode(), mac.encode())

    def naming(self, identity: str) -> str:
        """What names an object without saying anything of it to whoever has no key: 32 hexadecimal digits."""
        return hmac.digest(self._naming, identity.encode(), "sha256").hex()[:32]

    @cached_property
    def _naming(self) -> bytes:
        return _derived(self.current.key, None, _NAMING)

    def encrypted(self, document: bytes, name: str) -> bytes:
        """The document, to be stored under the key `name`, readable with the current key only."""
        return sealing.sealed(document, self.current, name)

    def decrypted(self, content: bytes, name: str) -> bytes:
        """The document stored as `name`. Raises WrongKey; SetDamaged where it was changed or is none."""
        if content.startswith(sealing.MAGIC):
            return b"".join(self.opened([content], name))
        return self._old(content, name)

    def opened(self, pieces: Iterable[bytes], name: str) -> Iterator[bytes]:
        """The bytes of an encrypted object, each once it is known to be right. Raises WrongKey, SetDamaged."""
        return sealing.unsealed(pieces, name, self.find)

    def _old(self, content: bytes, name: str) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        header = content[: content.find(b"\n", 0, _HEADER_AT_MOST) + 1]
        try:
            shown = json.loads(header)
            wanted, salt, nonce = shown["key_id"], base64.b64decode(shown["salt"]), base64.b64decode(shown["nonce"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SetDamaged(f"{name} is not encrypted, and should be.", "Use another set.") from None
        try:
            cipher = AESGCM(_derived(self._found(str(wanted), "", name), salt, _PURPOSE))
            return cipher.decrypt(nonce, content[len(header) :], header)
        except (InvalidTag, ValueError):
            raise SetDamaged(f"{name} is damaged: it was changed after it was encrypted.", "Use another set.") from None

    def _found(self, wanted: str, wrapped: str, name: str) -> bytes:
        if wanted.startswith(_KMS) and self._kms and wanted in self.ids:
            return self._kms.opened(wrapped, wanted.removeprefix(_KMS))
        for key in self._keys:
            if key_id(key) == wanted:
                return key
        hint = "Put that key into MLFLOW_OPS_BACKUP_KEYS_OLD."
        if wanted.startswith(_KMS):
            hint = "Name that key in backup.kms_keys_old of ops.yaml."
        raise WrongKey(
            f"{name} is encrypted with the key {wanted[:200]}; the keys here are: {', '.join(self.ids) or 'none'}.",
            hint,
        )


NONE: Final = Keys()
"""For whoever reads what is not encrypted."""


def given(settings: Settings) -> bool:
    """Whether there is a key to write with."""
    return settings.environment.backup_key is not None or bool(settings.ops.backup.kms_key_id)


def for_configuration(settings: Settings) -> Keys | None:
    """What the configuration is encrypted with; None where it is not, and then holds no secret."""
    return Keys.of(settings) if settings.ops.backup.encrypt != "none" else None


def for_data(settings: Settings) -> Keys | None:
    """What dumps, listings and artifacts are encrypted with; None where they are kept as they are."""
    return Keys.of(settings) if settings.ops.backup.encrypt == "all" else None


def key_id(key: bytes) -> str:
    """A short name of a key, from which it cannot be found."""
    return hashlib.sha256(b"mlflow-ops key id" + key).hexdigest()[:12]


def _mac(key: bytes, content: bytes, purpose: bytes) -> str:
    return hmac.digest(_derived(key, None, purpose), content, "sha256").hex()


def _derived(key: bytes, salt: bytes | None, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=purpose).derive(key)
