r"""Into a server older than the client programs: by psql, without the settings that this server does not know.

pg_restore begins with the settings of its own version and stops where the server refuses one: version 17 and newer
write `SET transaction_timeout = 0`, which servers before 17 do not know. So what it writes is passed to psql, and the
lines of such settings are left out on the way. They stand at the beginning only; from the first other line on nothing
is looked at, so no row of anybody's is. The dump itself stays as it is.

Where the dump is a file, several streams do this side by side, as pg_restore's --jobs does: the tables' rows, then
their indexes and keys, with what must come before and after them between.

Trap this avoids: psql also obeys commands to itself, such as `\!`, which a forged dump could use to run programs here.
pg_restore locks them out (`\restrict`, since August 2025: https://www.postgresql.org/support/security/CVE-2025-8714/);
one that does not is refused.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from workers.errors import OperatorError
from workers.operations.restore import column_options, contents, failing
from workers.operations.side_by_side import side_by_side
from workers.systems.postgres.programs import address, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.operation import Progress
    from workers.operations.backup.stream import Reading
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.programs import Program, Running

LOOK_SECONDS: Final = 0.2
END_SECONDS: Final = 4 * 3600
"""For psql to make the last index once it was given everything."""
PIECE: Final = 1 << 20
_SETTING: Final = re.compile(rb"SET (\w+) = [^;]*;$")
_PREAMBLE: Final = re.compile(
    rb"(SET \w+ = [^;]*;|SELECT pg_catalog\.set_config\('\w+', '[^']*', (true|false)\);|\\restrict \w+|--.*)?$"
)
_ROWS_ONLY: Final = "--section=data"
_ROWS: Final = re.compile(r"\d+; \d+ \d+ TABLE DATA (\S+) (\S+) \S+$")
_KEYS: Final = re.compile(r"\d+; \d+ \d+ (INDEX|CONSTRAINT) (?!ATTACH )")
_SAID: Final = re.compile(r"\d+; \d+ \d+ (COMMENT|SECURITY LABEL) ")
_NEWS: Final = "Update PostgreSQL's client programs, and name their folder in MLFLOW_OPS_POSTGRES_BIN."


def unknown_settings(program: Program, dump: Path | Iterable[bytes], target: Database, folder: Path) -> frozenset[str]:
    """What pg_restore would set first and the server does not know; nothing where the server is as new.

    folder: for a small file. Raises OperatorError where the server cannot be asked.
    """
    try:
        with psycopg.connect(target.url, autocommit=True, connect_timeout=10) as connection:
            if program.major <= connection.info.server_version // 10_000:
                return frozenset()
            known = {str(name) for (name,) in connection.execute("SELECT name FROM pg_settings")}
    except psycopg.Error as error:
        raise target.explained(error) from None
    nothing = folder / "nothing"
    nothing.touch()
    lines = contents.asked([program.path, "--file=-", f"--use-list={nothing}"], dump)
    names = {found[1].decode() for line in lines if (found := _SETTING.match(line.encode()))}
    return frozenset(names - known)


@dataclass(frozen=True)
class Replay:
    """How a dump is replayed. options: pg_restore's, without a place. unknown: the settings that are left out.

    strips: whether options of columns are left out, too (column_options.py).
    """

    pg_restore: Program
    psql: Program
    options: Sequence[str]
    target: Database
    unknown: frozenset[str]
    strips: bool = False

    def streamed(self, dump: Reading, progress: Progress, apart: Sequence[Reading] = ()) -> None:
        """From a stream, through one connection; read once for each section where definitions are looked at, or rows
        are in other dumps (apart).

        Raises OperatorError, and Cancelled.
        """
        if not (self.strips or apart):
            self._pass((), progress.checkpoint, dump)
            return
        for section in ("pre-data", "data", "post-data"):
            self._pass((f"--section={section}",), progress.checkpoint, dump)
            for each in apart if section == "data" else ():
                self._pass((_ROWS_ONLY,), progress.checkpoint, each, of_another=True)

    def filed(  # noqa: PLR0913, PLR0917 - from where, to where
        self,
        path: Path,
        rows: Mapping[str, int],
        folder: Path,
        jobs: int,
        progress: Progress,
        apart: Sequence[Path] = (),
    ) -> None:
        """From a file, through several connections. rows: how many each table has, to share them out. apart: files of
        rows that are not in it.

        Raises OperatorError, and Cancelled.
        """
        given = [option for option in self.options if option.startswith("--use-list=")]
        if given:
            lines = Path(given[0].partition("=")[2]).read_text(encoding="utf-8").splitlines()
        else:
            lines = contents.asked([self.pg_restore.path, "--list"], path)
        keys, others = _keys_and_others(lines)
        rounds: tuple[tuple[str, list[list[str]]], ...] = (
            ("pre-data", [lines]),
            ("data", _shared(others, rows, 1 if apart else jobs)),
            ("post-data", [[line for key in keys[n::jobs] for line in key] for n in range(min(jobs, len(keys)))]),
            ("post-data", [others]),
        )
        for number, (section, lists) in enumerate(rounds):
            calls = []
            for n, chosen in enumerate(lists):
                listed = folder / f"contents-{number}-{n}"
                listed.write_text("\n".join(chosen) + "\n", encoding="utf-8")
                calls.append(partial(self._pass, (f"--section={section}", f"--use-list={listed}", str(path))))
            more = apart if section == "data" else ()
            calls += [partial(self._pass, (_ROWS_ONLY, str(each)), of_another=True) for each in more]
            side_by_side(calls, progress.checkpoint, jobs)

    def _pass(
        self,
        more: tuple[str, ...],
        checkpoint: Callable[[], object],
        fed: Reading | None = None,
        *,
        of_another: bool = False,
    ) -> None:
        """of_another: it is of another dump than the one whose contents were chosen."""
        chosen = of_another or any(each.startswith("--use-list=") for each in more)
        options = [each for each in self.options if not (chosen and each.startswith("--use-list="))]
        into: list[str | Path] = [
            self.psql.path,
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--no-password",
            f"--dbname={address(self.target)}",
        ]
        # The pool outermost: what is passed on ends when both programs have.
        with (
            ThreadPoolExecutor(1, thread_name_prefix="pass") as pool,
            running(into, self.target, fed=True) as psql,
            running(
                [self.pg_restore.path, "--file=-", *options, *more], fed=fed is not None, output=subprocess.PIPE
            ) as writing,
        ):
            definitions = self.strips and column_options.DEFINITIONS in more
            passing = pool.submit(self._between, writing, psql, column_options.Without() if definitions else None)
            for piece in fed or ():
                if not writing.give(piece):
                    break
            writing.close_input()
            heard = _awaited(passing, checkpoint)
            wrote = writing.wait(LOOK_SECONDS if not heard else END_SECONDS, checkpoint)
            if heard and wrote != 0:
                # What psql was given then ends in the middle.
                raise failing.explained(writing.said(), self.target)
            if psql.wait(END_SECONDS, checkpoint) != 0 or not heard:
                raise failing.explained(psql.said(), self.target)

    def _between(self, writing: Running, psql: Running, lines: column_options.Without | None) -> bool:
        """Pass on what pg_restore writes; False where psql has stopped listening."""
        preamble = Preamble(self.unknown)
        try:
            while piece := writing.output.read(PIECE):
                passed = preamble.passed(piece)
                if not psql.give(lines.passed(passed) if lines else passed):
                    return False
            rest = preamble.rest()
            return psql.give(lines.passed(rest) + lines.rest() if lines else rest)
        finally:
            # It would wait for ever for somebody to read on.
            if writing.process.poll() is None and (not psql.listens or preamble.refused):
                writing.process.terminate()


class Preamble:
    """Leaves lines of settings out of the beginning of what pg_restore writes. refused: it may not be given to psql."""

    def __init__(self, unknown: frozenset[str]) -> None:
        """unknown: the names of the settings."""
        self.refused = False
        self._unknown = unknown
        self._over = self._restricted = False
        self._begun = b""

    def passed(self, piece: bytes) -> bytes:
        """What is to be passed on of the next bytes. Raises OperatorError where commands to psql are not locked out."""
        if self._over:
            return piece
        *lines, self._begun = (self._begun + piece).split(b"\n")
        kept: list[bytes] = []
        for at, line in enumerate(lines):
            if not _PREAMBLE.match(line):
                self._end()
                return b"\n".join([*kept, *lines[at:], self.rest()])
            self._restricted = self._restricted or line.startswith(b"\\restrict ")
            found = _SETTING.match(line)
            if not (found and found[1].decode() in self._unknown):
                kept.append(line)
        return b"".join(line + b"\n" for line in kept)

    def rest(self) -> bytes:
        """What was not passed on yet, at the end."""
        begun, self._begun = self._begun, b""
        return begun

    def _end(self) -> None:
        self._over = True
        if not self._restricted:
            self.refused = True
            raise OperatorError(
                "This pg_restore does not lock out commands to psql, so a forged dump could run programs here.", _NEWS
            )


def _keys_and_others(lines: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Indexes and keys, each with what is said of it: pg_restore takes that for a part of whatever stands before it."""
    keys: list[list[str]] = []
    others: list[str] = []
    at = others
    for line in lines:
        if _KEYS.match(line):
            at = [line]
            keys.append(at)
        elif _SAID.match(line):
            at.append(line)
        else:
            at = others
            at.append(line)
    return keys, others


def _shared(lines: Sequence[str], rows: Mapping[str, int], jobs: int) -> list[list[str]]:
    """The tables' rows in about equal parts; what else there is goes with the first."""
    parts: list[list[str]] = [[line for line in lines if not _ROWS.match(line)]]
    weights = [0]
    sized = [
        (rows.get(found[2] if found[1] == "public" else f"{found[1]}.{found[2]}", 0), line)
        for line in lines
        if (found := _ROWS.match(line))
    ]
    for number, line in sorted(sized, key=lambda each: -each[0]):
        if len(parts) < jobs:
            parts.append([])
            weights.append(0)
        least = weights.index(min(weights))
        parts[least].append(line)
        weights[least] += number + 1
    return [each for each in parts if each]


def _awaited(passing: Future[bool], checkpoint: Callable[[], object]) -> bool:
    while not passing.done():
        wait([passing], LOOK_SECONDS)
        checkpoint()
    return passing.result()
