"""The switches of the local Slack, for tests and benchmarks: its faults, its time, what it counted.

Standard library only.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from mlflow_ops_sandbox.errors import RefusedError
from mlflow_ops_sandbox.patience import stretched

Json = dict[str, Any]
T = TypeVar("T")

POLL, LONGEST_POLL = 0.02, 0.1
TIMEOUT = 30.0


class Sandbox:
    """The local Slack itself: what it counted, and its faults."""

    def __init__(self, base_url: str) -> None:
        """Connect to nothing yet; `base_url` is like `http://127.0.0.1:8100`."""
        self.base_url = base_url.rstrip("/")

    def get(self, path: str, **query: str) -> Json:
        """Read from the local Slack."""
        return _request(self.base_url, "GET", f"{path}?{urlencode(query)}" if query else path, None)

    def do(self, path: str, **body: object) -> Json:
        """Ask the local Slack to do something."""
        return _request(self.base_url, "POST", path, body)

    def ready(self, deadline: float = 10.0) -> None:
        """Wait until the server answers."""
        wait_for(self._answers, deadline)

    def calls(self) -> dict[str, int]:
        """Return how often each Web API method was called."""
        return self.get("/sandbox/calls")

    def pings(self) -> list[Json]:
        """Return whom messages would have notified."""
        return list(self.get("/sandbox/pings")["pings"])

    def connection(self) -> Json:
        """Return how the app is connected."""
        return self.get("/sandbox/connection")

    def wait_until_connected(self, deadline: float = 15.0) -> None:
        """Wait until the app has a socket open (or, in HTTP mode, answers a challenge)."""
        wait_for(self._connected, deadline)

    def fault(self, kind: str, method: str = "*", **more: object) -> Json:
        """Arrange a fault; see `control` for the kinds."""
        return self.do("/sandbox/faults", kind=kind, method=method, **more)

    def refuse(self, error: str, method: str = "*", of: str = "", **more: object) -> Json:
        """Have calls of a kind refused; see `control`."""
        return self.do("/sandbox/faults", kind="refuse", method=method, error=error, of=of, **more)

    def lacks(self, *blocks: str) -> None:
        """Let the workspace be one that does not have these types of blocks yet."""
        self.do("/sandbox/faults", kind="lacks", blocks=list(blocks))

    def clear_faults(self) -> None:
        """Let everything work again."""
        _request(self.base_url, "DELETE", "/sandbox/faults", None)

    def faults(self) -> Json:
        """Return the faults in force with their hits."""
        return self.get("/sandbox/faults")

    def away(self, *, on: bool = True, seconds: float | None = None, how: str = "reset") -> None:
        """Make Slack unreachable for the app, for some of Slack's seconds or until told otherwise; or reachable again.

        Connections are reset, `hang`, or are answered with `503`.
        """
        lasting = {} if seconds is None else {"seconds": seconds}
        self.do("/sandbox/faults", kind="away", on=on, how=how, **lasting)

    def advance(self, seconds: float) -> None:
        """Move Slack's time on, without waiting."""
        self.do("/sandbox/clock", advance=seconds)

    def _connected(self) -> bool:
        if self.connection()["mode"] == "http":
            return bool(self.do("/sandbox/verify")["ok"])
        return bool(self.connection()["connected"])

    def _answers(self) -> bool:
        try:
            return bool(self.get("/healthz")["ok"])
        except OSError:
            return False


def wait_for(predicate: Callable[[], T | None], deadline: float = 10.0) -> T:
    """Poll until `predicate` returns something true, and return that; TimeoutError after `deadline` s at rest."""
    began, pause = time.monotonic(), POLL
    while True:
        if found := predicate():
            return found
        if time.monotonic() - began > stretched(deadline):
            msg = f"nothing after {time.monotonic() - began:.0f} s"
            raise TimeoutError(msg)
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL)


def _request(base_url: str, verb: str, path: str, body: Mapping[str, object] | None) -> Json:
    place = urlsplit(base_url)
    connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=TIMEOUT)
    try:
        sent = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(verb, path, sent, headers)
        response = connection.getresponse()
        answer: Json = json.loads(response.read())
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise RefusedError(path, str(answer.get("error", response.status)))
    return answer
