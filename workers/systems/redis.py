"""The connection to our own Redis, and what is wrong with it, as sentences for people.

Redis may answer and yet be of no use: a replica after a failover, full, loading, or one that a password has changed on.
Each has a sentence of its own; all of them pass, so whoever needs Redis waits and tries again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis, exceptions
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from workers.settings import SettingsError
from workers.systems import connections
from workers.systems.errors import GatewayError, Unreachable

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems import Systems

SENTINEL: Final = ("redis+sentinel://", "rediss+sentinel://")
SENTINEL_PORT: Final = 26379
_ASK_SENTINEL_SECONDS: Final = 1.0


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
    options: dict[str, Any] = {
        "socket_timeout": answer_within_seconds,
        "socket_connect_timeout": min(answer_within_seconds, 3.0),
        "retry": Retry(backoff, 1 + int(patience_seconds / every)),
        "health_check_interval": 30,
        # Else each new connection looks the client's version up on the disk, and tells the server in two calls more.
        "driver_info": None,
    }
    address = url.get_secret_value()
    return _by_sentinel(address, options) if address.startswith(SENTINEL) else Redis.from_url(address, **options)


def _by_sentinel(url: str, options: dict[str, Any]) -> Redis:
    """As redis+sentinel://:password@host:26379,host2:26379/name/0 says: the primary of that name, asked for anew each
    time a connection is made. sentinel_password and sentinel_username follow as a query where the sentinels have them.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    name, _, database = parts.path.strip("/").partition("/")
    sentinels = [_host(each) for each in hosts.split(",") if each]
    if not name or not sentinels or not (database or "0").isdigit():
        raise SettingsError(
            "REDIS_URL is wrong: of sentinels it must be like redis+sentinel://:password@host:26379,host2:26379/name/0."
        )
    user, _, password = credentials.partition(":")
    asked = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    encrypted = {"ssl": True} if parts.scheme == "rediss+sentinel" else {}
    of_sentinels = {
        "socket_timeout": _ASK_SENTINEL_SECONDS,
        "username": asked.get("sentinel_username"),
        "password": asked.get("sentinel_password"),
        **encrypted,
    }
    found = Sentinel(sentinels, sentinel_kwargs=of_sentinels)  # type: ignore[no-untyped-call]
    login = {"username": unquote(user) or None, "password": unquote(password) or None}
    client: Redis = found.master_for(name, db=int(database or 0), **login, **encrypted, **options)  # type: ignore[no-untyped-call]
    return client


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, "", "")
    return host.strip("[]"), int(port) if port.isdigit() else SENTINEL_PORT


def if_there(systems: Systems) -> tuple[Redis | None, str]:
    """Our Redis; None where it is not configured or does not answer, and why: for what only says more with it."""
    try:
        systems.redis.ping()
    except SettingsError as error:
        return None, str(error)
    except exceptions.RedisError as error:
        return None, explained(error, systems.redis).message
    return systems.redis, ""


@contextmanager
def translated(client: Redis) -> Iterator[None]:
    """Within, what the client raises becomes a sentence. Raises GatewayError, and Unreachable where nobody answers."""
    try:
        yield
    except exceptions.RedisError as error:
        raise explained(error, client) from None


def explained(error: exceptions.RedisError, client: Redis | None = None) -> GatewayError:  # noqa: PLR0911 - one each
    """What is wrong, in a sentence, and what to do."""
    at = f"Redis at {address_of(client)}" if client is not None else "Redis"
    match error:
        case exceptions.AuthenticationError() | exceptions.AuthorizationError():
            return GatewayError(f"{at} does not accept our password.", "Check the password in REDIS_URL.")
        case exceptions.NoPermissionError():
            return GatewayError(
                f"{at} does not allow our user what we need.", "Give it all commands on our keys, channels and scripts."
            )
        case exceptions.BusyLoadingError():
            return GatewayError(f"{at} is still loading its data.", "Wait a moment.")
        case MasterNotFoundError():
            return Unreachable(
                f"{at} has no primary that its sentinels know.", "Check the sentinels, and the name in REDIS_URL."
            )
        case exceptions.TimeoutError():
            return Unreachable(f"{at} does not answer in time.", "Check its pod.")
        case exceptions.ConnectionError():
            return Unreachable(f"{at} {connections.reached(error)}.", "Check its pod and REDIS_URL.")
    # Of some answers the client keeps the code as a type, and in a script's answer it stands in the text.
    code = next((code for kind, code in _CODES if isinstance(error, kind)), "")
    return _refused(at, f"{code} {error}".strip())


def _refused(at: str, said: str) -> GatewayError:
    """By how the answer begins: inside of a script Redis tells its own errors as text."""
    for words, sentence, hint in _ANSWERS:
        if words in said:
            return GatewayError(f"{at} {sentence}", hint)
    return GatewayError(f"{at} answers: {said[:160].rstrip('.')}.")


_CLUSTER: Final = (
    "is a Redis Cluster, which cannot be used: one step of ours writes keys of several slots.",
    "Use a single Redis or Valkey, with replicas and Sentinel if it must be available.",
)
_ANSWERS: Final = (
    (
        "READONLY",
        "is a replica and takes no writes, as after a failover.",
        "Point REDIS_URL at the primary, or at its sentinels with redis+sentinel://.",
    ),
    (
        "OOM",
        "is full: it has used up its maxmemory.",
        "Raise maxmemory, or remove what else is kept in it; nothing of ours may be evicted.",
    ),
    (
        "MISCONF",
        "takes no writes: it cannot save to its disk.",
        "Free its disk; its own log says more.",
    ),
    ("LOADING", "is still loading its data.", "Wait a moment."),
    ("NOREPLICAS", "takes no writes: it has too few replicas.", "Check its replicas, and min-replicas-to-write."),
    ("MASTERDOWN", "is a replica that has lost its primary.", "Point REDIS_URL at the primary."),
    ("CLUSTERDOWN", *_CLUSTER),
    ("MOVED", *_CLUSTER),
    ("CROSSSLOT", *_CLUSTER),
    ("don't hash to the same slot", *_CLUSTER),
    ("NOSCRIPT", "has forgotten a script of ours.", "Ask again."),
)

_CODES: Final = (
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.ClusterCrossSlotError, "CROSSSLOT"),
    (exceptions.MovedError, "MOVED"),
)


def refuse_cluster(client: Redis) -> None:
    """Raises SettingsError where it is a Redis Cluster. That it does not answer is no reason: it is waited for."""
    try:
        told: Any = client.info("cluster")
    except exceptions.RedisError:
        return
    if int(told.get("cluster_enabled", 0)):
        sentence, hint = _CLUSTER
        raise SettingsError(f"REDIS_URL is wrong: Redis at {address_of(client)} {sentence} {hint}")


def address_of(client: Redis) -> str:
    """host:port, or the path of its socket, or the name that its sentinels know it by."""
    pool = client.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        return str(pool.service_name)
    told = pool.connection_kwargs
    return str(told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}")
