#!/usr/bin/env python3
"""A backup set without mlflow-ops: verified and decrypted with python3-cryptography alone.

    decrypt.py set NAME FOLDER                verify the signature of the set (or archive of logs) NAME, and decrypt
                                              its parts in FOLDER
    decrypt.py artifacts LISTING OBJECTS TO   every artifact of a listing into TO/own, or TO/BUCKET if in another one

MLFLOW_OPS_BACKUP_KEY holds the key, or several with commas. Data keys of KMS are unwrapped by the program aws.
"""

import base64, hashlib, hmac, io, json, os, pathlib, subprocess, sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC, CHUNK = b"mlflow-ops-encrypted 1 ", (1 << 20) + 16
AWS = "aws kms decrypt --output text --query Plaintext --encryption-context mlflow-ops=backup --key-id"
GIVEN = [base64.b64decode(each) for each in os.environ.get("MLFLOW_OPS_BACKUP_KEY", "").split(",") if each]
KEYS = {hashlib.sha256(b"mlflow-ops key id" + key).hexdigest()[:12]: key for key in GIVEN}


def derived(shown, salt, purpose):
    wrapped = shown.get("data_key")
    if wrapped and wrapped not in KEYS:
        asked = [*AWS.split(), shown["key_id"].removeprefix("kms:"), "--ciphertext-blob", wrapped]
        KEYS[wrapped] = base64.b64decode(subprocess.run(asked, check=True, capture_output=True).stdout)
    key = KEYS.get(wrapped or shown["key_id"]) or sys.exit(f"the key {shown['key_id']} is not among those given")
    return HKDF(hashes.SHA256(), 32, salt, purpose).derive(key)


def decrypted(stored, name, to, at=None, length=-1):
    """Write what `stored` holds as `name` (in a bundle, from `at` on) to the file `to`. length: 0 if it is plain."""
    with open(stored, "rb") as held, open(to, "wb") as written:
        held.seek(at or 0)
        file, name = (held, name) if at is None else (io.BytesIO(held.read(length)), f"{name}+{at}")
        line = file.readline(1 << 14)
        if length and not line.startswith(MAGIC):
            sys.exit(f"{stored} is not encrypted, and should be")
        if not line.startswith(MAGIC):
            written.writelines((line, *iter(lambda: file.read(CHUNK), b"")))
            return
        shown, number, chunk, following = json.loads(line.removeprefix(MAGIC)), 0, file.read(CHUNK), b"-"
        if shown["name"] != name:
            sys.exit(f"{stored} was written as {shown['name']}, not as {name}")
        cipher = AESGCM(derived(shown, base64.b64decode(shown["salt"]), b"mlflow-ops backup stream 1"))
        while following:  # the last chunk says that it is the last, each one which it is
            following = file.read(CHUNK)
            written.write(cipher.decrypt(number.to_bytes(11, "big") + bytes([not following]), chunk, line))
            number, chunk = number + 1, following


def whole_set(name, folder):
    told = json.loads(pathlib.Path(folder, "manifest.json").read_bytes())
    signature = told.pop("signature") or sys.exit("NOT SIGNED: there was no key when this set was made")
    bound = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    mac = hmac.digest(derived(signature, None, b"mlflow-ops backup manifest 1"), bound, "sha256").hex()
    if not hmac.compare_digest(mac, signature["mac"]) or told["name"] != name:
        sys.exit("FORGED: the manifest was changed since it was signed, or is another set's")
    print("signed")
    for path in sorted(pathlib.Path(folder).rglob("*.enc")):
        decrypted(path, f"{name}{path.relative_to(folder).as_posix()}", path.with_suffix(""))


def artifacts(listing, objects, to):
    for entry in (each for each in map(json.loads, open(listing, encoding="utf-8")) if "key" in each):
        path = pathlib.Path(to, entry.get("bucket", "own").lstrip("/"), entry["key"].lstrip("/"))
        if ".." in path.parts:
            sys.exit(f"{entry['key']} would leave {to}")
        path.parent.mkdir(parents=True, exist_ok=True)
        kept, length = pathlib.Path(objects, entry["kept"].removeprefix("objects/")), entry.get("encrypted", {})
        decrypted(kept, entry["kept"], path, entry.get("at"), length.get("bytes", 0))


if __name__ == "__main__":
    {"set": whole_set, "artifacts": artifacts}[sys.argv[1]](*sys.argv[2:])
