"""A worker seals the audit record: every two seconds, in a thread beside its jobs, whatever they do.

So long an entry stands in Redis without a seal; longer only while no worker lives. The thread remembers the last seal
that it saw: if Redis has another one in its place, or none, somebody set the record back, or Redis has lost its latest
writes. Both are noted in the record itself and in the log, which whoever owns Redis cannot reach.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

import structlog
from redis.exceptions import RedisError

from workers.errors import OperatorError
from workers.records import audit_key, audit_log, audit_seals
from workers.records.audit_seals import Seal, SealKeys
from workers.settings import SettingsError
from workers.systems import Systems
from workers.systems.redis import explained

if TYPE_CHECKING:
    from redis import Redis

    from workers.settings import Settings

EVERY_SECONDS: Final = 2.0
KEY_SECONDS: Final = 15.0
"""Between two questions for the key, where it is KMS' and was refused."""
_NOTED_SECONDS: Final = 3600

_log = structlog.get_logger(__name__)


@dataclass
class Sealing:
    """One worker's sealing. known: the last seal that it saw, with its entry's id. told_to: a line for each entry."""

    redis: Redis
    keys: SealKeys
    told_to: TextIO | None = None
    known: tuple[str, Seal] | None = None

    def step(self) -> int:
        """Seal what is new; how many. Raises RedisError."""
        if self.known is not None:
            self._compare(self.known)
        sealed = 0
        while made := audit_seals.seal(self.redis, self.keys):
            sealed += len(made)
            if self.told_to is not None:
                for entry, seal in made:
                    print(audit_seals.line(entry, seal), file=self.told_to, flush=True)
        self.known = audit_seals.last(self.redis)
        return sealed

    def _compare(self, known: tuple[str, Seal]) -> None:
        wrong = audit_seals.came_after(self.redis, known)
        if not wrong:
            return
        _log.error("the audit record was set back", what=wrong)
        # Of many workers that saw the same, one notes it.
        if self.redis.set(f"{audit_log.STREAM}:set-back:{known[1].mac}", 1, nx=True, ex=_NOTED_SECONDS):
            event = {"what": audit_log.SET_BACK, "text": f"A worker saw that {wrong}."}
            audit_log.note(self.redis, json.dumps(event))
        self.known = None


def begin(settings: Settings) -> threading.Event:
    """Seal in a thread of this process until the event is set, or the process ends."""
    stop = threading.Event()
    if not audit_key.given(settings):
        _log.warning("the audit record is not sealed: no MLFLOW_OPS_AUDIT_KEY, MLFLOW_OPS_BACKUP_KEY or KMS key")
    threading.Thread(target=_serve, args=(settings, stop), name="sealing", daemon=True).start()
    return stop


def _serve(settings: Settings, stop: threading.Event) -> None:
    systems, told_to = Systems(settings), sys.stdout if settings.ops.audit.export == "stdout" else None
    sealing, said, pause = None, "", EVERY_SECONDS
    while not stop.is_set():
        try:
            # What has a key in KMS is not sealed without it, however long KMS or the bucket is away.
            sealing = sealing or Sealing(systems.redis, audit_key.keys(systems, make=True), told_to)
            sealing.step()
            said, pause = "", EVERY_SECONDS
        except (RedisError, OperatorError, SettingsError) as error:
            # The worker itself waits for Redis, and says so; here it is only of note what is not done meanwhile.
            why = str(explained(error, systems.redis) if isinstance(error, RedisError) else error)
            if why != said:
                _log.warning("the audit record is not sealed at the moment", why=why)
            said, pause = why, EVERY_SECONDS if isinstance(error, RedisError) else KEY_SECONDS
        stop.wait(pause)
