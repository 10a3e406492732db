"""Real servers for the gateways, and small ones that misbehave: silent, absent, garbled, or with canned answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlflow_ops_sandbox.parts import ports
from workers import settings
from workers.settings import Settings


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port on which nobody listens."""
    return ports.free()


@pytest.fixture
def saying() -> Iterator[Callable[[bytes], int]]:
    """Opens a port that answers anything with the given bytes and hangs up."""
    with ExitStack() as stack:
        yield lambda words: stack.enter_context(_saying(words))


@contextmanager
def _saying(words: bytes) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    try:
                        connection.recv(65536)
                        connection.sendall(words)
                        # Closed without this, unread bytes would turn the answer into a reset.
                        connection.shutdown(socket.SHUT_WR)
                        connection.recv(65536)
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@dataclass
class Canned:
    """An HTTP server with an answer per path; `asked` holds what was asked for, with its headers."""

    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    default: tuple[int, bytes] = (404, b"404 page not found\n")
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def http() -> Iterator[Canned]:
    """An HTTP server whose answers the test sets."""
    canned = Canned()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            canned.asked.append((self.path, {name.title(): value for name, value in self.headers.items()}))
            status, body = canned.answers.get(self.path) or canned.answers.get(self.path.split("?")[0], canned.default)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    canned.port = server.server_address[1]
    yield canned
    server.shutdown()
    server.server_close()


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings from the given variables, and nothing of the machine's own."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return lambda **environ: settings.load(environ)
