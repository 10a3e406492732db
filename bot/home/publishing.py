"""Keeps the App Homes that people have opened as things are, within what Slack bears.

    home:open         sorted set: person → when they opened it last, epoch seconds
    home:due          sorted set: person → when it is to be drawn next
    home:opened       stream: somebody opened theirs
    home:view:<id>    JSON: the hash of the view that Slack has, the digest of what it shows

Slack does not say when somebody leaves, so a Home counts as open for `OPEN_SECONDS`. What makes it out of date is a
moment of some command, which the audit record tells at once; many moments within a few seconds are one drawing, and
what would look the same is not sent (views.publish is tier 4). A workspace that refuses a table in a Home gets older
blocks there for a day. Any number of bots may do this: a person is drawn by whoever takes them from `due`, and the
view's hash keeps an older drawing from overwriting a newer one
(https://docs.slack.dev/reference/methods/views.publish).
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError
from slack_sdk.errors import SlackApiError

from bot.home import page
from bot.home.page import Person
from bot.slack_errors import FAILURES, Kind, meaning
from commands.policy import Unsure
from workers.operations.commands.overview import overview
from workers.operations.incident import store
from workers.records import audit_log, counters, lacking
from workers.records.keys import PREFIX
from workers.records.outbox import Limit, Outbox
from workers.records.store import Records
from workers.rendering import limits
from workers.rendering.blocks import home
from workers.rendering.older import any_new, older

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from slack_sdk import WebClient

    from commands.policy import Members
    from workers.settings import Ops

OPEN_SECONDS: Final = 1800.0
MOST_OPEN: Final = 200
BETWEEN_SECONDS: Final = 2.0
"""For one person."""
STEP_SECONDS: Final = 10.0
"""While something runs, so that its progress is seen."""
ANYWAY_SECONDS: Final = 300.0
"""Roles change, and health is checked in terminals, without a moment in the audit record."""
PER_MINUTE: Final = 80
"""Tier 4 begins at a hundred a minute (https://docs.slack.dev/apis/web-api/rate-limits)."""
LISTEN_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 5.0
_VIEW_SECONDS: Final = 24 * 3600
_LIMIT: Final = Limit("views.publish", every=60 / PER_MINUTE, burst=10)

_OPEN: Final = PREFIX + "home:open"
_DUE: Final = PREFIX + "home:due"
_OPENED: Final = PREFIX + "home:opened"

_log = structlog.get_logger(__name__)


def opened(redis: Redis, user: str, view_hash: str, now: float) -> None:
    """Somebody opened their Home: draw it at once, and keep it fresh. view_hash: of what Slack shows, "" for nothing.

    Raises redis.exceptions.RedisError.
    """
    if not view_hash or _Shown.of(redis, user).hash != view_hash:
        redis.delete(_view(user))
    pipe = redis.pipeline(transaction=False)
    pipe.zadd(_OPEN, {user: now})
    pipe.zremrangebyrank(_OPEN, 0, -MOST_OPEN - 1)
    # Before all who only see a change later.
    pipe.zadd(_DUE, {user: 0.0}, lt=True)
    pipe.xadd(_OPENED, {"user": user}, maxlen=100)
    pipe.execute()


@dataclass(frozen=True)
class _Shown:
    """What Slack shows of a person's Home, and since when."""

    hash: str = ""
    digest: str = ""
    at: float = 0.0

    @classmethod
    def of(cls, redis: Redis, user: str) -> _Shown:
        raw: Any = redis.get(_view(user))
        return cls(**json.loads(raw)) if raw else cls()


class Publisher:
    """Draws what is due, one Home at a time. client: without retries of its own."""

    def __init__(
        self, client: WebClient, redis: Redis, ops: Ops, members: Members, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._redis = redis
        self._ops = ops
        self._members = members
        self._clock = clock
        self._outbox = Outbox(redis, clock=clock)
        self._heard: dict[str, str] = {}
        self._pause_until = 0.0

    def serve(self, stop: threading.Event) -> None:
        """Publish until `stop` is set; while Redis is away, look again each second."""
        wait = 0.0
        while not stop.is_set():
            try:
                self.listen(min(wait, LISTEN_SECONDS))
                wait = self.step()
            except RedisError as error:
                _log.warning("App Homes pause: Redis is away", error=type(error).__name__)
                self._heard = {}
                stop.wait(1.0)
            except Exception:  # noqa: BLE001 - whatever is wrong with one Home, the others are drawn
                _log.exception("a Home could not be drawn")
                stop.wait(1.0)

    def listen(self, seconds: float) -> None:
        """Wait so long for something to happen, and note whose Homes are out of date. Raises RedisError."""
        if not self._heard:
            # What happened before is not known to have been drawn.
            self._heard = {stream: self._last(stream) for stream in (audit_log.STREAM, _OPENED)}
            self._out_of_date()
            return
        block = max(1, int(seconds * 1000)) if seconds > 0 else None
        streams: dict[Any, Any] = dict(self._heard)
        heard: Any = self._redis.xread(streams, count=500, block=block)
        for stream, moments in heard or ():
            self._heard[stream.decode()] = moments[-1][0].decode()
            if stream.decode() == audit_log.STREAM:
                self._out_of_date()

    def step(self) -> float:
        """Draw one Home if one is due: 0, or the seconds until one is. Raises RedisError."""
        first: Any = self._redis.zrange(_DUE, 0, 0, withscores=True)
        if not first:
            return LISTEN_SECONDS
        user, due = first[0][0].decode(), float(first[0][1])
        wait = max(due, self._pause_until) - self._clock()
        if wait > 0:
            return max(0.001, wait)
        if self._redis.zrem(_DUE, user):
            self._draw(user, due)
        return 0.0

    def _draw(self, user: str, due: float) -> None:
        now = self._clock()
        if (self._redis.zscore(_OPEN, user) or 0.0) <= now - OPEN_SECONDS:
            return
        person = Person(user, self._ops, self._members)
        try:
            may_look = person.role is not None and not person.stranger()
        except Unsure as error:
            _log.warning("a Home is not drawn yet", user=user, why=error.message)
            self._later(user, AWAY_SECONDS)
            return
        moment = datetime.fromtimestamp(now, UTC)
        seen = overview(self._redis, self._ops, user, moment) if may_look else None
        incidents = store.every(self._redis, self._ops, Records(self._redis)) if may_look else ()
        view = self._taken(page.view(person, seen, moment, incidents))
        digest = hashlib.sha256(json.dumps(view, sort_keys=True).encode()).hexdigest()
        shown = _Shown.of(self._redis, user)
        wait = 0.0 if digest == shown.digest else self._published(user, view, _Shown(shown.hash, digest, shown.at))
        if self._pause_until > now:
            # It keeps its place.
            self._redis.zadd(_DUE, {user: due}, lt=True)
        elif wait:
            self._later(user, wait)
        elif may_look:
            self._later(user, STEP_SECONDS if seen and seen.running else ANYWAY_SECONDS)

    def _published(self, user: str, view: dict[str, Any], shown: _Shown) -> float:
        """Give it to Slack: 0, or the seconds until this person's Home is to be drawn again."""
        soon = shown.at + BETWEEN_SECONDS - self._clock()
        if soon > 0:
            return soon
        wait = self._outbox.allowance(_LIMIT)
        if wait:
            self._pause_until = self._clock() + wait
            return wait
        try:
            answer: Any = self._client.views_publish(user_id=user, view=view, hash=shown.hash or None)
        except FAILURES as error:
            return self._after(error, user, any_new(view["blocks"]))
        known = _Shown(answer["view"]["hash"], shown.digest, self._clock())
        self._redis.set(_view(user), json.dumps(asdict(known)), ex=_VIEW_SECONDS)
        counters.slack_called(self._redis, "home", "ok")
        return 0.0

    def _taken(self, view: dict[str, Any]) -> dict[str, Any]:
        """The view in blocks that Slack takes, and this workspace."""
        refused = lacking.lacks(self._redis, any_new(view["blocks"]), lacking.HOME) or limits.refused_view(view)
        return home(older(view["blocks"])) if refused else view

    def _after(self, error: Exception, user: str, new: set[str]) -> float:
        if isinstance(error, SlackApiError) and error.response.get("error") == "hash_conflict":
            # Another bot was faster: what it drew may be older than what is known now.
            self._redis.delete(_view(user))
            return BETWEEN_SECONDS
        answer = meaning(error)
        again = answer.again and (answer.untaken or not isinstance(error, SlackApiError))
        counters.slack_called(self._redis, "home", "again" if again else "refused")
        _log.warning("a Home was not published", why=answer.why, user=user)
        if new and answer.kind is Kind.CONTENT:
            lacking.note(self._redis, answer.lacking(new) or new, lacking.HOME)
            return BETWEEN_SECONDS
        if not again:
            # Slack would refuse the same again; the next moment makes another.
            return 0.0
        wait = max(answer.after_seconds, AWAY_SECONDS)
        if answer.untaken:
            self._outbox.used_up(_LIMIT, wait)
        return wait

    def _out_of_date(self) -> None:
        now = self._clock()
        self._redis.zremrangebyscore(_OPEN, "-inf", now - OPEN_SECONDS)
        people: Any = self._redis.zrange(_OPEN, 0, -1)
        if people:
            self._redis.zadd(_DUE, dict.fromkeys(people, now), lt=True)

    def _later(self, user: str, seconds: float) -> None:
        self._redis.zadd(_DUE, {user: self._clock() + seconds}, lt=True)

    def _last(self, stream: str) -> str:
        found: Any = self._redis.xrevrange(stream, count=1)
        return found[0][0].decode() if found else "0"


def start(client: WebClient, redis: Redis, ops: Ops, members: Members, stop: threading.Event) -> threading.Thread:
    """Start publishing in the background until `stop` is set."""
    publisher = Publisher(client, redis, ops, members)
    thread = threading.Thread(target=publisher.serve, args=(stop,), name="homes", daemon=True)
    thread.start()
    return thread


def _view(user: str) -> str:
    return f"{PREFIX}home:view:{user}"
