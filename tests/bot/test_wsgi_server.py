"""The HTTP server under many connections that nobody closes."""

import http.client
import threading
from contextlib import ExitStack

from bot.wsgi_server import wsgi_server

IDLE = 400


def test_idle_connections_keep_nobody_out():
    def app(_environ, start):
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"ok\n"]

    server = wsgi_server(app, host="127.0.0.1", port=0, threads=2)
    loop = threading.Thread(target=server.run, daemon=True)
    loop.start()

    def ask(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok\n")

    try:
        with ExitStack() as kept_open:
            for _ in range(IDLE):
                connection = http.client.HTTPConnection("127.0.0.1", server.effective_port, timeout=5)
                kept_open.callback(connection.close)
                ask(connection)
    finally:
        server.close()
        loop.join(10)
