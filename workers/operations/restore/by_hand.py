"""Going back to a moment with pgBackRest or Barman, which keep their WAL where we don't reach: what to run by hand.

docs/point-in-time-sources.md has the whole way, with what comes after.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final, NoReturn

from workers.errors import OperatorError

if TYPE_CHECKING:
    from datetime import datetime

NAMES: Final = {"pgbackrest": "pgBackRest", "barman": "Barman"}
_COMMANDS: Final = {
    "pgbackrest": "pgbackrest --stanza=STANZA --pg1-path=SIDE --archive-mode=off --type=time --target='{at}' "
    "--target-action=promote restore",
    "barman": "barman restore --target-time '{at}' --target-action promote SERVER auto SIDE",
}
PAGE: Final = "docs/point-in-time-sources.md"


def command(kept_by: str, at: datetime | None) -> str:
    """The line that makes a server's files as of that moment, in a folder SIDE. kept_by: recovery.source."""
    said = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00" if at else "TIME"
    return _COMMANDS[kept_by].format(at=said)


def refuse(kept_by: str, at: datetime | None, database: str) -> NoReturn:
    """Raise OperatorError that says what to run instead."""
    raise OperatorError(
        f"{NAMES[kept_by]} keeps this server's WAL (recovery.source), and mlflow-ops doesn't restore from it.",
        f"By hand, on its host, into an empty folder SIDE: {command(kept_by, at)}. Then dump {database} from that "
        f"server: {PAGE}.",
    )
