"""What must survive a restart: messages, reactions, pins, files, home tabs, and who was pinged.

One SQLite file in write-ahead mode: each call is one transaction, so a kill at any moment loses at most
the call that was being made. All access is from the event loop's thread; each statement is short.

Timestamps are Slack's `ts`: they name a message, never change, and sort as text because both parts
have a fixed width.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlflow_ops_sandbox.slack.errors import Json

_SCHEMA = """
create table if not exists messages (
  channel text not null, ts text not null, thread_ts text, broadcast integer not null default 0,
  body text not null, primary key (channel, ts)) without rowid;
create index if not exists replies on messages (channel, thread_ts, ts);
create table if not exists reactions (
  channel text not null, ts text not null, name text not null, user text not null,
  at integer primary key autoincrement, unique (channel, ts, name, user));
create table if not exists pins (
  channel text not null, ts text not null, user text not null, created integer not null,
  primary key (channel, ts)) without rowid;
create table if not exists files (id text primary key, body text not null) without rowid;
create table if not exists homes (user text primary key, body text not null) without rowid;
create table if not exists pings (at integer primary key autoincrement, body text not null);
"""


class Store:
    """The persisted state of the workspace."""

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        """Open (or make) the state under `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self.files_directory = directory / "files"
        self.files_directory.mkdir(exist_ok=True)
        self._db = sqlite3.connect(directory / "slack.sqlite", isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(_SCHEMA)
        (latest,) = self._db.execute("select max(ts) from messages").fetchone()
        self._last = _micros(latest) if latest else 0

    def close(self) -> None:
        """Close the database; calling twice does no harm."""
        self._db.close()

    def next_ts(self) -> str:
        """Return a new timestamp, later than every one before it, also across restarts."""
        self._last = max(int(self._clock() * 1_000_000), self._last + 1)
        return f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"

    # Messages

    def put_message(self, channel: str, message: Json) -> None:
        """Store a message, new or changed, under its own `ts`."""
        thread_ts = message.get("thread_ts")
        if thread_ts == message["ts"]:
            thread_ts = None
        broadcast = int(message.get("subtype") == "thread_broadcast")
        self._db.execute(
            "insert into messages values (?, ?, ?, ?, ?) on conflict (channel, ts) do update set body = excluded.body",
            (channel, message["ts"], thread_ts, broadcast, json.dumps(message)),
        )

    def message(self, channel: str, ts: str) -> Json | None:
        """Return one message with its thread's figures, reactions and pins; None where there is none."""
        row = self._db.execute("select body from messages where channel = ? and ts = ?", (channel, ts)).fetchone()
        return self._present(channel, json.loads(row[0])) if row else None

    def history(
        self, channel: str, *, oldest: str, latest: str, inclusive: bool, limit: int
    ) -> tuple[list[Json], bool]:
        """Return root messages (and broadcasts), newest first, and whether there are more."""
        low, high = (">=", "<=") if inclusive else (">", "<")
        rows = self._db.execute(
            f"select body from messages where channel = ? and (thread_ts is null or broadcast) "  # noqa: S608 - two operators
            f"and ts {low} ? and ts {high} ? order by ts desc limit ?",
            (channel, oldest, latest, limit + 1),
        ).fetchall()
        messages = [self._present(channel, json.loads(row[0])) for row in rows[:limit]]
        return messages, len(rows) > limit

    def replies(  # noqa: PLR0913 - a range
        self, channel: str, thread_ts: str, *, oldest: str, latest: str, inclusive: bool, limit: int
    ) -> tuple[list[Json], bool]:
        """Return a thread's replies (without the parent), oldest first, and whether there are more."""
        low, high = (">=", "<=") if inclusive else (">", "<")
        rows = self._db.execute(
            f"select body from messages where channel = ? and thread_ts = ? "  # noqa: S608 - two operators
            f"and ts {low} ? and ts {high} ? order by ts limit ?",
            (channel, thread_ts, oldest, latest, limit + 1),
        ).fetchall()
        messages = [self._present(channel, json.loads(row[0])) for row in rows[:limit]]
        return messages, len(rows) > limit

    def delete_message(self, channel: str, ts: str) -> None:
        """Remove a message with its reactions and pin."""
        for table in ("messages", "reactions", "pins"):
            self._db.execute(
                f"delete from {table} where channel = ? and ts = ?",  # noqa: S608 - fixed names
                (channel, ts),
            )

    def _present(self, channel: str, message: Json) -> Json:
        key = (channel, message["ts"])
        if not message.get("thread_ts") or message["thread_ts"] == message["ts"]:
            count, latest = self._db.execute(
                "select count(*), max(ts) from messages where channel = ? and thread_ts = ?", key
            ).fetchone()
            if count:
                people = self._people_in_thread(key)
                message |= {
                    "thread_ts": message["ts"],
                    "reply_count": count,
                    "reply_users_count": len(people),
                    "latest_reply": latest,
                    "reply_users": people[:5],
                    "is_locked": False,
                    "subscribed": False,
                }
        if reactions := self.reactions(*key):
            message["reactions"] = reactions
        if self._db.execute("select 1 from pins where channel = ? and ts = ?", key).fetchone():
            message["pinned_to"] = [channel]
        return message

    def _people_in_thread(self, key: tuple[str, str]) -> list[str]:
        rows = self._db.execute(
            "select json_extract(body, '$.user') as who from messages "
            "where channel = ? and thread_ts = ? group by who order by min(ts)",
            key,
        )
        return [row[0] for row in rows if row[0]]

    # Reactions and pins

    def add_reaction(self, channel: str, ts: str, name: str, user: str) -> bool:
        """Add a reaction; False where this person had reacted so already."""
        cursor = self._db.execute(
            "insert or ignore into reactions (channel, ts, name, user) values (?, ?, ?, ?)",
            (channel, ts, name, user),
        )
        return cursor.rowcount == 1

    def remove_reaction(self, channel: str, ts: str, name: str, user: str) -> bool:
        """Remove a reaction; False where there was none by this person."""
        cursor = self._db.execute(
            "delete from reactions where channel = ? and ts = ? and name = ? and user = ?",
            (channel, ts, name, user),
        )
        return cursor.rowcount == 1

    def reactions(self, channel: str, ts: str) -> list[Json]:
        """Return a message's reactions in the order in which they first appeared."""
        rows = self._db.execute(
            "select name, user from reactions where channel = ? and ts = ? order by at", (channel, ts)
        )
        found: dict[str, list[str]] = {}
        for name, user in rows:
            found.setdefault(name, []).append(user)
        return [{"name": n, "users": users, "count": len(users)} for n, users in found.items()]

    def add_pin(self, channel: str, ts: str, user: str) -> bool:
        """Pin a message; False where it is pinned already."""
        cursor = self._db.execute(
            "insert or ignore into pins values (?, ?, ?, ?)", (channel, ts, user, int(self._clock()))
        )
        return cursor.rowcount == 1

    def remove_pin(self, channel: str, ts: str) -> bool:
        """Unpin a message; False where it was not pinned."""
        cursor = self._db.execute("delete from pins where channel = ? and ts = ?", (channel, ts))
        return cursor.rowcount == 1

    def pins(self, channel: str) -> Iterator[tuple[str, str, int]]:
        """Yield (ts, who pinned, when) newest first."""
        yield from self._db.execute(
            "select ts, user, created from pins where channel = ? order by created desc, ts desc",
            (channel,),
        ).fetchall()

    # Files, home tabs, pings

    def put_file(self, file: Json) -> None:
        """Store what is known of a file; its bytes lie beside the database."""
        self._db.execute("insert or replace into files values (?, ?)", (file["id"], json.dumps(file)))

    def file(self, file_id: str) -> Json | None:
        """Return what is known of a file, or None."""
        row = self._db.execute("select body from files where id = ?", (file_id,)).fetchone()
        return dict(json.loads(row[0])) if row else None

    def put_home(self, user: str, view: Json) -> None:
        """Store the App Home tab of one person."""
        self._db.execute("insert or replace into homes values (?, ?)", (user, json.dumps(view)))

    def home(self, user: str) -> Json | None:
        """Return the App Home tab of one person, or None where nothing was published."""
        row = self._db.execute("select body from homes where user = ?", (user,)).fetchone()
        return dict(json.loads(row[0])) if row else None

    def add_ping(self, ping: Json) -> None:
        """Record that a message would have notified somebody."""
        self._db.execute("insert into pings (body) values (?)", (json.dumps(ping),))

    def pings(self) -> list[Json]:
        """Return every recorded notification, oldest first."""
        return [json.loads(row[0]) for row in self._db.execute("select body from pings order by at")]


def _micros(ts: str) -> int:
    seconds, micros = ts.split(".")
    return int(seconds) * 1_000_000 + int(micros)
