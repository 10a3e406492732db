"""A base backup whose tar is not what its manifest says is none, whatever has happened to it."""

import hashlib
import io
import json
import tarfile

import pytest

from workers.errors import OperatorError
from workers.operations.backup.wal import tar_check

LABEL = b"START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\nCHECKPOINT LOCATION: 0/3000060\n"
FILES = {"backup_label": LABEL, "PG_VERSION": b"18\n", "base/1/1259": b"\x00\x01" * 5000, "empty": b""}


def manifest(files, **changed):
    """As PostgreSQL writes it: its own checksum last, over all before."""
    entries = [
        {
            "Path": name,
            "Size": len(content),
            "Checksum-Algorithm": "SHA256",
            "Checksum": hashlib.sha256(content).hexdigest(),
        }
        for name, content in files.items()
    ]
    told = {
        "PostgreSQL-Backup-Manifest-Version": 1,
        "Files": entries,
        "WAL-Ranges": [{"Timeline": 1, "Start-LSN": "0/3000028", "End-LSN": "0/3000120"}],
        **changed,
    }
    text = json.dumps(told)[:-1].encode() + b",\n"
    return text + b'"Manifest-Checksum": "' + hashlib.sha256(text).hexdigest().encode() + b'"}\n'


def tar(files, told):
    """A tar of them with that manifest."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as made:
        for name, content in [*files.items(), *([("backup_manifest", told)] if told else [])]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return written.getvalue()


def check(content):
    return tar_check.check(io.BytesIO(content), lambda _: None)


def test_a_whole_one_says_where_its_wal_begins_and_ends():
    found = check(tar(FILES, manifest(FILES)))

    assert (found.starts, found.checkpoint, found.ends) == ("0/3000028", "0/3000060", "0/3000120")
    assert (found.files, found.bytes) == (4, sum(map(len, FILES.values())))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tar({**FILES, "PG_VERSION": b"17\n"}, manifest(FILES)), "PG_VERSION differ"),
        (tar({name: FILES[name] for name in FILES if name != "base/1/1259"}, manifest(FILES)), "base/1/1259 differ"),
        (tar(FILES, None), "no manifest"),
        (tar(FILES, manifest(FILES).replace(b'"Size": 3', b'"Size": 4')), "changed on its way"),
        (tar(FILES, b"{}"), "no manifest"),
        (tar(FILES, manifest(FILES))[:6000], "no whole tar|no manifest|differ"),
        (b"", "no whole tar|no manifest"),
        (tar({**FILES, "backup_label": b"?"}, manifest({**FILES, "backup_label": b"?"})), "where its WAL starts"),
    ],
    ids=["changed", "missing", "without", "forged", "empty", "cut", "nothing", "label"],
)
def test_any_other_is_refused(content, words):
    with pytest.raises(OperatorError, match=words):
        check(content)
