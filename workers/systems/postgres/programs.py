"""PostgreSQL's own client programs, pg_dump and pg_restore, with what they need and nothing that others may read.

A password goes into the program's environment, never into its arguments; the address that does go there has none.
Messages are asked for in English, because they are told apart by their text.

Trap this avoids: pg_dump refuses a server that is newer than itself only after it has connected, and says so in a
sentence about versions that names no remedy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from workers.errors import OperatorError

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems.postgres.database import Database

VERSION_SECONDS: Final = 20
"""For a program to say its version."""
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
    folder = settings.environment.postgres_bin
    found = shutil.which(name, path=str(folder) if folder else None)
    if found is None:
        where = f"not in {folder}" if folder else "not in PATH"
        raise OperatorError(
            f"{name} is {where}: no backup of the database can be made or read.",
            "Install PostgreSQL's client programs, or name their folder in MLFLOW_OPS_POSTGRES_BIN.",
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
