"""The MLflow server, over plain HTTP. How it is reached is `access`'s; what an answer that is none means, `answers`'s.

Traps this avoids: MlflowClient tries a refused connection for 246 s and takes a second to import; `/health` says OK
also without a database, so whoever wants to know asks `search_experiments`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import urllib3

from workers.systems.mlflow import answers
from workers.systems.mlflow.access import Access

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems.errors import Nonsense

CONNECT_SECONDS: Final = 3.0
API: Final = "/api/2.0/mlflow/"
PAGE: Final = 1000
"""How much is asked for at once: MLflow's own default for runs; 50,000 is the most that it takes, in one answer of
hundreds of megabytes.
"""
SEARCH: Final = "/api/2.0/mlflow/experiments/search?max_results=1"
_READ: Final = 4000
"""Bytes of a refusal that are looked at."""


@dataclass(frozen=True)
class Tracking:
    """One MLflow server. Safe for threads. Methods raise TrackingError or Nonsense.

    answer_within_seconds: how long one call may be silent. kept: whether a connection serves more than one call.
    took: where the seconds of each answer are noted, if anywhere.
    """

    access: Access
    pool: urllib3.PoolManager
    answer_within_seconds: float = 10.0
    kept: bool = True
    took: list[float] | None = None

    @classmethod
    def connect(cls, settings: Settings) -> Tracking:
        """From MLFLOW_TRACKING_URI and what belongs to it: see `access`. Raises SettingsError and OperatorError."""
        access = Access.of(settings)
        return cls(access, access.pool())

    def __repr__(self) -> str:
        return f"Tracking({self.address})"

    def within(self, seconds: float) -> Tracking:
        """The same server with another patience."""
        return replace(self, answer_within_seconds=seconds)

    def afresh(self) -> Tracking:
        """The same server, asked over a new connection each time, as curl and ab do: to measure it, or to ask often.

        MLflow's server writes an answer in two packets; on a connection that is kept, the second one waits for the
        client's delayed acknowledgement, 40 ms on Linux (measured with MLflow 3.17: 48 ms a call, 7 ms over a new one).
        """
        return replace(self, kept=False)

    def timed(self, took: list[float]) -> Tracking:
        """The same server; of each call that it answers as MLflow does, the seconds are appended to `took`."""
        return replace(self, took=took)

    @property
    def address(self) -> str:
        """host:port."""
        return self.access.address

    @property
    def base(self) -> str:
        """Its address, without credentials."""
        return self.access.base

    def health(self) -> str:
        """What /health says: "OK" whenever the server's process answers at all."""
        return self._get("/health").decode("utf-8", "replace").strip()

    def knock(self, path: str) -> int:
        """The HTTP status of a GET of any path of this server, whatever it is; the answer is read and forgotten.

        Raises TrackingTimeout and TrackingUnreachable.
        """
        return self._response("GET", path, None).status

    def version(self) -> str:
        """The server's version."""
        data = self._get("/version")
        text = data.decode("utf-8", "replace").strip()
        if not text or len(text) > 40 or "<" in text:  # noqa: PLR2004
            raise self._nonsense(data)
        return text

    def search_experiments(self) -> list[dict[str, Any]]:
        """At most one experiment: the cheapest question that needs the database."""
        with self._noted():
            found = self._object(self._get(SEARCH)).get("experiments", [])
            if not isinstance(found, list):
                raise self._nonsense()
            return found

    def ask(self, method: str, **query: str) -> dict[str, Any]:
        """What a GET of this method ("runs/get") answers.

        Raises TrackingMissing, TrackingTaken and TrackingInvalid besides what every call does.
        """
        with self._noted():
            return self._object(self._get(f"{API}{method}?{urlencode(query)}"))

    def call(self, method: str, body: dict[str, Any], *, verb: str = "POST") -> dict[str, Any]:
        """What this method ("runs/search") answers to a body. Raises as `ask` does."""
        with self._noted():
            return self._object(self._send(verb, API + method, body))

    def pages(self, method: str, of: str, body: dict[str, Any], *, size: int = PAGE) -> Iterator[list[dict[str, Any]]]:
        """All that a searching method finds, page by page: never more than `size` at once.

        of: the name of the list in its answer ("runs").
        """
        return self._pages(lambda token: self.call(method, {**body, "max_results": size} | token), of)

    def pages_asked(self, method: str, of: str, *, size: int = PAGE, **query: str) -> Iterator[list[dict[str, Any]]]:
        """As `pages`, for methods that are asked with GET (those of the registry)."""
        return self._pages(lambda token: self.ask(method, **query, max_results=str(size), **token), of)

    def _pages(self, answer_to: Callable[[dict[str, str]], dict[str, Any]], of: str) -> Iterator[list[dict[str, Any]]]:
        token: dict[str, str] = {}
        while True:
            answer = answer_to(token)
            found = answer.get(of, [])
            if not isinstance(found, list):
                raise self._nonsense()
            if found:
                yield found
            if not answer.get("next_page_token"):
                return
            token = {"page_token": str(answer["next_page_token"])}

    def _object(self, data: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._nonsense(data)
        return answer

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note how long it takes, if it comes to an end."""
        began = time.perf_counter()
        yield
        if self.took is not None:
            self.took.append(time.perf_counter() - began)

    def _get(self, path: str) -> bytes:
        return self._send("GET", path, None)

    def _send(self, verb: str, path: str, body: dict[str, Any] | None) -> bytes:
        """What a call answers. One that is refused as one too many (429) is made again within the call's own time."""
        began, tried = time.monotonic(), 0
        while True:
            response = self._response(verb, path, body)
            took = time.monotonic() - began
            if response.status == answers.OK:
                return response.data
            pause = answers.pause_seconds(response.headers, tried, datetime.now(UTC))
            if response.status != answers.BUSY or took + pause > self.answer_within_seconds:
                text = response.data[:_READ].decode("utf-8", "replace")
                sent = len(json.dumps(body)) if body else 0
                answer = answers.Answer(path, response.status, response.headers, text, sent, took)
                raise answers.refusal(self.access, answer)
            tried += 1
            time.sleep(pause)

    def _response(self, verb: str, path: str, body: dict[str, Any] | None) -> urllib3.BaseHTTPResponse:
        patience = urllib3.Timeout(
            connect=min(CONNECT_SECONDS, self.answer_within_seconds), read=self.answer_within_seconds
        )
        headers = self.access.headers if self.kept else self.access.headers | {"Connection": "close"}
        try:
            # Not every server repeats "Connection: close", and a pool would ask again over what is about to be closed.
            with nullcontext(self.pool) if self.kept else self.access.pool() as pool:
                return pool.request(
                    verb, self.base + path, headers=headers, timeout=patience, redirect=False, json=body
                )
        except urllib3.exceptions.HTTPError as error:
            raise answers.unanswered(self.access, error, self.answer_within_seconds) from None

    def _nonsense(self, data: bytes = b"") -> Nonsense:
        return answers.nonsense(self.access, page=data.lstrip()[:1] == b"<")
