"""A private PostgreSQL: on a socket in a folder of its own, nobody's but ours, gone with the folder. A door may be made
for one role that only reads.

It is given a base backup's files and replays WAL that is laid into a folder beside them, as a standby does: so it may
be asked while it waits for more, and where the WAL ends it waits instead of failing. (With recovery.signal it would
end with "recovery ended before configured recovery target was reached" whenever nobody has written since the moment
that is wanted.) It is never promoted.

A base backup brings postgresql.auto.conf, which may name an archive, a primary and libraries: it is emptied.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.conninfo import make_conninfo

from workers.errors import OperatorError
from workers.systems import temporary
from workers.systems.errors import DatabaseError
from workers.systems.postgres import private_guard
from workers.systems.postgres.database import Database
from workers.systems.postgres.programs import Program
from workers.systems.postgres.recovered import WHOLE
from workers.systems.postgres.replication import HOT_STANDBY
from workers.systems.postgres.wal_position import position, shown

if TYPE_CHECKING:
    from workers.settings import Settings

FOLDER: Final = "mlflow-ops-moment-"
PORT: Final = 5432
"""Of the socket's name; nobody listens on it unless there is a door."""
DATA, WAL, LOG = "data", "wal", "log"
FORGOTTEN_SECONDS: Final = 3600.0
"""After which a folder without a guard is nobody's: between the two there is a moment."""
END_SECONDS: Final = 60.0
_DEBIAN: Final = Path("/usr/lib/postgresql")
_RESTORED: Final = re.compile(r'restored log file "([0-9A-F]{24})" from archive')
_FATAL: Final = re.compile(r"(?:FATAL|PANIC): +(.*)")
_QUESTION: Final = "SELECT pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()"
_STOPPED: Final = re.compile(r"recovery stopping (?:before|after) ")
_TOO_SMALL: Final = re.compile(r"(?:hot standby is not possible|recovery aborted) because of insufficient parameter")


@dataclass(frozen=True)
class Replayed:
    """How far it is. stopped: it has come to the moment that it was to stop at. last: the last transaction's time."""

    lsn: int
    stopped: bool
    last: datetime | None


@dataclass(frozen=True)
class Door:
    """Who is let in by TCP: one role, with the password that it had, to one database. address: of this machine."""

    address: str
    port: int
    database: str
    role: str

    @property
    def rules(self) -> str:
        """Of pg_hba.conf. `md5` takes what the role has, SCRAM's verifier too, and never sends a password."""
        names = " ".join('"' + each.replace('"', '""') + '"' for each in (self.database, self.role))
        return "".join(f"host {names} {everybody} md5\n" for everybody in ("0.0.0.0/0", "::0/0"))


