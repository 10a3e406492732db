"""docs/decrypt.py, which knows nothing of ours: what it takes, and what it refuses."""

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from workers.operations.backup.artifacts import object_keys
from workers.operations.backup.artifacts.listing import Entry
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import DatabasePart, Manifest, Stored
from workers.operations.backup.sealing import CHUNK
from workers.operations.backup.signing import signed

NAME, OTHER = "sets/20261130T000000Z-abcdef/", "sets/20261129T000000Z-fedcba/"
OLD, NEW = b"o" * 32, b"n" * 32
DUMP = b"PGDMP" + os.urandom(2 * CHUNK)


@pytest.fixture
def run(documents, tmp_path):
    """Runs it in a folder with the keys that are given."""

    def run(*arguments, keys=(NEW, OLD)):
        return subprocess.run(
            [sys.executable, "-I", documents.DOCS / "decrypt.py", *arguments],
            env={"MLFLOW_OPS_BACKUP_KEY": ",".join(base64.b64encode(key).decode() for key in keys)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def made(folder, key=NEW, name=NAME, dump=DUMP):
    keys, stored = Keys((key,)), f"{name}database.dump.enc"
    folder.mkdir()
    (folder / "database.dump.enc").write_bytes(keys.encrypted(dump, stored))
    when = datetime.now(UTC)
    version = {"database": "m", "server_version": "18", "pg_dump_version": "18"}
    part = DatabasePart(dump=Stored(key=stored, bytes=1, sha256="ü"), **version)
    told = Manifest(name=name, id=name[-7:-1], started_at=when, finished_at=when, database=part)
    (folder / "manifest.json").write_bytes(signed(told, keys).text())


@pytest.mark.parametrize("key", [OLD, NEW])
def test_a_set_is_verified_and_decrypted_with_any_of_the_keys(run, tmp_path, key):
    made(tmp_path / "set", key)
    done = run("set", NAME, "set")
    assert (done.returncode, done.stdout) == (0, "signed\n"), done.stderr
    assert (tmp_path / "set" / "database.dump").read_bytes() == DUMP
    assert run("set", NAME, "set", keys=[b"x" * 32]).returncode != 0


def of_another_set(folder):
    made(folder.parent / "other", name=OTHER)
    (folder / "database.dump.enc").write_bytes((folder.parent / "other" / "database.dump.enc").read_bytes())


def cut_at_a_chunk(folder):
    body = (folder / "database.dump.enc").read_bytes()
    (folder / "database.dump.enc").write_bytes(body[: body.index(b"\n") + 1 + 2 * (CHUNK + 16)])


def exchanged_chunks(folder):
    body = (folder / "database.dump.enc").read_bytes()
    at, size = body.index(b"\n") + 1, CHUNK + 16
    first, second = body[at : at + size], body[at + size : at + 2 * size]
    (folder / "database.dump.enc").write_bytes(body[:at] + second + first + body[at + 2 * size :])


def more_rows(folder):
    told = json.loads((folder / "manifest.json").read_text())
    told["database"]["rows"] = {"runs": 1}
    (folder / "manifest.json").write_text(json.dumps(told))


def a_manifest_of_another_set(folder):
    made(folder.parent / "other", name=OTHER)
    (folder / "manifest.json").write_bytes((folder.parent / "other" / "manifest.json").read_bytes())


def no_signature(folder):
    told = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(told | {"signature": None}))


@pytest.mark.parametrize(
    "forgery",
    [of_another_set, cut_at_a_chunk, exchanged_chunks, more_rows, a_manifest_of_another_set, no_signature],
)
def test_what_is_not_as_it_was_written_is_refused(run, tmp_path, forgery):
    made(tmp_path / "set")
    forgery(tmp_path / "set")
    done = run("set", NAME, "set")
    assert done.returncode != 0
    assert any(word in done.stderr for word in ("FORGED", "NOT SIGNED", "was written as", "InvalidTag")), done.stderr


def test_artifacts_come_by_bucket_encrypted_or_not(run, tmp_path):
    keys, kept = Keys((OLD,)), {"a/b.txt": "objects/a/b.txt!/" + "0" * 32, "c": "objects/!other/c!/" + "1" * 32}
    for key, content in {"a/b.txt": keys.encrypted(b"one", kept["a/b.txt"]), "c": b"two\nlines"}.items():
        path = tmp_path / kept[key]
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    lines = [
        Entry("c", 9, "", "", kept["c"], "sha256", "", bucket="other").line(),
        Entry("a/b.txt", 3, "", "", kept["a/b.txt"], "sha256", "", key_id=keys.current_id, stored=9).line(),
        b'{"end": true, "objects": 2, "bytes": 12}\n',
    ]
    (tmp_path / "artifacts.jsonl").write_bytes(b"".join(lines))
    done = run("artifacts", "artifacts.jsonl", "objects", "to")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "to" / "own" / "a" / "b.txt").read_bytes() == b"one"
    assert (tmp_path / "to" / "other" / "c").read_bytes() == b"two\nlines"
    outside = tmp_path / "outside"
    (tmp_path / "artifacts.jsonl").write_bytes(Entry(str(outside), 9, "", "", kept["c"], "sha256", "").line())
    run("artifacts", "artifacts.jsonl", "objects", "to")
    assert not outside.exists()
    (tmp_path / "artifacts.jsonl").write_bytes(Entry("../../x", 9, "", "", kept["c"], "sha256", "").line())
    assert "would leave" in run("artifacts", "artifacts.jsonl", "objects", "to").stderr


def test_artifacts_of_a_bundle_are_each_taken_from_their_place_and_from_no_other(run, tmp_path):
    keys, bundle = Keys((NEW,)), object_keys.bundle()
    contents = {f"run/{number}": f"content {number}".encode() * number for number in range(5)}
    body, lines = b"", []
    for key, content in contents.items():
        entry = Entry(key, len(content), "", "", bundle, "sha256", "", key_id=keys.current_id, at=len(body))
        stored = keys.encrypted(content, entry.name)
        lines.append(replace(entry, stored=len(stored)))
        body += stored
    path = tmp_path / bundle
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    listing = tmp_path / "artifacts.jsonl"
    listing.write_bytes(b"".join(each.line() for each in lines))
    done = run("artifacts", "artifacts.jsonl", "objects", "to")
    assert done.returncode == 0, done.stderr
    assert {key: (tmp_path / "to" / "own" / key).read_bytes() for key in contents} == contents
    one, other = (body[each.at : each.at + each.stored] for each in lines[2:4])
    shorter, plain = replace(lines[3], stored=200), replace(lines[3], at=lines[3].at + 1)
    moved = replace(lines[2], stored=len(other))
    for wrong, held in ((shorter, body), (plain, body), (moved, body.replace(one + other, other + one))):
        path.write_bytes(held)
        listing.write_bytes(wrong.line())
        refused = run("artifacts", "artifacts.jsonl", "objects", "to")
        assert refused.returncode != 0
        assert any(each in refused.stderr for each in ("was written as", "InvalidTag", "is not encrypted"))
