"""The connection to our own Redis, and what is wrong with it, as sentences for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from workers.systems import connections
from workers.systems.errors import GatewayError, Unreachable

if TYPE_CHECKING:
    from workers.settings import Settings


def connect(settings: Settings, *, answer_within_seconds: float = 10.0, patience_seconds: float = 0.0) -> Redis:
    """A client for the Redis at REDIS_URL. Raises SettingsError where that is not set.

    answer_within_seconds: how long one call may take before redis.exceptions.TimeoutError; keep it under Slack's
    three seconds where somebody waits for an acknowledgement. A lost connection is tried once more, or for about
    patience_seconds where what is to be written must not be lost.
    """
    every = 2.0
    backoff = ExponentialBackoff(cap=every if patience_seconds else 0.2, base=0.02)
    settings.environment.require("redis_url")
    url = settings.environment.redis_url
    assert url is not None
    return Redis.from_url(
        url.get_secret_value(),
        socket_timeout=answer_within_seconds,
        socket_connect_timeout=min(answer_within_seconds, 3.0),
        retry=Retry(backoff, 1 + int(patience_seconds / every)),
        health_check_interval=30,
    )


@contextmanager
def translated(client: Redis) -> Iterator[None]:
    """Within, what the client raises becomes a sentence. Raises GatewayError, and Unreachable where nobody answers."""
    at = f"Redis at {address_of(client)}"
    try:
        yield
    except exceptions.AuthenticationError:
        raise GatewayError(f"{at} does not accept our password.", "Check the password in REDIS_URL.") from None
    except exceptions.TimeoutError:
        raise Unreachable(f"{at} does not answer in time.", "Check its pod.") from None
    except exceptions.BusyLoadingError:
        raise GatewayError(f"{at} is still loading its data.", "Wait a moment.") from None
    except exceptions.ConnectionError as error:
        raise Unreachable(f"{at} {connections.reached(error)}.", "Check its pod and REDIS_URL.") from None
    except (exceptions.ResponseError, exceptions.InvalidResponse) as error:
        raise GatewayError(f"{at} answers: {str(error)[:160].rstrip('.')}.") from None


def address_of(client: Redis) -> str:
    """host:port, or the path of its socket."""
    told = client.connection_pool.connection_kwargs
    return str(told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}")
