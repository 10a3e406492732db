"""Alertmanager, over its API v2: what fires, and silences.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. Nothing is tried twice: a silence that was
made twice would have to be ended twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import urllib3

from workers.errors import OperatorError
from workers.systems import connections
from workers.systems.errors import GatewayError, Nonsense, SilenceMissing, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.settings import Settings

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
_SENTENCE: Final = 300
_OK, _NOT_FOUND = 200, 404
_LOCKED: Final = frozenset({401, 403})


@dataclass(frozen=True)
class Alertmanager:
    """One Alertmanager. Safe for threads. Methods raise Unreachable, Nonsense and GatewayError."""

    pool: urllib3.PoolManager
    base: str
    headers: Mapping[str, str]

    @classmethod
    def connect(cls, settings: Settings) -> Alertmanager:
        """From MLFLOW_OPS_ALERTMANAGER_URL. Raises OperatorError where that is not set."""
        url = settings.environment.alertmanager_url
        if url is None:
            raise OperatorError(
                "The workers do not know where Alertmanager is.",
                "Set MLFLOW_OPS_ALERTMANAGER_URL for them, such as http://alertmanager.monitoring:9093.",
            )
        parts = urlsplit(url.get_secret_value())
        headers = {"User-Agent": "mlflow-ops", "Accept": "application/json"}
        if parts.username:
            headers |= urllib3.make_headers(basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")
        return cls(urllib3.PoolManager(retries=False), bare, headers)

    def __repr__(self) -> str:
        return f"Alertmanager({self._address})"

    def alerts(self) -> list[dict[str, Any]]:
        """All that are active, also those that are silenced: labels, annotations, fingerprint, startsAt, status."""
        return self._list("GET", "/api/v2/alerts")

    def silences(self) -> list[dict[str, Any]]:
        """All, also those that have ended: id, matchers, startsAt, endsAt, createdBy, comment, status."""
        return self._list("GET", "/api/v2/silences")

    def silence(self, silence_id: str) -> dict[str, Any]:
        """One of them. Raises SilenceMissing."""
        return self._object(self._asked("GET", f"/api/v2/silence/{quote(silence_id, safe='')}"))

    def create(self, matchers: Mapping[str, str], begins: datetime, ends: datetime, by: str, comment: str) -> str:
        """Silence all alerts with exactly these labels from one moment to another; the silence's id."""
        body = {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in matchers.items()
            ],
            "startsAt": begins.isoformat(),
            "endsAt": ends.isoformat(),
            "createdBy": by,
            "comment": comment,
        }
        made = self._object(self._asked("POST", "/api/v2/silences", body)).get("silenceID")
        if not isinstance(made, str) or not made:
            raise self._nonsense()
        return made

    def expire(self, silence_id: str) -> None:
        """End a silence now. Raises SilenceMissing."""
        self._asked("DELETE", f"/api/v2/silence/{quote(silence_id, safe='')}")

    @property
    def _address(self) -> str:
        return urlsplit(self.base).netloc

    def _list(self, verb: str, path: str) -> list[dict[str, Any]]:
        answer = self._json(self._asked(verb, path))
        if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
            raise self._nonsense()
        return answer

    def _object(self, data: bytes) -> dict[str, Any]:
        answer = self._json(data)
        if not isinstance(answer, dict):
            raise self._nonsense()
        return answer

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            raise self._nonsense() from None

    def _asked(self, verb: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        patience = urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS)
        try:
            response = self.pool.request(
                verb, self.base + path, headers=self.headers, timeout=patience, redirect=False, json=body
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"Alertmanager at {self._address} {connections.words(error, ANSWER_SECONDS)}.",
                "Check MLFLOW_OPS_ALERTMANAGER_URL, and that the workers may reach it.",
            ) from None
        if response.status == _OK:
            return response.data
        if response.status == _NOT_FOUND and "/silence/" in path:
            raise SilenceMissing("Alertmanager knows no silence with that id.", "See /mlflow alerts list.")
        if response.status in _LOCKED:
            raise GatewayError(
                f"Alertmanager at {self._address} does not let us in ({response.status}).",
                "Put the user and password into MLFLOW_OPS_ALERTMANAGER_URL.",
            )
        said = " ".join(response.data[:_SENTENCE].decode("utf-8", "replace").split())
        raise GatewayError(f"Alertmanager at {self._address} answers {response.status}: {said}")

    def _nonsense(self) -> Nonsense:
        return Nonsense(
            f"Alertmanager at {self._address} answered something that is not Alertmanager's.",
            "Check MLFLOW_OPS_ALERTMANAGER_URL: a proxy or another program may answer there.",
        )
