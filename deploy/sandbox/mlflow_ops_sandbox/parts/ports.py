"""Loopback ports: chosen once, remembered, and chosen again where something else has taken one.

All of them are held open while they are chosen, so that no two parts get the same. Between the choice and the part's
own bind there is a moment in which another program may take one; that part then fails to start and says so. So they are
not taken from the range that the system gives to every outgoing connection (32768 and up on Linux, 49152 and up on
macOS), where somebody takes one each moment.
"""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOST = "127.0.0.1"
QUIET = range(20_000, 32_768)
"""Nobody is given a port of these without asking for it."""

_chance = random.SystemRandom()


def choose(names: Iterable[str], remembered: Mapping[str, int], fixed: Mapping[str, int]) -> dict[str, int]:
    """A free port for each name: the fixed one, else the remembered one if it is free, else any.

    Raises SandboxError where a fixed port is taken.
    """
    chosen: dict[str, int] = {}
    with ExitStack() as held:
        for name, port in fixed.items():
            holder = _hold(port)
            if holder is None:
                msg = f"Port {port} for {name} is in use: end what uses it, or name another one."
                raise SandboxError(msg)
            held.enter_context(holder)
            chosen[name] = port
        open_names = [name for name in names if name not in chosen]
        for name in open_names:
            holder = _hold(remembered[name]) if name in remembered else None
            if holder is not None:
                held.enter_context(holder)
                chosen[name] = holder.getsockname()[1]
        for name in open_names:
            if name not in chosen:
                holder = _hold_any()
                if holder is None:
                    msg = f"No free port is left on {HOST} for {name}."
                    raise SandboxError(msg)
                held.enter_context(holder)
                chosen[name] = holder.getsockname()[1]
    return chosen


def free() -> int:
    """A port on which nothing listens, for whoever is to listen there next. Raises SandboxError where none is left."""
    return choose(["it"], {}, {})["it"]


def _hold_any() -> socket.socket | None:
    """Any free port, held; of the system's own choice only where none of the quiet ones is free."""
    tried = (_hold(port) for port in _chance.sample(QUIET, len(QUIET)))
    return next((holder for holder in tried if holder is not None), None) or _hold(0)


def _hold(port: int) -> socket.socket | None:
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Connections of the last run that linger in TIME_WAIT do not count as use.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((HOST, port))
        # With SO_REUSEADDR, a bind alone succeeds beside another bound socket; only listening finds out.
        holder.listen(1)
    except (OSError, OverflowError):
        holder.close()
        return None
    return holder
