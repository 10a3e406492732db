"""The manifest of a set: what it holds, and how each part is known to be right. Written last; without it, no set.

What stands here is what `backup show` shows, what `verify` compares with and what a restore goes by. Fields are only
ever added: a newer version must read the sets of an older one, and an older one says that it cannot.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.errors import OperatorError, SetDamaged
from workers.systems import fencing
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems.s3.transfer import Transfer

NAME: Final = "manifest.json"
FORMAT: Final = 2
AT_MOST: Final = 4 << 20
"""Bytes; a thousand tables need a tenth of that."""


_LOSSES: Final = 4
"""That a sentence names."""


class ManifestDamaged(SetDamaged):
    """A manifest is there and cannot be read."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Stored(_Part):
    """An object of the set. key: in the bucket. sha256: of its bytes as they are there, in hexadecimal.

    key_id: of the key that it is encrypted with; empty where it is not, or where the set is from before that was noted.
    """

    key: str
    bytes: int
    sha256: str
    key_id: str = ""


class DatabasePart(_Part):
    """A dump in pg_dump's custom format. apart: dumps of the rows of the largest tables, which `dump` does not have.

    rows: by table, at the moment of the dump. entries: in its table of contents. alembic_revision: of MLflow's schema.
    catalog: what it was like besides its rows, where that was recorded. roles: whom that names. system: the server's
    identifier where its WAL is kept, so that what is kept of it is known again.
    """

    dump: Stored
    apart: tuple[Stored, ...] = ()
    database: str
    server_version: str
    pg_dump_version: str
    alembic_revision: str = ""
    rows: dict[str, int] = {}
    entries: int = 0
    catalog: Stored | None = None
    roles: tuple[str, ...] = ()
    size_bytes: int = Field(0, description="of the live database, on the server's disk")
    system: str = ""
    seconds: float = 0.0

    @property
    def dumps(self) -> tuple[Stored, ...]:
        """All of them, the one with the definitions first."""
        return (self.dump, *self.apart)

    @property
    def held(self) -> str:
        """How much it holds: 65 tables, 3,682 rows."""
        return f"{count(len(self.rows), 'table')}, {count(sum(self.rows.values()), 'row')}"

    @property
    def bytes(self) -> int:
        """Of all dumps, as they are stored."""
        return sum(each.bytes for each in self.dumps)

    @property
    def sha256(self) -> str:
        """That tells these dumps from others: the dump's own if it is the only one."""
        if not self.apart:
            return self.dump.sha256
        return hashlib.sha256(" ".join(each.sha256 for each in self.dumps).encode()).hexdigest()


class OtherBucket(_Part):
    """Another bucket of the artifacts' store, of which a set holds what experiments keep there."""

    bucket: str
    objects: int
    bytes: int


class Elsewhere(_Part):
    """A place of artifacts that is in no set, and why. experiments: how many have it; names: of the first few."""

    place: str
    why: str
    experiments: int
    names: tuple[str, ...] = ()


class ArtifactsPart(_Part):
    """A listing of artifacts. bytes: of all of them. copied: what earlier sets did not have.

    changed and vanished: the first hundred keys of those that did so while they were copied. left_out: the first
    hundred that could not be read, each with the reason; left_out_objects, left_out_bytes: of all of them. others: what
    of it is in other buckets. elsewhere: places of artifacts that are not in it. storage_classes: how many artifacts
    had another than the store's default; attributes: how many had what a restore does not set again, of each kind (none
    is seen where the store copies artifacts by itself); acls: that they may have some. key_id: of the key that all
    their bytes are encrypted with, or with older ones; empty where they are kept as they are.
    """

    listing: Stored
    bucket: str
    objects: int
    bytes: int
    copied_objects: int = 0
    copied_bytes: int = 0
    changed: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    left_out_objects: int = 0
    left_out_bytes: int = 0
    key_id: str = ""
    others: tuple[OtherBucket, ...] = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    storage_classes: dict[str, int] = {}
    attributes: dict[str, int] = {}
    acls: str = ""
    seconds: float = 0.0

    @property
    def missing(self) -> int:
        """How many experiments have artifacts in a place that is not in the set."""
        return sum(each.experiments for each in self.elsewhere)


class ConfigurationPart(_Part):
    """The cluster's objects as YAML. key_id: of the key that it is encrypted with; empty where it is not.

    objects: as kind/name. left_out: what is not in it, each in a sentence.
    """

    document: Stored
    key_id: str = ""
    secrets: bool = False
    objects: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0


class Signature(_Part):
    """Who made the set (signing.py). key_id: of the backup key behind the signing key. mac: in hexadecimal.

    data_key: the wrapped one, where the key is a key service's.
    """

    algorithm: str
    key_id: str
    mac: str
    data_key: str = ""


