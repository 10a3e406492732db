"""PostgreSQL's own client programs, pg_dump, pg_restore and psql, with what they need and nothing that others may read.

A password goes into the program's environment, never into its arguments; the address that does go there has none.
Messages are asked for in English, because they are told apart by their text.

Traps this avoids: pg_dump refuses a server that is newer than itself only after it has connected, and says so in a
sentence about versions that names no remedy. A pipe that ends looks the same whether its program ended well or was
killed, so whoever reads one asks for the exit code before he relies on it. What a program complains goes into a file,
because it may be more than a pipe holds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from workers.errors import OperatorError

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems.postgres.database import Database

VERSION_SECONDS: Final = 20
"""For a program to say its version."""
LOOK_SECONDS: Final = 0.5
TERMINATE_SECONDS: Final = 5
PIPE_BYTES: Final = 1 << 20
SAID_BYTES: Final = 64 * 1024
SAID_CHARACTERS: Final = 4000
_WITHOUT: Final = {"psql": "no backup can be restored into a server that is older than pg_restore"}
_BY_WHOM: Final = re.compile(r"\bpg_\w+: error: |\bpsql:<stdin>:\d+: (ERROR: +)?|\bpsql: error: ")
_KEPT: Final = ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Program:
    """One of the programs, where it was found."""

    path: Path

    @property
    def name(self) -> str:
        """As in "pg_dump"."""
        return self.path.name

    @cached_property
    def version(self) -> str:
        """As it says itself: "18.4". Raises OperatorError where it does not run."""
        try:
            said = subprocess.run(
                [self.path, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
            ).stdout
        except (OSError, subprocess.SubprocessError):
            said = ""
        found = re.search(r"(\d+(?:\.\d+)*\S*)\s*$|\(PostgreSQL\) (\S+)", said)
        if found is None:
            raise OperatorError(f"{self.path} does not run.", "Install PostgreSQL's client programs again.")
        return found[2] or found[1]

    @property
    def major(self) -> int:
        """18 of "18.4"."""
        return int(re.match(r"\d+", self.version)[0])  # type: ignore[index]

    def beside(self, name: str) -> Program:
        """Another program of the same folder, so of the same version. Raises OperatorError where it is not there."""
        return _found(name, self.path.parent)

    def compresses(self, how: str) -> bool:
        """Whether this pg_dump takes --compress=`how`: what it can do was chosen when it was built.

        It judges that before it connects, so it is sent where nobody is.
        """
        nowhere = "host=/nowhere dbname=none connect_timeout=1"
        said = subprocess.run(
            [self.path, "--format=custom", f"--compress={how}", f"--dbname={nowhere}"],
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=False,
            env=environment(),
        ).stderr
        return "compression" not in said

    def not_older_than(self, server: int) -> None:
        """Raises OperatorError where the server's major version is above the program's."""
        if self.major < server:
            raise OperatorError(
                f"{self.name} {self.version} is older than the server, PostgreSQL {server}: it cannot read it.",
                f"Install PostgreSQL {server}'s client programs and name their folder in MLFLOW_OPS_POSTGRES_BIN.",
            )


def find(name: str, settings: Settings) -> Program:
    """A program in MLFLOW_OPS_POSTGRES_BIN, else in PATH. Raises OperatorError where it is in neither."""
    return _found(name, settings.environment.postgres_bin)


def _found(name: str, folder: Path | None) -> Program:
    found = shutil.which(name, path=str(folder) if folder else None)
    if found is None:
        where = f"not in {folder}" if folder else "not in PATH"
        raise OperatorError(
            f"{name} is {where}: {_WITHOUT.get(name, 'no backup of the database can be made or read')}.",
            "Install PostgreSQL's client programs (Debian's postgresql-client), or name their folder in "
            "MLFLOW_OPS_POSTGRES_BIN.",
        )
    return Program(Path(found))


def address(database: Database) -> str:
    """The database's address for a program's arguments: all but the passwords."""
    parts = conninfo_to_dict(database.url)
    shown = {name: str(value) for name, value in parts.items() if name not in {"password", "sslpassword"}}
    return make_conninfo("", **shown)


def environment(database: Database | None = None) -> dict[str, str]:
    """The environment of a program: the password for that database, and none of our other secrets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or (name.startswith("PG") and name != "PGPASSWORD")
    }
    password = conninfo_to_dict(database.url).get("password") if database else None
    return {**kept, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"} | ({"PGPASSWORD": str(password)} if password else {})


@dataclass
class Running:
    """A program that was started. listens: whether it still takes what it is given."""

    process: subprocess.Popen[bytes]
    complaints: IO[bytes]
    listens: bool = True

    @property
    def output(self) -> IO[bytes]:
        """What it writes, unbuffered, where it was started with a pipe."""
        assert self.process.stdout is not None
        return self.process.stdout

    def give(self, piece: bytes) -> bool:
        """Write to its input; False where it listens no more: it has what it needs, or has ended."""
        assert self.process.stdin is not None
        left = memoryview(piece if self.listens else b"")
        try:
            while left:
                left = left[self.process.stdin.write(left) :]
        except BrokenPipeError:
            self.listens = False
        return self.listens

    def close_input(self) -> None:
        """Let it know that nothing more comes."""
        if self.process.stdin:
            self.process.stdin.close()

    def wait(self, seconds: float, checkpoint: Callable[[], object] = lambda: None) -> int:
        """End its input and wait for its exit code, negative where a signal has killed it: ours after that time.

        checkpoint: is called meanwhile; what it raises ends the waiting.
        """
        self.close_input()
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            checkpoint()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(LOOK_SECONDS)
        return self.end()

    def end(self) -> int:
        """Have it not run any more, and close its pipes; its exit code."""
        if self.process.poll() is None:
            # pg_restore ends its own workers where it is told to, and cannot where it is killed.
            self.process.terminate()
            try:
                self.process.wait(TERMINATE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()
        return self.process.returncode

    def said(self) -> str:
        """What it complained of at its end, on one line; empty where it did not."""
        size = self.complaints.seek(0, os.SEEK_END)
        self.complaints.seek(max(0, size - SAID_BYTES))
        text = self.complaints.read().decode("utf-8", "replace")
        return " ".join(_BY_WHOM.sub("", text).split())[:SAID_CHARACTERS]


@contextmanager
def running(
    command: Sequence[str | Path],
    database: Database | None = None,
    *,
    fed: bool = False,
    output: IO[bytes] | int = subprocess.DEVNULL,
) -> Iterator[Running]:
    """Start a program; afterwards it does not run any more, whatever happened.

    database: whose password it gets. fed: whether it has an input. output: a file, or subprocess.PIPE to read it.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            env=environment(database),
            bufsize=0,
            pipesize=PIPE_BYTES if output == subprocess.PIPE else -1,
        )
        started = Running(process, complaints)
        try:
            yield started
        finally:
            started.end()