@dataclass
class PrivateServer:
    """A folder with a guard, in which a server may be started once. Methods raise OperatorError."""

    folder: Path
    _guard: subprocess.Popen[bytes]
    _account: tuple[int, int] | None
    _superuser: str = ""
    _port: int = PORT

    @property
    def data(self) -> Path:
        """Where the base backup's files go; there once `prepare` was called."""
        return self.folder / DATA

    @property
    def wal(self) -> Path:
        """Where the WAL is laid, each file whole at once (by renaming)."""
        return self.folder / WAL

    def start(self, program: Program, superuser: str, settings: Mapping[str, str], door: Door | None = None) -> None:
        """Start it on the files in `data`. settings: of postgresql.conf, in which there is nothing but these.

        door: whom it lets in besides us, who come by its socket; None: nobody listens on a port.
        """
        self._superuser = superuser
        self._port = door.port if door else PORT
        config = {
            "listen_addresses": door.address if door else "",
            "port": str(self._port),
            "unix_socket_directories": str(self.folder),
            "unix_socket_permissions": "0700",
            "hba_file": str(self.folder / "hba"),
            "ident_file": str(self.folder / "ident"),
            "hot_standby": "on",
            "restore_command": f"cp ../{WAL}/%f %p 2>/dev/null",
            "wal_retrieve_retry_interval": "100ms",
            "archive_mode": "off",
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "128MB",
            "max_standby_archive_delay": "-1",
            "logging_collector": "off",
            "log_min_messages": "log",
            "lc_messages": "C",
            "autovacuum": "off",
            "jit": "off",
            **settings,
        }
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in config.items()]
        (self.folder / "conf").write_text("".join(lines), encoding="utf-8")
        (self.folder / "hba").write_text(f"local all all trust\n{door.rules if door else ''}", encoding="utf-8")
        (self.folder / "ident").touch()
        (self.data / "postgresql.auto.conf").write_text("", encoding="ascii")
        for name in ("postmaster.pid", "recovery.signal"):
            (self.data / name).unlink(missing_ok=True)
        (self.data / "standby.signal").touch()
        self.data.chmod(0o700)
        if self._account:
            _give(self.folder, self._account)
        command = [str(program.path), "-D", str(self.data), "-c", f"config_file={self.folder / 'conf'}"]
        told = json.dumps({"command": command, "account": self._account}) + "\n"
        assert self._guard.stdin is not None
        self._guard.stdin.write(told.encode())
        self._guard.stdin.flush()

    def lay(self, name: str, pieces: Iterable[bytes], *, length: int = 0) -> None:
        """Lay a file into `wal`, whole at once. length: to which it is filled up with zeros."""
        draft = self.wal / f".{name}"
        with draft.open("wb") as file:
            file.writelines(pieces)
            if length:
                file.truncate(length)
        if self._account:
            os.chown(draft, *self._account)
        draft.rename(self.wal / name)

    def database(self, name: str) -> Database:
        """One of its databases, as its superuser."""
        return Database(make_conninfo("", host=str(self.folder), port=self._port, dbname=name, user=self._superuser))

    def replayed(self) -> Replayed | None:
        """How far it is; None while it lets nobody in. Raises OperatorError where it has ended."""
        said = self._said()
        self._refuse_ended(said)
        try:
            with psycopg.connect(self.database("postgres").url, autocommit=True, connect_timeout=5) as connection:
                row = connection.execute(_QUESTION).fetchone()
        except psycopg.Error:
            return None
        if row is None or row[0] is None:
            return None
        # It also pauses where its own settings are too small: that is not the moment.
        return Replayed(position(row[0]), bool(_STOPPED.search(said)), row[1])

    def holds(self, name: str) -> bool | None:
        """Whether that database is whole: False while it is being dropped; None where there is none."""
        try:
            with psycopg.connect(self.database("postgres").url, autocommit=True, connect_timeout=5) as connection:
                row = connection.execute(WHOLE, (name,)).fetchone()
        except psycopg.Error as error:
            raise DatabaseError(f"The private PostgreSQL can't be asked: {error}.", "See the worker's log.") from None
        return bool(row[0]) if row else None

    def taken(self) -> str:
        """The name of the last segment that it has taken; empty before the first."""
        return next(iter(reversed(_RESTORED.findall(self._said()))), "")

    def _said(self) -> str:
        with suppress(FileNotFoundError):
            return (self.folder / LOG).read_text(encoding="utf-8", errors="replace")
        return ""

    def _refuse_ended(self, said: str) -> None:
        if self._guard.poll() is not None:
            raise DatabaseError("The private PostgreSQL could not be started.", "Look whether its program runs here.")
        if _TOO_SMALL.search(said):
            raise DatabaseError(
                "The server's settings were raised after the base backup, beyond what the private PostgreSQL has: "
                f"{', '.join(HOT_STANDBY)}.",
                "Go back from a newer base, or to a moment before that.",
            )
        fatal = [each for each in _FATAL.findall(said) if "the database system is" not in each]
        if fatal and not (self.data / "postmaster.pid").exists():
            raise _explained(fatal[-1])


