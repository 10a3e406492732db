"""The backup keys: authenticated encryption with AES-256-GCM, a key of its own for each document, and signatures.

A document is a line of JSON and the ciphertext after it. The line says which key it needs (a hash, not the key), and is
authenticated with the rest. Keys are derived (HKDF, RFC 5869) with a random salt, so no two documents share one, and
none is a key that anything else uses. Old keys read and never write.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from workers.errors import OperatorError

if TYPE_CHECKING:
    from workers.settings import Settings

FORMAT: Final = "mlflow-ops configuration 1"
_PURPOSE: Final = b"mlflow-ops backup configuration 1"
_SIGNING: Final = b"mlflow-ops backup manifest 1"
_SALT_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_HEADER_AT_MOST: Final = 4096


class WrongKey(OperatorError):  # noqa: N818 - named after what happened
    """None of our keys is the one that a document needs."""


@dataclass(frozen=True)
class Keys:
    """The key to write with, first, and those to read with. Does not show them."""

    _keys: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Keys({', '.join(key_id(key) for key in self._keys)})"

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """From MLFLOW_OPS_BACKUP_KEY and …_KEYS_OLD; None where the first is not set."""
        if settings.environment.backup_key is None:
            return None
        return cls.all_of(settings)

    @classmethod
    def all_of(cls, settings: Settings) -> Self:
        """Whatever can be read with, which may be nothing."""
        environment = settings.environment
        given = [environment.backup_key, environment.backup_keys_old]
        texts = [text for each in given if each for text in each.get_secret_value().split(",")]
        return cls(tuple(base64.b64decode(text.strip()) for text in texts))

    @property
    def current_id(self) -> str:
        """Of the key that is written with."""
        return key_id(self._keys[0])

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all keys, the current one first."""
        return tuple(key_id(key) for key in self._keys)

    def proof(self, content: bytes) -> str:
        """HMAC-SHA-256 of the content by the current key's signing key, in hexadecimal."""
        return _mac(self._keys[0], content)

    def proves(self, of: str, mac: str, content: bytes) -> bool:
        """Whether the key with the id `of`, one of ours, gave that proof of the content."""
        return any(
            hmac.compare_digest(_mac(key, content).encode(), mac.encode()) for key in self._keys if key_id(key) == of
        )

    def encrypted(self, document: bytes) -> bytes:
        """The document, readable with the current key only."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        shown = {
            "format": FORMAT,
            "cipher": "AES-256-GCM",
            "key_derivation": "HKDF-SHA256",
            "key_id": self.current_id,
            "salt": base64.b64encode(salt).decode(),
            "nonce": base64.b64encode(nonce).decode(),
        }
        header = json.dumps(shown).encode() + b"\n"
        return header + AESGCM(_derived(self._keys[0], salt)).encrypt(nonce, document, header)

    def decrypted(self, content: bytes, name: str) -> bytes:
        """The document called `name`. Raises WrongKey; OperatorError where it was changed or is none."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        header = content[: content.find(b"\n", 0, _HEADER_AT_MOST) + 1]
        try:
            shown = json.loads(header)
            wanted, salt, nonce = shown["key_id"], base64.b64decode(shown["salt"]), base64.b64decode(shown["nonce"])
        except (ValueError, KeyError, TypeError):
            raise OperatorError(f"{name} is no encrypted configuration.", "Use another set.") from None
        for key in self._keys:
            if key_id(key) == wanted:
                try:
                    return AESGCM(_derived(key, salt)).decrypt(nonce, content[len(header) :], header)
                except (InvalidTag, ValueError):
                    raise OperatorError(
                        f"{name} is damaged: it was changed after it was encrypted.", "Use another set."
                    ) from None
        ours = ", ".join(key_id(key) for key in self._keys) or "none"
        raise WrongKey(
            f"{name} is encrypted with the key {str(wanted)[:40]}; the keys here are: {ours}.",
            "Put that key into MLFLOW_OPS_BACKUP_KEYS_OLD.",
        )


def key_id(key: bytes) -> str:
    """A short name of a key, from which it cannot be found."""
    return hashlib.sha256(b"mlflow-ops key id" + key).hexdigest()[:12]


def _mac(key: bytes, content: bytes) -> str:
    return hmac.new(_derived(key, None, _SIGNING), content, hashlib.sha256).hexdigest()


def _derived(key: bytes, salt: bytes | None, purpose: bytes = _PURPOSE) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=purpose).derive(key)
