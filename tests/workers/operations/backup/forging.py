"""A store with a genuine set of ours, and everything that somebody can do to it who may only write into the bucket."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import zstandard

from workers.operations.backup import configuration, sets
from workers.operations.backup.artifacts.copying import whole
from workers.operations.backup.artifacts.known import Sources
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import ArtifactsPart, ConfigurationPart, DatabasePart, Manifest, Stored
from workers.operations.backup.signing import signed

KEY = base64.b64encode(b"k" * 32).decode()
OTHER_KEY = base64.b64encode(b"o" * 32).decode()
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mlflow"}, "data": {"a": "b"}}
CATALOG = b'["owner", "table public.runs", "mlflow"]\n'
DUMP = b"PGDMP" + bytes(range(256)) * 64


def stored(place, name, file, body):
    place.s3.put_object(Bucket=place.backups, Key=f"{name}{file}", Body=body)
    return Stored(key=f"{name}{file}", bytes=len(body), sha256=hashlib.sha256(body).hexdigest())


def part(place, name, file, body, keys):
    """The same, encrypted where there are keys."""
    if keys is None:
        return stored(place, name, file, body)
    key = f"{name}{file}.enc"
    return stored(place, name, f"{file}.enc", keys.encrypted(body, key)).model_copy(update={"key_id": keys.current_id})


def made(place, when, *, keys, dump=DUMP, target="mlflow", progress=None, sign=True):
    """A set of everything, under the name of that time."""
    known = sets.names(place.systems.backups, place.backups)
    name = f"sets/{when:%Y%m%dT%H%M%SZ}-{hashlib.sha256(str(when).encode()).hexdigest()[:6]}/"
    sources = Sources(place.artifacts, place.backups, name, tuple(known[-1:]), keys=keys, encrypt=keys is not None)
    done = whole(place.systems.backups, sources, progress)
    version = {"server_version": "16.4", "pg_dump_version": "16.4"}
    found = Manifest(
        name=name,
        id=sets.id_of(name),
        target=target,
        started_at=when,
        finished_at=when + timedelta(seconds=9),
        database=DatabasePart(
            dump=part(place, name, "database.dump", dump, keys),
            catalog=part(place, name, "database.catalog.jsonl", CATALOG, keys),
            database="m",
            **version,
        ),
        auth_database=DatabasePart(
            dump=part(place, name, "auth-database.dump", dump, keys), database="auth", **version
        ),
        artifacts=ArtifactsPart(
            listing=done.listing,
            bucket=place.artifacts,
            objects=done.objects,
            bytes=done.bytes,
            key_id=keys.current_id if keys else "",
        ),
        configuration=ConfigurationPart(
            document=part(place, name, "config.yaml", configuration.Export([CONFIG]).text(), keys),
            key_id=keys.current_id if keys else "",
            secrets=keys is not None,
            objects=("configmap/mlflow",),
        ),
    )
    found = signed(found, keys) if keys and sign else found
    place.s3.put_object(Bucket=place.backups, Key=f"{name}manifest.json", Body=found.text())
    return found


def document(place, of):
    return json.loads(place.s3.get_object(Bucket=place.backups, Key=f"{of.name}manifest.json")["Body"].read())


def written(place, of, told):
    place.s3.put_object(Bucket=place.backups, Key=f"{of.name}manifest.json", Body=json.dumps(told).encode())


def replaced(place, of, told, part, file, body):
    """Other bytes under a part's key, and a manifest that knows them."""
    new = stored(place, of.name, file, body)
    told[part][{"database": "dump", "artifacts": "listing", "configuration": "document"}[part]] = new.model_dump()


def a_statement_in_the_dump(place, older, newer):
    told = document(place, newer)
    replaced(place, newer, told, "database", "database.dump", DUMP + b"DROP DATABASE mlflow;")
    written(place, newer, told)


def a_grant_in_the_catalog(place, older, newer):
    told = document(place, newer)
    grant = CATALOG + b'["grant", "table public.runs", "[\\"evil\\", \\"DELETE\\", true, \\"mlflow\\"]"]\n'
    told["database"]["catalog"] = stored(place, newer.name, "database.catalog.jsonl", grant).model_dump()
    written(place, newer, told)


def a_user_in_the_auth_database(place, older, newer):
    told = document(place, newer)
    told["auth_database"]["dump"] = stored(place, newer.name, "auth-database.dump", DUMP + b"INSERT").model_dump()
    written(place, newer, told)


def a_catalog_of_another_set(place, older, newer):
    told = document(place, newer)
    told["database"]["catalog"] = document(place, older)["database"]["catalog"]
    written(place, newer, told)


