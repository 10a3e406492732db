"""A small MLflow behind whatever people put before it: it demands what it was told to demand, to the letter.

It knows the search for experiments, the version and the health of MLflow, below a prefix; all else is MLflow's 404.
What stands before it is a function that may answer in its place. A forward proxy stands beside it.
"""

import base64
import datetime as dt
import json
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mlflow_ops_sandbox.cluster.certificates import load_or_make_authority

SEARCH = "/api/2.0/mlflow/experiments/search"
VERSION = "2.11.3"
TEXT, JSON, HTML = "text/plain; charset=utf-8", "application/json", "text/html; charset=utf-8"
NOT_AUTHENTICATED = (
    "You are not authenticated. Please see https://www.mlflow.org/docs/latest/auth/index.html"
    "#authenticating-to-mlflow on how to authenticate."
)
BAD_HOST = "Invalid Host header - possible DNS rebinding attack detected"


@dataclass
class Strict:
    """authorization: the header that MLflow demands. hosts: what --allowed-hosts lists, all where it is None.

    before: given method, path and headers, an answer (status, headers, body) in MLflow's place, or None.
    """

    prefix: str = ""
    authorization: str = ""
    hosts: tuple | None = None
    before: object = None
    asked: list = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}{self.prefix}"

    def answer(self, method, path, headers):
        """Status, headers and body, as MLflow's own server would."""
        self.asked.append((method, path, headers))
        if self.before is not None and (instead := self.before(method, path, headers)) is not None:
            return instead
        if self.hosts is not None and headers["Host"] not in self.hosts and path not in {"/health", "/version"}:
            return 403, {"Content-Type": TEXT}, BAD_HOST
        if self.authorization and headers.get("Authorization") != self.authorization and path != "/health":
            return 401, {"Content-Type": HTML, "WWW-Authenticate": 'Basic realm="mlflow"'}, NOT_AUTHENTICATED
        known = {
            "/health": (TEXT, "OK"),
            "/version": (TEXT, VERSION),
            SEARCH: (JSON, '{"experiments": [{"name": "a"}]}'),
        }
        bare = path.partition("?")[0]
        if not bare.startswith(self.prefix) or bare[len(self.prefix) :] not in known:
            return 404, {"Content-Type": HTML}, "<!doctype html>\n<title>404 Not Found</title>"
        kind, body = known[bare[len(self.prefix) :]]
        return 200, {"Content-Type": kind}, body


@contextmanager
def serving(strict, context=None):
    """Serve it, with TLS where a context is given."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.title(): value for name, value in self.headers.items()}
            status, told, body = strict.answer(self.command, self.path, headers)
            data = body.encode()
            self.send_response(status)
            for name, value in {**told, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - http.server looks for these names

        def log_message(self, *_):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """A client that breaks the handshake off is what some tests are about."""

        def finish_request(self, request, client_address):
            # The handshake is made in the connection's own thread.
            if context is not None:
                request.settimeout(10)
                request = context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)

    server = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    strict.port, strict.scheme = server.server_address[1], "https" if context else "http"
    try:
        yield strict
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Certificates:
    """An authority's file, and contexts for a server of it; a client's certificate with its key in one file."""

    authority: str
    server: tuple
    client: str

    def context(self, *, asks_clients=False):
        """What MLflow's server is given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server)
        if asks_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client)
        return context


def certificates(folder):
    """Made in that folder."""
    now = dt.datetime.now(dt.UTC)
    authority, certificate, key = load_or_make_authority(folder / "server", now)
    client_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mlflow-ops")])
    client = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(client_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(client_key, hashes.SHA256())
    )
    encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    both = folder / "client.pem"
    both.write_bytes(
        client.public_bytes(encoding)
        + client_key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password)
    )
    return Certificates(str(authority), (str(certificate), str(key)), str(both))


@dataclass
class ForwardProxy:
    """An HTTP proxy: what it was asked for, and the credentials that it demands ("user:password")."""

    demands: str = ""
    asked: list = field(default_factory=list)
    port: int = 0


@contextmanager
def proxying(proxy):
    """Let it pass requests on, and tunnels."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=_pass_on, args=(proxy, connection), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        proxy.port = listener.getsockname()[1]
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)


def _pass_on(proxy, connection):
    with connection, connection.makefile("rb") as stream:
        connection.settimeout(10)
        method, target, _ = stream.readline().decode().split()
        headers = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.title()] = value.strip()
        proxy.asked.append((method, target))
        wanted = f"Basic {base64.b64encode(proxy.demands.encode()).decode()}"
        if proxy.demands and headers.get("Proxy-Authorization") != wanted:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = (target if method == "CONNECT" else target.split("/")[2]).rpartition(":")
        with socket.create_connection((host, int(port)), 5) as onwards:
            back = threading.Thread(target=_pump, args=(onwards, connection), daemon=True)
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back.start()
                _pump(connection, onwards)
                return
            kept = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name != "Connection")
            path = f"/{target.split('/', 3)[3]}"
            onwards.sendall(f"{method} {path} HTTP/1.1\r\n{kept}Connection: close\r\n\r\n".encode())
            onwards.sendall(stream.read(int(headers.get("Content-Length", 0))))
            back.start()
            back.join(10)


def _pump(source, sink):
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def json_error(code, message="x"):
    """MLflow's form of an error."""
    return json.dumps({"error_code": code, "message": message})
