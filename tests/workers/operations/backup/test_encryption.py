"""Documents, encrypted: each opens with the right key and under its own name only, and notices every change."""

import base64
import json
import secrets

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from workers import settings
from workers.errors import OperatorError
from workers.operations.backup.encryption import Keys, WrongKey, for_configuration, for_data


def key():
    return base64.b64encode(secrets.token_bytes(32)).decode()


def keys(current=None, *old):
    environ = {"MLFLOW_OPS_BACKUP_KEY": current or key()}
    if old:
        environ["MLFLOW_OPS_BACKUP_KEYS_OLD"] = ",".join(old)
    return Keys.of(settings.load(environ))


OURS = keys()
"""Once for all examples: a process that learns a secret for each is slow in the end."""


@given(st.binary(max_size=5000))
@hypothesis_settings(max_examples=30)
@example(b"mlflow-ops-encrypted")
def test_what_is_encrypted_comes_back(document):
    stored = OURS.encrypted(document, "it")
    assert OURS.decrypted(stored, "it") == document
    # Its first line is not encrypted, and says what it is.
    assert len(document) < 8 or document not in stored.partition(b"\n")[2]


def test_no_two_documents_are_alike():
    ours = keys()
    assert ours.encrypted(b"same", "it") != ours.encrypted(b"same", "it")


def test_every_flipped_bit_is_noticed():
    ours = keys()
    stored = ours.encrypted(b"kind: Secret", "it")
    for place in range(len(stored)):
        changed = bytearray(stored)
        changed[place] ^= 1
        with pytest.raises(OperatorError):
            ours.decrypted(bytes(changed), "it")


def test_another_key_is_named_and_an_old_one_reads():
    first, second = key(), key()
    name = "sets/x/config.yaml.enc"
    stored = keys(first).encrypted(b"document", name)
    with pytest.raises(WrongKey, match=keys(first).current_id) as raised:
        keys(second).decrypted(stored, name)
    assert "MLFLOW_OPS_BACKUP_KEYS_OLD" in raised.value.hint
    assert first not in str(raised.value)
    rotated = keys(second, key(), first)
    assert rotated.decrypted(stored, name) == b"document"
    assert rotated.current_id == keys(second).current_id


def before(document, current):
    """A document as versions before encrypted streams wrote it."""
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    shown = {
        "format": "mlflow-ops configuration 1",
        "key_id": keys(current).current_id,
        "salt": base64.b64encode(salt).decode(),
        "nonce": base64.b64encode(nonce).decode(),
    }
    header = json.dumps(shown).encode() + b"\n"
    purpose = b"mlflow-ops backup configuration 1"
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=purpose).derive(base64.b64decode(current))
    return header + AESGCM(derived).encrypt(nonce, document, header)


def test_documents_of_before_are_read_and_their_changes_noticed():
    current = key()
    stored = before(b"kind: Secret", current)
    assert keys(current).decrypted(stored, "it") == b"kind: Secret"
    assert keys(key(), current).decrypted(stored, "it") == b"kind: Secret"
    with pytest.raises(WrongKey):
        keys(key()).decrypted(stored, "it")
    for place in range(len(stored)):
        changed = bytearray(stored)
        changed[place] ^= 1
        with pytest.raises(OperatorError):
            keys(current).decrypted(bytes(changed), "it")


def test_a_proof_is_of_one_content_and_one_key_and_tells_nothing_of_names():
    current = key()
    ours = keys(current)
    proof = ours.proof(b"manifest")
    assert keys(key(), current).proves(ours.current_id, proof, b"manifest")
    assert not ours.proves(ours.current_id, proof, b"another")
    assert not ours.proves("unknown", proof, b"manifest")
    assert not keys().proves(ours.current_id, proof, b"manifest")
    assert ours.naming("x") != keys().naming("x")
    assert ours.naming("x") == keys(current).naming("x")


@pytest.mark.parametrize(("encrypt", "data", "configuration"), [("all", 1, 1), ("config", 0, 1), ("none", 0, 0)])
def test_what_is_encrypted_is_what_ops_yaml_says(tmp_path, encrypt, data, configuration):
    path = tmp_path / "ops.yaml"
    path.write_text(f"backup: {{encrypt: {encrypt}}}", encoding="utf-8")
    told = settings.load({"MLFLOW_OPS_CONFIG": str(path), "MLFLOW_OPS_BACKUP_KEY": key()})
    assert (for_data(told) is not None, for_configuration(told) is not None) == (bool(data), bool(configuration))
    without = settings.load({"MLFLOW_OPS_CONFIG": str(path)})
    assert for_data(without) is for_configuration(without) is None


def test_keys_do_not_show_themselves():
    current = key()
    assert current not in repr(keys(current))
    assert repr(base64.b64decode(current))[2:-1] not in repr(keys(current))


@pytest.mark.parametrize("wrong", ["short", "A" * 44, base64.b64encode(b"x" * 16).decode()])
def test_what_is_no_key_stops_the_program_with_a_sentence(wrong):
    with pytest.raises(settings.SettingsError, match="32 random bytes in base64") as raised:
        settings.load({"MLFLOW_OPS_BACKUP_KEY": wrong})
    assert wrong not in str(raised.value)
