#!/usr/bin/env python3
"""A backup set without mlflow-ops: verifies and decrypts it with python3-cryptography alone.

    decrypt.py verify SET                     the signature of SET/manifest.json, and the SHA-256 of every part
    decrypt.py open KEY < OBJECT > PLAIN      one object; KEY is its name in the bucket: sets/… or objects/…
    decrypt.py artifacts LISTING OBJECTS TO   every artifact of a decompressed listing, its checksum compared

MLFLOW_OPS_BACKUP_KEY holds the key, or several with commas. Data keys of KMS are unwrapped by the program aws.
"""

import base64, hashlib, hmac, json, os, pathlib, subprocess, sys  # noqa: E401

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC, SEALED, AWS = b"mlflow-ops-encrypted 1 ", (1 << 20) + 16, "aws kms decrypt --output text --query Plaintext"
GIVEN = [base64.b64decode(each) for each in os.environ.get("MLFLOW_OPS_BACKUP_KEY", "").split(",") if each]
KEYS = {hashlib.sha256(b"mlflow-ops key id" + key).hexdigest()[:12]: key for key in GIVEN}


def derived(shown, salt, purpose):
    wrapped, name = shown.get("data_key"), shown.get("data_key") or shown["key_id"]
    if wrapped and name not in KEYS:
        command = f"{AWS} --encryption-context mlflow-ops=backup --key-id {shown['key_id'].removeprefix('kms:')}"
        told = subprocess.run([*command.split(), "--ciphertext-blob", wrapped], check=True, capture_output=True)
        KEYS[name] = base64.b64decode(told.stdout)
    return HKDF(hashes.SHA256(), 32, salt, purpose).derive(KEYS[name])


def plain(stream, name):
    line = stream.readline(1 << 14)
    if not line.startswith(MAGIC):
        yield line
        yield from iter(lambda: stream.read(SEALED), b"")
        return
    shown = json.loads(line.removeprefix(MAGIC))
    assert shown["name"] == name, f"{name} was written as {shown['name']}"
    cipher = AESGCM(derived(shown, base64.b64decode(shown["salt"]), b"mlflow-ops backup stream 1"))
    number, chunk, following = 0, stream.read(SEALED), b"-"
    while following:
        following = stream.read(SEALED)
        yield cipher.decrypt(number.to_bytes(11, "big") + bytes([not following]), chunk, line)
        number, chunk = number + 1, following


def verify(folder):
    document = json.loads(pathlib.Path(folder, "manifest.json").read_bytes())
    signature, parts = document.pop("signature"), (each for each in document.values() if isinstance(each, dict))
    bound = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    mac = hmac.new(derived(signature, None, b"mlflow-ops backup manifest 1"), bound, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(mac, signature["mac"]), "the manifest was changed since it was signed"
    for stored in [each for part in parts for each in part.values() if isinstance(each, dict) and "sha256" in each]:
        with open(pathlib.Path(folder, stored["key"].rpartition("/")[2]), "rb") as file:
            right = hashlib.file_digest(file, "sha256").hexdigest() == stored["sha256"]
        assert right, f"{stored['key']} is not what was written"
        print(f"{stored['key']}: OK")


def artifacts(listing, objects, to):
    for entry in (each for each in map(json.loads, open(listing, encoding="utf-8")) if "key" in each):
        assert ".." not in entry["key"].split("/"), entry["key"]
        path, kept = pathlib.Path(to, entry["key"]), pathlib.Path(objects, entry["kept"].removeprefix("objects/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        ((kind, wanted),) = entry["checksum"].items()
        digest = hashlib.new(kind.removesuffix("-parts"), usedforsecurity=False)
        with open(kept, "rb") as stream, open(path, "wb") as written:
            for piece in plain(stream, entry["kept"]):
                digest.update(piece)
                written.write(piece)
        assert kind.endswith("-parts") or digest.hexdigest() == wanted, f"{entry['key']} is not what was kept"


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "open":
        sys.stdout.buffer.writelines(plain(sys.stdin.buffer, *given))
    else:
        {"verify": verify, "artifacts": artifacts}[what](*given)
