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

from workers.records import audit_log, audit_seals
from workers.records.audit_seals import Seal, SealKeys
from workers.systems.redis import connect, explained

if TYPE_CHECKING:
    from redis import Redis

    from workers.settings import Settings

EVERY_SECONDS: Final = 2.0
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
    told_to = sys.stdout if settings.ops.audit.export == "stdout" else None
    sealing = Sealing(connect(settings), SealKeys.of(settings), told_to)
    if not sealing.keys.given:
        _log.warning("the audit record is not sealed: set MLFLOW_OPS_AUDIT_KEY or MLFLOW_OPS_BACKUP_KEY")
    threading.Thread(target=_serve, args=(sealing, stop), name="sealing", daemon=True).start()
    return stop


def _serve(sealing: Sealing, stop: threading.Event) -> None:
    said = ""
    while not stop.is_set():
        try:
            sealing.step()
            said = ""
        except RedisError as error:
            # The worker itself waits for Redis, and says so; here it is only of note what is not done meanwhile.
            if (why := str(explained(error, sealing.redis))) != said:
                _log.warning("the audit record is not sealed at the moment", why=why)
            said = why
        stop.wait(EVERY_SECONDS)
