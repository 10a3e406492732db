"""What is wrong with a connection, in words: for every gateway that speaks HTTP through urllib3, and for Redis.

What happened is told by the types of exceptions, never by their text, which differs between systems and languages.
"""

from __future__ import annotations

import math
import socket

from urllib3 import exceptions


def words(error: exceptions.HTTPError | socket.gaierror, patience: float) -> str:
    """What is wrong with a connection, to follow "MLflow at host:port". patience: seconds that it was given."""
    match error:
        case exceptions.NameResolutionError() | socket.gaierror():
            return "cannot be found: its name does not resolve"
        # Before ConnectTimeoutError, whose subclass it is.
        case exceptions.NewConnectionError():
            return reached(error)
        case exceptions.TimeoutError():
            # What is left of a deadline differs by a moment from call to call; what is said of it does not.
            return f"does not answer within {patience if patience < 1 else math.ceil(patience):g} s"
        case exceptions.SSLError():
            return "does not present a certificate that we trust"
        case exceptions.ProtocolError() | exceptions.DecodeError():
            return "broke off in the middle of its answer"
        case _:
            return "cannot be reached"


def reached(error: BaseException) -> str:
    """Why no connection came about: the libraries keep the system's own error behind theirs."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, ConnectionRefusedError):
            return "refuses connections"
        behind = behind.__cause__ or behind.__context__
    return "cannot be reached"