def no_signature(place, older, newer):
    told = document(place, newer)
    replaced(place, newer, told, "database", "database.dump", DUMP + b"DROP DATABASE mlflow;")
    del told["signature"]
    written(place, newer, told)


def signed_by_another(place, older, newer):
    other = Keys((b"o" * 32,))
    written(place, newer, json.loads(signed(newer, other).text()))


def another_key_named_as_ours(place, older, newer):
    told = json.loads(signed(newer, Keys((b"o" * 32,))).text())
    told["signature"]["key_id"] = newer.signature.key_id
    written(place, newer, told)


def a_plain_configuration(place, older, newer):
    told = document(place, newer)
    replaced(place, newer, told, "configuration", "config.yaml", configuration.Export([CONFIG]).text())
    told["configuration"]["key_id"] = ""
    written(place, newer, told)


def a_plain_configuration_unsigned(place, older, newer):
    a_plain_configuration(place, older, newer)
    told = document(place, newer)
    told["signature"] = None
    written(place, newer, told)


def parts_exchanged_between_sets(place, older, newer):
    told = document(place, newer)
    told["database"] = document(place, older)["database"]
    written(place, newer, told)


def a_manifest_renamed(place, older, newer):
    body = place.s3.get_object(Bucket=place.backups, Key=f"{older.name}manifest.json")["Body"].read()
    place.s3.put_object(Bucket=place.backups, Key=f"{newer.name}manifest.json", Body=body)


def an_older_set_under_a_newer_name(place, older, newer):
    told = document(place, older)
    text = json.dumps(told).replace(older.name, newer.name).replace(older.id, newer.id)
    for file in (
        "database.dump.enc",
        "auth-database.dump.enc",
        "database.catalog.jsonl.enc",
        "artifacts.jsonl.zst.enc",
        "config.yaml.enc",
    ):
        body = place.s3.get_object(Bucket=place.backups, Key=f"{older.name}{file}")["Body"].read()
        place.s3.put_object(Bucket=place.backups, Key=f"{newer.name}{file}", Body=body)
    written(place, newer, json.loads(text))


def a_field_that_no_version_knows(place, older, newer):
    told = document(place, newer)
    told["restore_hook"] = "rm -rf /"
    written(place, newer, told)


def another_target(place, older, newer):
    written(place, newer, json.loads(signed(newer.model_copy(update={"target": "staging"}), place.keys).text()))


def another_target_claimed_as_ours(place, older, newer):
    another_target(place, older, newer)
    written(place, newer, document(place, newer) | {"target": "mlflow"})


def a_bomb_for_a_manifest(place, older, newer):
    place.s3.put_object(Bucket=place.backups, Key=f"{newer.name}manifest.json", Body=b"[" * (1 << 20))


REFUSED = {
    a_statement_in_the_dump: "changed since it was signed",
    a_grant_in_the_catalog: "changed since it was signed",
    a_user_in_the_auth_database: "changed since it was signed",
    a_catalog_of_another_set: "names parts of another set",
    no_signature: "is not signed",
    signed_by_another: "is signed with the key",
    another_key_named_as_ours: "changed since it was signed",
    a_plain_configuration: "changed since it was signed",
    a_plain_configuration_unsigned: "is not signed, and its configuration is not encrypted",
    parts_exchanged_between_sets: "names parts of another set",
    a_manifest_renamed: "someone moved or copied it",
    an_older_set_under_a_newer_name: "changed since it was signed",
    a_field_that_no_version_knows: "changed since it was signed",
    another_target: "was made of the target staging",
    another_target_claimed_as_ours: "changed since it was signed",
    a_bomb_for_a_manifest: "cannot be read",
}
"""What is refused as soon as the manifest is read, and in which words."""


def cut(body):
    return body[:-1]


def statement(body):
    return body + b"DROP DATABASE mlflow;"


def bomb(_body):
    """2 GB of the same byte in 66 KB."""
    return zstandard.ZstdCompressor().compress(b"\0" * (1 << 27)) * 16


def yaml_bomb(_body):
    lines = ["a: &a [" + ",".join(["x"] * 9) + "]"]
    for old, new in pairwise("abcdefghi"):
        lines.append(f"{new}: &{new} [" + ",".join([f"*{old}"] * 9) + "]")
    return "\n".join(lines).encode()


DAMAGED = [
    ("database.dump.enc", cut),
    ("database.dump.enc", statement),
    ("database.catalog.jsonl.enc", cut),
    ("auth-database.dump.enc", statement),
    ("artifacts.jsonl.zst.enc", cut),
    ("artifacts.jsonl.zst.enc", bomb),
    ("config.yaml.enc", cut),
    ("config.yaml.enc", yaml_bomb),
]
"""Bytes of a part that are others than its signed manifest says."""


def now():
    return datetime.now(UTC).replace(microsecond=0)
