"""A bot that ends answers what it has in hand; over Socket Mode this is tests/chaos/test_rolling.py's."""

import threading
from concurrent.futures import ThreadPoolExecutor

import requests
from waitress.server import create_server

from bot.draining import serving, until_idle
from mlflow_ops_sandbox.slack.client import wait_for


def test_over_http_what_was_taken_is_answered_to_its_last_byte(free_port):
    taken, go_on = threading.Event(), threading.Event()

    def slow(_environ, start_response):
        taken.set()
        assert go_on.wait(20)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x" * 1_000_000]

    server = create_server(slow, host="127.0.0.1", port=free_port, threads=2)
    threading.Thread(target=server.run, daemon=True).start()
    busy = lambda: serving(list(server.active_channels.values()))  # noqa: E731 - as in bot/app.py
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(requests.get, f"http://127.0.0.1:{free_port}/", timeout=20)
        assert taken.wait(20)
        assert busy()
        ending = pool.submit(until_idle, busy, patience_seconds=20)
        go_on.set()
        ending.result(20)
        server.close()
        assert len(answer.result(20).content) == 1_000_000
    wait_for(lambda: not busy() or None)


def test_what_is_never_answered_does_not_hold_it_up():
    until_idle(lambda: True, patience_seconds=0.01)
