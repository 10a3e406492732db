"""Encrypted streams: what comes back is what went in, in constant memory, and no chunk moves without being noticed."""

import secrets
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup import sealing
from workers.operations.backup.sealing import (
    CHUNK,
    MAGIC,
    PROOF,
    Altered,
    Moved,
    NotSealed,
    Reordered,
    Sealer,
    Secret,
    Truncated,
    sealed,
    unsealed,
)

KEY = secrets.token_bytes(32)
SECRET = Secret("abc", KEY)
NAME = "sets/20261130T000000Z-abcdef/database.dump.enc"
PIECE = CHUNK + PROOF


def opened(stored, name=NAME, key=KEY, piece=700_001):
    pieces = (stored[at : at + piece] for at in range(0, len(stored), piece))
    return b"".join(unsealed(pieces, name, lambda _header: key))


def cut(stored):
    """The header and the chunks of a stream."""
    end = stored.index(b"\n") + 1
    return stored[:end], [stored[at : at + PIECE] for at in range(end, len(stored), PIECE)]


def document(chunks):
    """That many chunks, the last one half full, no two alike."""
    return secrets.token_bytes(int((chunks - 0.5) * CHUNK))


NEAR = [CHUNK + more for more in (-PROOF, -1, 0, 1, PROOF, 400)]
LENGTHS = st.sampled_from(NEAR) | st.integers(0, 3 * CHUNK // 2)
PIECES = st.sampled_from([4 * CHUNK, 7 * CHUNK, *NEAR]) | st.integers(CHUNK // 100, CHUNK * 2)


@given(st.lists(LENGTHS, max_size=4), PIECES)
@example([CHUNK + 1], CHUNK + 188)
@example([3 * CHUNK], 7 * CHUNK)
@example([10, 20], 1)
@settings(max_examples=25, deadline=None)
def test_what_goes_in_comes_back_however_it_is_cut(lengths, piece):
    parts = [secrets.token_bytes(length) for length in lengths]
    sealer = Sealer(SECRET, NAME)
    stored = b"".join(map(sealer.add, parts)) + sealer.end()
    assert opened(stored, piece=piece) == b"".join(parts)


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_lengths_at_the_edges(length):
    plain = secrets.token_bytes(length)
    stored = sealed(plain, SECRET, NAME)
    header, chunks = cut(stored)
    assert opened(stored) == plain
    assert len(chunks) == max(1, -(-length // CHUNK))
    assert len(stored) == len(header) + length + PROOF * len(chunks)
    assert len(plain) < 8 or plain not in stored


def test_no_two_streams_are_alike():
    assert sealed(b"same", SECRET, NAME) != sealed(b"same", SECRET, NAME)


def test_what_was_right_is_given_before_what_is_wrong_and_nothing_else():
    plain = document(3)
    header, chunks = cut(sealed(plain, SECRET, NAME))
    coming = unsealed([header, chunks[0], chunks[1][:-1] + b"!", chunks[2]], NAME, lambda _header: KEY)
    assert next(coming) == plain[:CHUNK]
    with pytest.raises(Altered):
        next(coming)


def of_another_stream(chunks):
    return [chunks[0], cut(sealed(document(4), SECRET, NAME))[1][1], *chunks[2:]]


FORGED = {
    "cut after a chunk": (lambda c: c[:2], Truncated),
    "cut before the last, which was full": (lambda c: c[:-1], Truncated),
    "cut within a chunk": (lambda c: [*c[:2], c[2][:-100]], Altered),
    "cut within the proof": (lambda c: [*c[:3], c[3][: PROOF - 1]], Truncated),
    "all chunks gone": (lambda _: [], Truncated),
    "two exchanged": (lambda c: [c[0], c[2], c[1], c[3]], Reordered),
    "one repeated": (lambda c: [c[0], c[0], *c[1:]], Reordered),
    "one left out": (lambda c: [c[0], *c[2:]], Reordered),
    "the last one first": (lambda c: [c[3], *c[:3]], Altered),
    "replayed as the last": (lambda c: [*c[:2], c[0]], Reordered),
    "one of another stream of the same name and key": (of_another_stream, Altered),
    "it goes on after its end": (lambda c: [*c, b"x"], SetDamaged),
    "a whole chunk after its end": (lambda c: [*c, c[0]], SetDamaged),
}


@pytest.mark.parametrize("how", FORGED)
def test_what_was_done_to_a_stream_is_refused_and_named(how):
    change, refused = FORGED[how]
    header, chunks = cut(sealed(document(4), SECRET, NAME))
    with pytest.raises(refused) as raised:
        opened(header + b"".join(change(chunks)))
    assert NAME in raised.value.message
    assert issubclass(raised.type, SetDamaged)


def test_goes_on_after_an_end_that_was_full():
    header, chunks = cut(sealed(secrets.token_bytes(CHUNK), SECRET, NAME))
    with pytest.raises(Altered, match="goes on after its end"):
        opened(header + chunks[0] + b"x")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_byte_of_it_can_be_changed(data):
    stored = sealed(b"kind: Secret", SECRET, NAME)
    at, bit = data.draw(st.integers(0, len(stored) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(stored)
    changed[at] ^= 1 << bit
    with pytest.raises(OperatorError):
        opened(bytes(changed))


def test_an_object_under_another_name_is_refused():
    other = "sets/20261129T000000Z-fedcba/database.dump.enc"
    with pytest.raises(Moved, match="someone moved or exchanged it") as raised:
        opened(sealed(b"older", SECRET, other), name=NAME)
    assert other in raised.value.message


def test_a_header_that_was_renamed_opens_nothing():
    other = "sets/20261129T000000Z-fedcba/database.dump.enc"
    forged = sealed(b"older", SECRET, other).replace(other.encode(), NAME.encode(), 1)
    with pytest.raises(Altered):
        opened(forged)


def test_a_header_of_another_stream_opens_nothing():
    _, chunks = cut(sealed(b"one", SECRET, NAME))
    header, _ = cut(sealed(b"two", SECRET, NAME))
    with pytest.raises(Altered):
        opened(header + chunks[0])


def test_another_key_opens_nothing():
    with pytest.raises(Altered):
        opened(sealed(b"one", SECRET, NAME), key=secrets.token_bytes(32))


@pytest.mark.parametrize(
    "content",
    [b"", b"PGDMP...", MAGIC, MAGIC + b"{}\n", MAGIC + b"[]\n", MAGIC + b"[" * 5000 + b"\n", MAGIC + b"null\n",
     MAGIC + b'{"name": "x", "key_id": "y", "salt": 7}\n', MAGIC + b"x" * 100_000, b"\n" * 100_000],
)  # fmt: skip
def test_what_is_no_stream_is_refused(content):
    with pytest.raises(NotSealed):
        opened(content)


def test_names_of_any_letters_stay_what_they_are():
    name = 'objects/1/ü "x"\n\x01\\日本/model.pkl!/' + "0" * 32
    assert opened(sealed(b"bytes", SECRET, name), name=name) == b"bytes"


def test_memory_does_not_grow_with_the_stream():
    sealer, piece = Sealer(SECRET, NAME), secrets.token_bytes(CHUNK // 2)

    def stream():
        for _ in range(128):
            yield sealer.add(piece)
        yield sealer.end()

    tracemalloc.start()
    total = sum(len(each) for each in unsealed(stream(), NAME, lambda _header: KEY))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 64 * CHUNK
    assert peak < 10 * CHUNK


def test_a_key_does_not_show_itself():
    assert KEY.hex() not in repr(SECRET)
    assert repr(KEY)[2:-1] not in repr(SECRET)
    assert repr(KEY)[2:-1] not in repr(sealing.Header.new(SECRET, NAME))
