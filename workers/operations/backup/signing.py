"""Whose set is it: a manifest is signed with a key that only those who hold the backup key can derive.

Signed is the manifest as it stands in the bucket, as canonical JSON without its signature: the set's name, its target,
the format, and each part's size and SHA-256; so the listing too, and by it every artifact's checksum. Whoever can only
write into the bucket can neither make a set, nor change one, nor move an older one under a newer name.

Trap this avoids: what is signed is the document, not the fields that this version knows, so a newer version's sets can
be verified by an older one, and no field is ever outside the signature.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from workers.errors import OperatorError
from workers.operations.backup.encryption import NAME_END, Keys
from workers.operations.backup.manifest import Manifest, Signature

if TYPE_CHECKING:
    from workers.settings import Settings

ALGORITHM: Final = "HMAC-SHA256"
NOT_SIGNED: Final = (
    "NOT SIGNED, NOT ENCRYPTED: MLFLOW_OPS_BACKUP_KEY is not set, so anyone who can write to the bucket can forge a "
    "set, and anyone who can read it has the database and the artifacts."
)
_ANOTHER: Final = "Use another set: /mlflow backup list."


class NotOurs(OperatorError):  # noqa: N818 - named after what happened
    """A set that is not believed. why: in a few words, as a list shows it."""

    def __init__(self, why: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.why = why


@dataclass(frozen=True)
class Trust:
    """By what a set is judged. keys: None where no key to sign with is set; then what is not signed is believed.

    known: every key that verifies. target: whose sets are ours. unsigned: believe also what is not signed, or is
    signed with a key that is not here, as after that was lost; never what a key of ours disproves. elsewhere: believe
    what was made of another target.
    """

    keys: Keys | None
    known: Keys
    target: str
    unsigned: bool = False
    elsewhere: bool = False

    @classmethod
    def of(cls, settings: Settings, *, unsigned: bool = False, elsewhere: bool = False) -> Self:
        """From MLFLOW_OPS_BACKUP_KEY, …_KEYS_OLD and MLFLOW_OPS_TARGET."""
        return cls(Keys.of(settings), Keys.all_of(settings), settings.environment.target, unsigned, elsewhere)

    def judge(self, found: Manifest, document: dict[str, Any]) -> None:
        """Raise NotOurs where a set is not believed. document: the manifest as it is stored."""
        if found.signature is None:
            self._unsigned(found)
        else:
            self._signed(found, found.signature, document)
        if found.target not in {"", self.target} and not self.elsewhere:
            raise NotOurs(
                f"of the target {found.target}",
                f"The backup {found.id} was made of the target {found.target}, not of {self.target}.",
                "If you mean it all the same, say --from-elsewhere.",
            )

    def _unsigned(self, found: Manifest) -> None:
        if self.keys is None or self.unsigned:
            return
        plain = found.configuration is not None and not found.configuration.key_id
        also = ", and its configuration is not encrypted, although a key is set" if plain else ""
        raise NotOurs(
            "not signed",
            f"The backup {found.id} is not signed{also}: it was made before there was a key, or someone else made it.",
            f"If you know where it comes from: /mlflow backup sign {found.id}. {_ANOTHER}",
        )

    def _signed(self, found: Manifest, signature: Signature, document: dict[str, Any]) -> None:
        if signature.key_id not in self.known.ids:
            # Whoever could sign with a key of his own could leave the signature out as well.
            if self.keys is None or self.unsigned:
                return
            raise unknown_key(found.id, signature, self.known)
        proven = partial(self.known.proves, signature.key_id, signature.mac, _bound(document), signature.data_key)
        if signature.algorithm != ALGORITHM or not proven():
            raise NotOurs(
                "changed since it was signed",
                f"The backup {found.id} was changed since it was signed: its manifest doesn't match its signature.",
                f"Someone who shouldn't can write to the bucket. {_ANOTHER}",
            )

    def unproven(self, found: Manifest) -> tuple[str, ...]:
        """What is not known of a set that is believed without proof, a sentence each; nothing if it is proven."""
        by = found.signature
        if self.keys is None or (by and by.key_id in self.known.ids):
            return ()
        plain: list[str] = []
        ours: list[str] = []
        lost: list[str] = []
        for each in found.stored:
            # What is encrypted is read only if it was encrypted with a key of ours, for this set and this name.
            place = plain if not each.key.endswith(NAME_END) else lost if self._lost(each.key_id) else ours
            place.append(each.key.rpartition("/")[2])
        what = f"signed with the key {by.key_id[:200]}, which isn't here" if by else "not signed"
        unknown = (
            f"NOT PROVEN: the backup {found.id} is {what}. Not known: who made it, whether it's of the time and of the "
            "MLflow that it names, and whether its numbers of rows and artifacts are those that were backed up."
        )
        told = [unknown]
        if plain:
            told.append(
                f"Not known either: whether {', '.join(plain)} are what was backed up. Their checksums only show that "
                "they fit the manifest, and whoever can write to the bucket can write both."
            )
        if ours:
            told.append(
                f"Known all the same: {', '.join(ours)} are encrypted with a key of ours for this very set, and aren't "
                "used if they were changed or exchanged."
            )
        if lost:
            told.append(f"Can't be read without the key that is missing: {', '.join(lost)}.")
        return tuple(told)

    def _lost(self, key_id: str) -> bool:
        return bool(key_id) and key_id not in self.known.ids


def unknown_key(set_id: str, signature: Signature, known: Keys) -> NotOurs:
    """That a set is signed with none of these keys, and what to do."""
    return NotOurs(
        f"signed with the unknown key {signature.key_id[:12]}",
        f"The backup {set_id} is signed with the key {signature.key_id[:200]}; the keys here are: "
        f"{', '.join(known.ids)}.",
        "If it's one of yours, put it into MLFLOW_OPS_BACKUP_KEYS_OLD. If that key is lost and you have no other set, "
        f"an admin can restore {set_id} unproven: --unsigned --break-glass REASON. Otherwise it's forged.",
    )


def signed(made: Manifest, keys: Keys) -> Manifest:
    """The same manifest with a signature by the current key."""
    plain = made.model_copy(update={"signature": None})
    return made.model_copy(update={"signature": signature(json.loads(plain.text()), keys)})


def signature(document: dict[str, Any], keys: Keys) -> Signature:
    """By the current key, of a document as it is stored, whose own `signature` does not count."""
    mac, data_key = keys.proof(_bound(document)), keys.current.wrapped
    return Signature(algorithm=ALGORITHM, key_id=keys.current_id, mac=mac, data_key=data_key)


def _bound(document: dict[str, Any]) -> bytes:
    """What is signed: keys sorted, no white space, only ASCII."""
    bound = {name: value for name, value in document.items() if name != "signature"}
    return json.dumps(bound, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
