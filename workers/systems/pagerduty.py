"""PagerDuty's Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview).

An event with the same dedup_key belongs to the same incident, so one that is sent twice does no harm: what had no
clear answer is sent once more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import urllib3

from workers.systems import connections
from workers.systems.errors import PagerError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from workers.settings import Settings

SECONDS: Final = 4.0
PAUSES: Final = (1.0, None)
"""Between one attempt and the next."""
_ACCEPTED: Final = 202
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_ANSWER_CHARACTERS: Final = 200

Action = Literal["trigger", "acknowledge", "resolve"]


@dataclass(frozen=True)
class Pager:
    """One service in PagerDuty."""

    pool: urllib3.PoolManager
    url: str
    key: SecretStr
    pause: Callable[[float], None] = time.sleep

    @classmethod
    def connect(cls, settings: Settings) -> Pager | None:
        """From MLFLOW_OPS_PAGERDUTY_KEY and _URL; None without a key."""
        environment = settings.environment
        if environment.pagerduty_key is None:
            return None
        return cls(urllib3.PoolManager(retries=False), str(environment.pagerduty_url), environment.pagerduty_key)

    def __repr__(self) -> str:
        return f"Pager({self._host})"

    @property
    def _host(self) -> str:
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def send(self, action: Action, dedup_key: str, **more: Any) -> None:
        """Send an event. more: `payload` (a trigger needs one) and `links`. Raises PagerError."""
        event = {"routing_key": self.key.get_secret_value(), "event_action": action, "dedup_key": dedup_key, **more}
        body = json.dumps(event).encode()
        why = ""
        for pause in PAUSES:
            why, final = self._tried(body)
            if not why:
                return
            if final or pause is None:
                break
            self.pause(pause)
        raise PagerError(f"PagerDuty ({self._host}) {why}.", "Call the person on call yourself.")

    def _tried(self, body: bytes) -> tuple[str, bool]:
        """What went wrong, empty where nothing did; and whether it would go wrong again."""
        try:
            answer = self.pool.request(
                "POST",
                self.url,
                body=body,
                headers={"Content-Type": "application/json", "User-Agent": "mlflow-ops"},
                timeout=urllib3.Timeout(connect=SECONDS, read=SECONDS),
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return connections.words(error, SECONDS), False
        if answer.status == _ACCEPTED:
            return "", True
        again = answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR
        said = " ".join(answer.data[:_ANSWER_CHARACTERS].decode("utf-8", "replace").split())
        return f"answers {answer.status}: {said}".rstrip(": "), not again
