"""Started as a program of its own, beside a worker: it hosts the database of one peek, and ends by itself.

    python -m workers.operations.peek.host '{"id": …, "at": …, "until": …}'

It outlives the command that started it, and never the peek: it ends with its time, as Redis has it, where the peek is
not asked for any more, and where Redis has been away for a minute. Killed, its guard removes server and folder
(private_guard.py); where that was killed too, the next one to go back to a moment on this machine does.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from psycopg.conninfo import conninfo_to_dict
from redis.exceptions import RedisError

from workers import logging, settings
from workers.errors import OperatorError
from workers.operation import Cancelled
from workers.operations.peek import state
from workers.operations.peek.state import Asked, Host
from workers.operations.restore import from_base, moment
from workers.systems import Systems
from workers.systems.postgres.private_server import Door

if TYPE_CHECKING:
    from redis import Redis

LOOK_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 60.0
"""Redis may be away for so long; then nobody can say whether the peek is wanted."""

_log = structlog.get_logger(__name__)


@dataclass
class Wanted:
    """The progress of a peek's host: it says each step in Redis, and is cancelled where the peek is over.

    clock: seconds since 1970.
    """

    redis: Redis
    asked: Asked
    clock: Callable[[], float] = time.time
    _now: Host = field(init=False)
    _looked_at: float = 0.0
    _seen_at: float = field(init=False)

    def __post_init__(self) -> None:
        """It has just been asked for."""
        self._now = Host(id=self.asked.id)
        self._seen_at = self.clock()

    def step(self, name: str, of: str = "") -> None:
        """Say what is being done."""
        self._say(Host(id=self.asked.id, step=name, of=of))

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """Steps are enough."""

    def advance(self, done: int, total: int, unit: str) -> None:
        """Steps are enough."""

    def opened(self, address: str) -> None:
        """Say where the database is."""
        self._say(Host(id=self.asked.id, address=address))

    def failed(self, error: OperatorError) -> None:
        """Say why there is none."""
        self._say(Host(id=self.asked.id, problem=error.message, hint=error.hint))

    def checkpoint(self) -> None:
        """Raises Cancelled where the peek is over."""
        now = self.clock()
        if now >= self.asked.until:
            raise Cancelled("its time is over")
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            wanted = state.asked(self.redis)
            state.say(self.redis, self._now)
        except RedisError:
            if now - self._seen_at > AWAY_SECONDS:
                raise Cancelled("Redis is away") from None
            return
        self._seen_at = now
        if wanted is None or wanted.id != self.asked.id:
            raise Cancelled("it isn't asked for any more")
        self.asked = wanted

    def _say(self, how: Host) -> None:
        self._now = how
        with suppress(RedisError):  # the next look says it
            state.say(self.redis, how)


def serve(systems: Systems, wanted: Wanted) -> str:
    """Host it until it is over; why it is. What fails is said in Redis."""
    try:
        wanted.step("Looking at what is kept")
        chosen = moment.choose(systems, wanted.asked.at)
        door = door_of(systems)
        with from_base.replayed(systems, moment.of_base(chosen), chosen.to, wanted, door) as server:
            wanted.opened(written(door.address, door.port))
            while True:
                wanted.checkpoint()
                # Where it has ended, this says so.
                server.replayed()
                time.sleep(LOOK_SECONDS)
    except Cancelled as over:
        with suppress(RedisError):
            state.silent(wanted.redis)
        return over.left
    except OperatorError as error:
        wanted.failed(error)
        return error.message


def door_of(systems: Systems) -> Door:
    """For MLflow's own role, at this machine's address as the cluster sees it, on a port that is free."""
    address = own_address(systems.cluster.address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((address, 0))
        port = int(probe.getsockname()[1])
    role = str(conninfo_to_dict(systems.database.url).get("user") or "")
    return Door(address, port, systems.database.name, role)


def own_address(towards: str) -> str:
    """This machine's address on the way to a host:port. Nothing is sent."""
    host, _, port = towards.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    family, kind, _, _, where = found[0]
    with socket.socket(family, kind) as probe:
        probe.connect(where)
        return str(probe.getsockname()[0])


def written(address: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def main(words: str) -> None:
    """Host the peek that these words (JSON) ask for."""
    logging.configure("json")
    systems = Systems(settings.load(os.environ))
    asked = Asked.model_validate_json(words)
    why = serve(systems, Wanted(systems.redis, asked))
    _log.info("a peek is over", peek=asked.id, why=why)


if __name__ == "__main__":
    main(sys.argv[1])
