"""urllib3's exceptions in words, for every gateway that speaks HTTP through it."""

from __future__ import annotations

import math

from urllib3 import exceptions


def words(error: exceptions.HTTPError, patience: float) -> str:
    """What is wrong with a connection, to follow "MLflow at host:port". patience: seconds that it was given."""
    match error:
        case exceptions.NameResolutionError():
            return "cannot be found: its name does not resolve"
        # Before ConnectTimeoutError, whose subclass it is.
        case exceptions.NewConnectionError():
            return "refuses connections" if "refused" in str(error) else "cannot be reached"
        case exceptions.TimeoutError():
            # What is left of a deadline differs by a moment from call to call; what is said of it does not.
            return f"does not answer within {patience if patience < 1 else math.ceil(patience):g} s"
        case exceptions.SSLError():
            return "does not present a certificate that we trust"
        case exceptions.ProtocolError() | exceptions.DecodeError():
            return "broke off in the middle of its answer"
        case _:
            return "cannot be reached"
