"""The MLflow server, over plain HTTP.

Traps this avoids: MlflowClient tries a refused connection for 246 s and takes a second to import; `/health` says OK
also without a database, so whoever wants to know asks `search_experiments`; MLflow answers 403 to a Host that it was
not told to accept, which looks like missing rights and is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

import urllib3

from workers.systems import connections
from workers.systems.errors import (
    Nonsense,
    TrackingError,
    TrackingHostRefused,
    TrackingInvalid,
    TrackingMissing,
    TrackingTaken,
    TrackingTimeout,
    TrackingUnauthorized,
    TrackingUnavailable,
    TrackingUnreachable,
)

if TYPE_CHECKING:
    from workers.settings import Settings

CONNECT_SECONDS: Final = 3.0
API: Final = "/api/2.0/mlflow/"
PAGE: Final = 1000
"""How much is asked for at once: MLflow's own default for runs; 50,000 is the most that it takes, in one answer of
hundreds of megabytes.
"""
SEARCH: Final = "/api/2.0/mlflow/experiments/search?max_results=1"
_SERVER_ERROR: Final = 500


@dataclass(frozen=True)
class Tracking:
    """One MLflow server. Safe for threads. Methods raise TrackingError or Nonsense.

    answer_within_seconds: how long one call may be silent. kept: whether a connection serves more than one call.
    """

    pool: urllib3.PoolManager
    base: str
    headers: dict[str, str]
    answer_within_seconds: float = 10.0
    kept: bool = True

    @classmethod
    def connect(cls, settings: Settings) -> Tracking:
        """From MLFLOW_TRACKING_URI, _USERNAME and _PASSWORD. Raises SettingsError where the first is not set."""
        environment = settings.environment
        environment.require("mlflow_tracking_uri")
        password = environment.mlflow_tracking_password
        parts = urlsplit(str(environment.mlflow_tracking_uri))
        headers = {"User-Agent": "mlflow-ops", "Accept": "application/json"}
        if environment.mlflow_tracking_username:
            pair = f"{environment.mlflow_tracking_username}:{password.get_secret_value() if password else ''}"
            headers |= urllib3.make_headers(basic_auth=pair)
        elif parts.username:
            headers |= urllib3.make_headers(basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
        pool = urllib3.PoolManager(maxsize=16, retries=False)
        # A user and password in the address stay out of what is shown.
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
        return cls(pool, bare, headers)

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
        return replace(self, headers=self.headers | {"Connection": "close"}, kept=False)

    @property
    def address(self) -> str:
        """host:port."""
        parts = urlsplit(self.base)
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

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
        text = self._get("/version").decode("utf-8", "replace").strip()
        if not text or len(text) > 40 or "<" in text:  # noqa: PLR2004
            raise self._nonsense()
        return text

    def search_experiments(self) -> list[dict[str, Any]]:
        """At most one experiment: the cheapest question that needs the database."""
        try:
            answer = json.loads(self._get(SEARCH))
        except ValueError:
            answer = None
        found = answer.get("experiments", []) if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise self._nonsense()
        return found

    def ask(self, method: str, **query: str) -> dict[str, Any]:
        """What a GET of this method ("runs/get") answers.

        Raises TrackingMissing, TrackingTaken and TrackingInvalid besides what every call does.
        """
        return self._object(self._get(f"{API}{method}?{urlencode(query)}"))

    def call(self, method: str, body: dict[str, Any], *, verb: str = "POST") -> dict[str, Any]:
        """What this method ("runs/search") answers to a body. Raises as `ask` does."""
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
            raise self._nonsense()
        return answer

    def _get(self, path: str) -> bytes:
        return self._send("GET", path, None)

    def _send(self, verb: str, path: str, body: dict[str, Any] | None) -> bytes:
        response = self._response(verb, path, body)
        if response.status == 200:  # noqa: PLR2004
            return response.data
        raise self._refusal(response.status, response.data[:2000].decode("utf-8", "replace"))

    def _response(self, verb: str, path: str, body: dict[str, Any] | None) -> urllib3.BaseHTTPResponse:
        patience = urllib3.Timeout(
            connect=min(CONNECT_SECONDS, self.answer_within_seconds), read=self.answer_within_seconds
        )
        try:
            # Not every server repeats "Connection: close", and a pool would ask again over what is about to be closed.
            with nullcontext(self.pool) if self.kept else urllib3.PoolManager(retries=False) as pool:
                return pool.request(
                    verb, self.base + path, headers=self.headers, timeout=patience, redirect=False, json=body
                )
        except urllib3.exceptions.HTTPError as error:
            refused = isinstance(error, urllib3.exceptions.NewConnectionError)
            late = isinstance(error, urllib3.exceptions.TimeoutError) and not refused
            kind = TrackingTimeout if late else TrackingUnreachable
            raise kind(
                f"MLflow at {self.address} {connections.words(error, self.answer_within_seconds)}.",
                "Check the Service, its endpoints and MLFLOW_TRACKING_URI.",
            ) from None

    def _refusal(self, status: int, body: str) -> TrackingError:
        at = f"MLflow at {self.address}"
        if status == 403 and "host" in body.lower():  # noqa: PLR2004
            host = urlsplit(self.base).hostname
            return TrackingHostRefused(
                f"{at} turns away requests for the host {host}.",
                f"Start the server with --allowed-hosts '{host},{host}:*' added.",
            )
        if status in {401, 403}:
            return TrackingUnauthorized(
                f"{at} does not accept our user and password.",
                "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user of its basic auth.",
            )
        if status >= _SERVER_ERROR:
            return TrackingUnavailable(f"{at} answers {status}: {_code(body)}.")
        kind = _REFUSALS.get(_code(body))
        if kind is not None:
            return kind(f"MLflow refuses: {_said(body)}", "Nothing was changed by this.")
        return TrackingError(f"{at} answers {status} to a question that every MLflow knows.", "Check the address.")

    def _nonsense(self) -> Nonsense:
        return Nonsense(
            f"MLflow at {self.address} answered something that is not MLflow's.",
            "Check MLFLOW_TRACKING_URI: a proxy or another program may answer there.",
        )


def _code(body: str) -> str:
    """MLflow's error code, or that there is none. The message may hold addresses and is left out."""
    try:
        code = json.loads(body)["error_code"]
    except (ValueError, KeyError, TypeError):
        return "an error page"
    return str(code)[:60]


def _said(body: str) -> str:
    """MLflow's own sentence about what it was asked."""
    message = " ".join(str(json.loads(body).get("message", "")).split())
    return message if len(message) <= _SENTENCE else message[: _SENTENCE - 1] + "…"


_SENTENCE: Final = 300
_REFUSALS: Final[dict[str, type[TrackingError]]] = {
    "RESOURCE_DOES_NOT_EXIST": TrackingMissing,
    "NOT_FOUND": TrackingMissing,
    "RESOURCE_ALREADY_EXISTS": TrackingTaken,
    "INVALID_PARAMETER_VALUE": TrackingInvalid,
    "INVALID_STATE": TrackingInvalid,
    "BAD_REQUEST": TrackingInvalid,
}
