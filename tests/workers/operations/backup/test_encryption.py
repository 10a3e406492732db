"""The configuration's encryption: it opens with the right key only, and notices every change."""

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from workers import settings
from workers.errors import OperatorError
from workers.operations.backup.encryption import Keys, WrongKey


def key():
    return base64.b64encode(secrets.token_bytes(32)).decode()


def keys(current=None, *old):
    environ = {"MLFLOW_OPS_BACKUP_KEY": current or key()}
    if old:
        environ["MLFLOW_OPS_BACKUP_KEYS_OLD"] = ",".join(old)
    return Keys.of(settings.load(environ))


@given(st.binary(max_size=5000))
@hypothesis_settings(max_examples=30)
def test_what_is_encrypted_comes_back(document):
    ours = keys()
    stored = ours.encrypted(document)
    assert ours.decrypted(stored, "it") == document
    assert len(document) < 8 or document not in stored


def test_no_two_documents_are_alike():
    ours = keys()
    assert ours.encrypted(b"same") != ours.encrypted(b"same")


def test_every_flipped_bit_is_noticed():
    ours = keys()
    stored = ours.encrypted(b"kind: Secret")
    for place in range(len(stored)):
        changed = bytearray(stored)
        changed[place] ^= 1
        with pytest.raises(OperatorError):
            ours.decrypted(bytes(changed), "it")


def test_another_key_is_named_and_an_old_one_reads():
    first, second = key(), key()
    stored = keys(first).encrypted(b"document")
    with pytest.raises(WrongKey, match=keys(first).current_id) as raised:
        keys(second).decrypted(stored, "backups/sets/x/config.yaml.enc")
    assert "MLFLOW_OPS_BACKUP_KEYS_OLD" in raised.value.hint
    assert first not in str(raised.value)
    rotated = keys(second, key(), first)
    assert rotated.decrypted(stored, "it") == b"document"
    assert rotated.current_id == keys(second).current_id


def test_keys_do_not_show_themselves():
    current = key()
    assert current not in repr(keys(current))
    assert repr(base64.b64decode(current))[2:-1] not in repr(keys(current))


@pytest.mark.parametrize("wrong", ["short", "A" * 44, base64.b64encode(b"x" * 16).decode()])
def test_what_is_no_key_stops_the_program_with_a_sentence(wrong):
    with pytest.raises(settings.SettingsError, match="32 random bytes in base64") as raised:
        settings.load({"MLFLOW_OPS_BACKUP_KEY": wrong})
    assert wrong not in str(raised.value)
