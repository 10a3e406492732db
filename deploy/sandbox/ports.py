"""Loopback ports: chosen once, remembered, and chosen again where something else has taken one.

All of them are held open while they are chosen, so that no two parts get the same. Between the choice and the part's
own bind there is a moment in which another program may take one; that part then fails to start and says so.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from .errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOST = "127.0.0.1"


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
            holder = _hold(remembered.get(name, 0))
            if holder is not None:
                held.enter_context(holder)
                chosen[name] = holder.getsockname()[1]
        for name in open_names:
            if name not in chosen:
                holder = _hold(0)
                if holder is None:
                    msg = f"No free port is left on {HOST} for {name}."
                    raise SandboxError(msg)
                held.enter_context(holder)
                chosen[name] = holder.getsockname()[1]
    return chosen


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