@contextmanager
def prepared(settings: Settings) -> Iterator[PrivateServer]:
    """A folder for a private server, guarded: server and folder are gone afterwards, whatever happens to us.

    Raises OperatorError where PostgreSQL would not start: we are root, and no account is named.
    """
    account = _account(settings)
    sweep()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER))
    try:
        guard = subprocess.Popen(
            [sys.executable, "-I", private_guard.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        for name in (DATA, WAL):
            (folder / name).mkdir(mode=0o700)
        yield PrivateServer(folder, guard, account)
    finally:
        assert guard.stdin is not None
        with suppress(BrokenPipeError):
            guard.stdin.close()
        try:
            guard.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            guard.kill()
            guard.wait()
            sweep()
        shutil.rmtree(folder, ignore_errors=True)


def sweep(*, now: Callable[[], float] = time.time) -> int:
    """Stop and remove what killed workers and their killed guards have left on this machine; how many there were."""
    swept = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError, ValueError):
            if (folder / private_guard.LOCK).exists():
                if temporary.is_taken(folder):
                    continue
            elif now() - folder.stat().st_mtime < FORGOTTEN_SECONDS:
                continue
            _end_server(folder)
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
    return swept


def find(settings: Settings, major: int) -> Program:
    """`postgres` of that major version. Raises OperatorError where it is not here."""
    environment = settings.environment
    named = environment.postgres_server_bin
    folders = [named] if named else [environment.postgres_bin, _DEBIAN / str(major) / "bin", *_path()]
    for folder in folders:
        program = Program(folder / "postgres") if folder else None
        if program and program.path.exists() and program.major == major:
            return program
    raise OperatorError(
        f"There is no server program of PostgreSQL {major} here, and going back to a moment needs one.",
        f"Use an image that was built with --build-arg POSTGRES_SERVER={major}, or name the folder of `postgres` in "
        "MLFLOW_OPS_POSTGRES_SERVER_BIN.",
    )


def refuse_root(settings: Settings) -> None:
    """Raise OperatorError where PostgreSQL would refuse to run as us."""
    _account(settings)


def _account(settings: Settings) -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    name = settings.environment.postgres_account
    if name is None:
        raise OperatorError(
            "This worker runs as root, and PostgreSQL doesn't run as root.",
            "Run the worker as another user, as the image does, or name one in MLFLOW_OPS_POSTGRES_ACCOUNT.",
        )
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise OperatorError(
            f"There is no system account {name} here.", "Correct MLFLOW_OPS_POSTGRES_ACCOUNT."
        ) from None
    return entry.pw_uid, entry.pw_gid


def _path() -> list[Path]:
    return [Path(each) for each in os.environ.get("PATH", os.defpath).split(os.pathsep) if each]


def _give(folder: Path, account: tuple[int, int]) -> None:
    for where, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(Path(where, name), *account, follow_symlinks=False)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _runs(pid: int, folder: str) -> bool:
    """Whether that process is one of that folder."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(FileNotFoundError, ProcessLookupError):
        return folder.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _end_server(folder: Path) -> None:
    import signal

    with suppress(FileNotFoundError):
        pid = int((folder / DATA / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        until = time.monotonic() + private_guard.STOP_SECONDS
        while _runs(pid, str(folder)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT if time.monotonic() < until else signal.SIGKILL)
            time.sleep(0.1)


def _explained(words: str) -> OperatorError:
    locale = re.search(r"locale|collation", words)
    if locale and "operating system" in words:
        return DatabaseError(
            f"The private PostgreSQL can't open the database here: {words.rstrip('.')}.",
            "Add the server's locale to the worker's image.",
        )
    return DatabaseError(f"The private PostgreSQL ended: {words.rstrip('.')}.", "See the worker's log.")


def at_target(moment: datetime, *, inclusive: bool) -> dict[str, str]:
    """The settings that have it stop there and stay: after the last transaction at that moment, or before the first."""
    return {
        "recovery_target_time": f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00",
        "recovery_target_inclusive": "on" if inclusive else "off",
        "recovery_target_action": "pause",
        "recovery_target_timeline": "latest",
    }


def after_position(lsn: int) -> dict[str, str]:
    """The settings that have it stop right after the record that stands there, or that comes next."""
    return {
        "recovery_target_lsn": shown(lsn),
        "recovery_target_inclusive": "on",
        "recovery_target_action": "pause",
        "recovery_target_timeline": "latest",
    }
