"""moto's S3 application with a catalogue on disk: what was stored is there after a restart.

Bytes are kept by their SHA-256 under `bytes/`; the catalogue is a pickle of moto's own bucket objects, whose keys refer
to those files instead of holding them. It is written while no changing request is under way, beside its place and moved
there; files that it no longer names are removed after that, never before.

The catalogue is read back only by the version of moto that wrote it, from a folder that only its owner can write to.
"""

from __future__ import annotations

import copyreg
import hashlib
import io
import logging
import os
import pickle
import shutil
import tempfile
import threading
import time
import weakref
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import FakeDeleteMarker, FakeKey, s3_backends
from moto.s3.utils import _VersionedKeyStore

from mlflow_ops_sandbox.parts.s3.signature import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

_READING = {"GET", "HEAD", "OPTIONS"}
_SETTLE_SECONDS = 1.0
_log = logging.getLogger("objects")

# moto 5.2.5 closes the file of each version that it removes for good, and finds none in a delete marker: a 500 for
# whoever empties a versioned bucket in which something was deleted before.
FakeDeleteMarker.dispose = lambda _self: None  # type: ignore[attr-defined]


class Gate:
    """Lets many change things at once, or one look at them while nobody does."""

    def __init__(self) -> None:
        """Open."""
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def change(self) -> Iterator[None]:
        """Be among those who change."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Be alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()


class Store:
    """The WSGI application."""

    def __init__(self, folder: Path, configuration: dict[str, Any]) -> None:
        """Prepare to serve what is under `folder`; nothing is read yet."""
        self._bytes = folder / "bytes"
        self._spill = folder / "spill"
        self._catalogue = folder / "catalogue.pickle"
        self._configuration = configuration
        self._written: weakref.WeakKeyDictionary[FakeKey, tuple[str, str]] = weakref.WeakKeyDictionary()
        self._gate = Gate()
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="catalogue")
        # The region decides the partition; S3's namespace is one per partition.
        self._backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        # Without moto's dispatcher, which finds out for each request, under a lock, which of its services is meant.
        self._application = create_backend_app("s3")

    def open(self) -> None:
        """Read the catalogue, make the buckets that are missing, and begin to keep the catalogue."""
        shutil.rmtree(self._spill, ignore_errors=True)
        self._spill.mkdir(mode=0o700, parents=True)
        self._bytes.mkdir(mode=0o700, exist_ok=True)
        tempfile.tempdir = str(self._spill)
        self._load()
        for name, wanted in self._configuration["buckets"].items():
            if name not in self._backend.buckets:
                self._backend.create_bucket(name, self._configuration["region"])
                if wanted["versioning"]:
                    self._backend.put_bucket_versioning(name, "Enabled")
        self._save()
        self._keeper.start()

    def close(self) -> None:
        """Write the catalogue a last time."""
        self._closing.set()
        self._dirty.set()
        self._keeper.join()
        self._save()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        path = environ.get("PATH_INFO", "")
        if path == "/moto-api/":  # the readiness probe; the rest of moto's own interface is not offered
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
            return [b"ok"]
        keys = {self._configuration["access_key"]: self._configuration["secret_key"]}
        refused = refusal(environ, keys, datetime.now(UTC))
        if refused is not None:
            body = refused.xml(path)
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
            # The body of the request was not read: the connection cannot be used again.
            start_response("403 Forbidden", [*headers, ("Connection", "close")])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        if environ["REQUEST_METHOD"] in _READING:
            return self._answer(environ, start_response)
        with self._gate.change():
            answer = list(self._answer(environ, start_response))
        self._dirty.set()
        return answer

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        serve: Callable[..., Iterable[bytes]] = self._application
        return serve(environ, start_response)

    def _keep(self) -> None:
        pause = _SETTLE_SECONDS
        while not self._closing.is_set():
            self._dirty.wait()
            # A long catalogue is written more seldom, so that most of the time goes to requests.
            if self._closing.wait(pause):
                return
            self._dirty.clear()
            began = time.monotonic()
            self._save()
            pause = max(_SETTLE_SECONDS, 10 * (time.monotonic() - began))

    def _save(self) -> None:
        with self._gate.still():
            stream = io.BytesIO()
            pickler = _Pickler(stream, self._write_bytes)
            pickler.dump(
                {
                    "buckets": dict(self._backend.buckets),
                    "tags": self._backend.tagger.tags,
                    "owners": s3_backends.bucket_accounts,
                }
            )
            named = pickler.named
        draft = self._catalogue.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            pickle.dump({"moto": version("moto"), "catalogue": stream.getvalue()}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._catalogue)
        for path in self._bytes.iterdir():
            if path.name not in named:
                path.unlink()

    def _write_bytes(self, key: FakeKey) -> str:
        """The name of the file that holds this key's bytes, written unless it is there."""
        etag = str(key.etag)
        known = self._written.get(key)
        if known is not None and known[0] == etag:
            return known[1]
        value = key.value
        name = hashlib.sha256(value).hexdigest()
        path = self._bytes / name
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.write_bytes(value)
            draft.replace(path)
        self._written[key] = (etag, name)
        return name

    def _load(self) -> None:
        if not self._catalogue.exists():
            return
        with self._catalogue.open("rb") as file:
            envelope = pickle.load(file)  # noqa: S301 - our own file, in a folder closed to others
        if envelope["moto"] != version("moto"):
            message = "The object store was written by moto %s, this is %s: start over with --fresh."
            _log.error(message, envelope["moto"], version("moto"))
            raise SystemExit(1)
        document = _Unpickler(io.BytesIO(envelope["catalogue"]), self._read_bytes).load()
        self._backend.buckets.update(document["buckets"])
        self._backend.tagger.tags.update(document["tags"])
        s3_backends.bucket_accounts.update(document["owners"])

    def _read_bytes(self, name: str) -> bytes:
        return (self._bytes / name).read_bytes()


class _Bytes:
    """Stands for the bytes of a key while the catalogue is written."""

    def __init__(self, name: str) -> None:
        self.name = name


def _versions(lists: dict[str, list[Any]]) -> _VersionedKeyStore:
    store = _VersionedKeyStore()
    for key, versions in lists.items():
        store.setlist(key, versions)
    return store


class _Pickler(pickle.Pickler):
    """Writes each key without its bytes, and notes which files it names."""

    def __init__(self, stream: io.BytesIO, write: Callable[[FakeKey], str]) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._write = write
        self.named: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _VersionedKeyStore):
            # A dict whose own way to be written tells of the newest versions only.
            return _versions, ({key: obj.getlist(key) for key in obj},)
        # A disposed key has no bytes any more; it knows itself how to be written.
        if not isinstance(obj, FakeKey) or obj.disposed:
            return NotImplemented
        name = self._write(obj)
        self.named.add(name)
        state = {key: value for key, value in vars(obj).items() if key not in ("_value_buffer", "lock")}
        return copyreg.__newobj__, (type(obj),), state | {"value": _Bytes(name)}  # type: ignore[attr-defined]

    def persistent_id(self, obj: Any) -> str | None:
        return obj.name if isinstance(obj, _Bytes) else None


class _Unpickler(pickle.Unpickler):
    """Reads a catalogue, each key with its bytes."""

    def __init__(self, stream: io.BytesIO, read: Callable[[str], bytes]) -> None:
        super().__init__(stream)
        self._read = read

    def persistent_load(self, pid: Any) -> bytes:
        return self._read(pid)