class Manifest(_Part):
    """A whole set. name: "sets/…/". id: the short one. target: the MLflow that it was made of. Times are UTC.

    signature: None where there was no key to sign with. shrank: what it lost against the set `shrank_since` (an id),
    each in a few words. explained: what it lost by a command of ours, with who asked for it. accepted: a person said
    that this was meant.
    """

    format: int = FORMAT
    name: str
    id: str
    target: str = ""
    started_at: datetime
    finished_at: datetime
    mlflow_version: str = ""
    database: DatabasePart | None = None
    auth_database: DatabasePart | None = None
    artifacts: ArtifactsPart | None = None
    configuration: ConfigurationPart | None = None
    warnings: tuple[str, ...] = ()
    shrank: tuple[str, ...] = ()
    shrank_since: str = ""
    explained: tuple[str, ...] = ()
    accepted: bool = False
    locked_until: datetime | None = None
    signature: Signature | None = None

    @property
    def shrunk(self) -> bool:
        """Whether it lost something, and nobody has accepted that: then it is not latest."""
        return bool(self.shrank) and not self.accepted

    @property
    def losses(self) -> str:
        """What it lost, as in "1 table: metrics; 500 of 600 artifacts"."""
        more = len(self.shrank) - _LOSSES
        return "; ".join(self.shrank[:_LOSSES]) + (f"; and {more} more" if more > 0 else "")

    @property
    def parts(self) -> tuple[str, ...]:
        """What it holds: database, artifacts, config."""
        held = {"database": self.database, "artifacts": self.artifacts, "config": self.configuration}
        return tuple(name for name, part in held.items() if part)

    @property
    def stored(self) -> tuple[Stored, ...]:
        """Every object of the set but the manifest."""
        parts = [part for part in (self.database, self.auth_database) if part]
        databases = [each for part in parts for each in (*part.dumps, part.catalog) if each]
        artifacts = [self.artifacts.listing] if self.artifacts else []
        return (*databases, *artifacts, *([self.configuration.document] if self.configuration else []))

    @property
    def encrypted(self) -> str:
        """What of it is, in words."""
        databases = (("database", self.database), ("auth database", self.auth_database))
        ids = {name: part.dump.key_id for name, part in databases if part}
        ids |= {"artifacts": self.artifacts.key_id} if self.artifacts else {}
        ids |= {"configuration": self.configuration.key_id} if self.configuration else {}
        sealed = [name for name, key_id in ids.items() if key_id]
        plain = [name for name, key_id in ids.items() if not key_id]
        if not sealed:
            return "nothing: all of it is as it is"
        return f"{', '.join(sealed)}, with key {ids[sealed[0]]}" + (f"; as they are: {', '.join(plain)}" * bool(plain))

    @property
    def checksums(self) -> dict[str, str]:
        """The SHA-256 of each stored object by its file's name: what a plan rests on."""
        return {each.key.rpartition("/")[2]: each.sha256 for each in self.stored}

    def text(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def read(content: bytes, name: str) -> tuple[Manifest, dict[str, Any]]:
    """A stored manifest of the set `name`, and the document as it stands. Raises ManifestDamaged.

    Parsed once: were it parsed once to verify and again to use, two parsers might read two things.
    """
    try:
        document = json.loads(content)
        found = Manifest.model_validate(document)
    except (ValidationError, ValueError, RecursionError):
        raise ManifestDamaged(
            f"The manifest of {name} cannot be read.", "Use another set: /mlflow backup list."
        ) from None
    if found.format > FORMAT:
        raise ManifestDamaged(
            f"The set {name} was made by a newer version of mlflow-ops (format {found.format}).",
            "Read it with that version.",
        )
    if found.name != name:
        raise ManifestDamaged(
            f"The manifest in {name} is that of {found.name[:60]}: someone moved or copied it.", "Use another set."
        )
    if any(each.key.rpartition("/")[0] != name.rstrip("/") for each in found.stored):
        raise ManifestDamaged(f"The manifest of {name} names parts of another set.", "Use another set.")
    return found, document


def store(made: Manifest, transfer: Transfer, bucket: str) -> None:
    """Write a manifest, and read it back. Raises ObjectsError; OperatorError where it came back changed."""
    fencing.before_changing()
    content, key = made.text(), f"{made.name}{NAME}"
    transfer.put(bucket, key, content)
    _, pieces = transfer.open(bucket, key)
    if b"".join(pieces) != content:
        transfer.delete(bucket, [key])
        raise OperatorError("The manifest came back changed: there is no set.", "Check the store; then ask again.")
