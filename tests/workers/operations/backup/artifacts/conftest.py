"""A real S3 server, and a way to it on which calls are counted, fail, or meet a changed world."""

import http.client
import logging
import random
import threading
import urllib.request
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from moto import backends
from moto.server import ThreadedMotoServer

from workers import settings
from workers.operation import Cancelled
from workers.systems.s3.objects import Objects

S3_ERROR = "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{}</Code><Message>as the test wants it</Message></Error>"


@dataclass
class Request:
    """One call on its way to the store."""

    operation: str
    bucket: str
    key: str
    headers: dict


class Way:
    """A proxy in front of the store. `meet` is asked about every request; what it returns decides.

    None: let it pass. (status, code): answer that error. "cut": hang up before the store hears of it. "lose": hang up
    after the store has done it. "half": give half of the answer.
    """

    def __init__(self, store):
        self.calls = Counter()
        self.meet = lambda _request: None
        self._lock = threading.Lock()
        self._store = urlsplit(store).netloc
        way = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                way.serve(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve  # noqa: N815 - named by the base class

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def serve(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = self.read(handler)
        with self._lock:
            self.calls[request.operation] += 1
        decision = self.meet(request)
        if isinstance(decision, tuple):
            status, code = decision
            content = b"" if handler.command == "HEAD" else S3_ERROR.format(code).encode()
            return self.answer(handler, status, [("Content-Type", "application/xml")], content, len(content))
        if decision == "cut":
            handler.close_connection = True
            return None
        status, headers, content = self.forward(handler, body)
        if decision == "lose":
            handler.close_connection = True
            return None
        given = content[: len(content) // 2] if decision == "half" else content
        length = int({k.lower(): v for k, v in headers}.get("content-length", len(content)))
        handler.close_connection = decision == "half"
        return self.answer(handler, status, headers, given, length if handler.command == "HEAD" else len(content))

    def read(self, handler):
        path, _, query = handler.path.partition("?")
        bucket, _, key = unquote(path[1:]).partition("/")
        asked = parse_qs(query, keep_blank_values=True)
        copies = "x-amz-copy-source" in handler.headers
        if not key:
            name = {"GET": "List", "POST": "DeleteObjects"}.get(handler.command, handler.command)
        elif "uploadId" in asked or "uploads" in asked:
            name = "UploadPartCopy" if copies else f"Upload{handler.command}"
        elif "tagging" in asked:
            name = "GetTags"
        else:
            name = "CopyObject" if copies else handler.command
        return Request(name, bucket, key, {k.lower(): v for k, v in handler.headers.items()})

    def forward(self, handler, body):
        connection = http.client.HTTPConnection(self._store, timeout=30)
        try:
            connection.request(handler.command, handler.path, body, dict(handler.headers.items()))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    @staticmethod
    def answer(handler, status, headers, content, length):
        handler.send_response(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)


class Listening:
    """A Progress that keeps what it heard; asked to stop where `stop_after` artifacts are done."""

    def __init__(self, stop_after=None):
        self.heard = []
        self.stop_after = stop_after

    def step(self, name, of=""): ...

    def advance(self, done, total, unit):
        self.heard.append((done, total, unit))

    def ended(self, said="", *, well=True):
        pass

    def checkpoint(self):
        if self.stop_after is not None and self.heard and self.heard[-1][0] >= self.stop_after:
            raise Cancelled


@pytest.fixture(scope="session")
def store():
    """The address of moto's S3 server."""
    # Its lines about each call, and a look at its own folder for each, are most of what it does.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    modules = tuple(backends.list_of_moto_modules())
    patch = pytest.MonkeyPatch()
    patch.setattr(backends, "list_of_moto_modules", lambda: modules)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # Its first answer, for which it reads all of its S3, takes longer than a client of ours waits.
    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).close()
    yield f"http://127.0.0.1:{port}"
    server.stop()
    patch.undo()


@pytest.fixture
def credentials(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSANDBOX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def connect(credentials):
    return lambda url: Objects.connect(settings.load({"AWS_ENDPOINT_URL_S3": url}))


@pytest.fixture
def way(store):
    opened = Way(store)
    yield opened
    opened.close()


@dataclass
class Place:
    """Two empty buckets, a client of ours that goes by the way, and one past it for the test."""

    objects: Objects
    direct: object
    source: str
    backups: str

    def put(self, key, body=b"", **more):
        self.direct.put_object(Bucket=self.source, Key=key, Body=body, **more)

    def fill(self, count):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: self.put(f"{n % 3}/run/artifacts/file-{n:05}", f"{n}".encode() * 20), range(count)))

    def read(self, key):
        return self.direct.get_object(Bucket=self.backups, Key=key)["Body"].read()

    def keys(self, prefix=""):
        pages = self.direct.get_paginator("list_objects_v2").paginate(Bucket=self.backups, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def uploads(self):
        return self.direct.list_multipart_uploads(Bucket=self.backups).get("Uploads", [])


@pytest.fixture
def place(connect, store, way):
    direct = connect(store).client
    name = uuid.uuid4().hex[:12]
    for bucket in (f"artifacts-{name}", f"backups-{name}"):
        direct.create_bucket(Bucket=bucket)
    return Place(connect(way.url), direct, f"artifacts-{name}", f"backups-{name}")


@pytest.fixture
def listening():
    return Listening


@pytest.fixture
def trouble():
    """Makes a `meet` that lets calls fail at random, by a seed."""

    def make(seed, share):
        chance = random.Random(seed)
        lock = threading.Lock()

        def meet(request):
            with lock:
                if chance.random() >= share:
                    return None
                kinds = [(500, "InternalError"), (503, "SlowDown"), "cut", "lose"]
                return chance.choice([*kinds, "half"] if request.operation != "HEAD" else kinds)

        return meet

    return make
