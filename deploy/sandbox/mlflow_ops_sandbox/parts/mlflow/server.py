"""`mlflow server` in one process.

MLflow's own program reads its arguments, prepares the stores and then starts uvicorn's program, which imports all of
MLflow a second time: half of what a start takes. Here that program runs as it is, save that uvicorn's function is
called where uvicorn's program would be started.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import mlflow.server
import uvicorn
from mlflow.cli import cli

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _serve(command: Sequence[str], *, extra_env: Mapping[str, str], **_: Any) -> NoReturn:
    """Do what `python -m uvicorn …` does, with what MLflow tells it in the environment."""
    if command[2:3] != ["uvicorn"]:
        msg = f"MLflow would start another server than uvicorn: {command}"
        raise SystemExit(msg)
    os.environ.update(extra_env)
    uvicorn.main(command[3:])
    raise SystemExit


if __name__ == "__main__":
    # There is no other place where the two programs meet.
    vars(mlflow.server)["_exec_cmd"] = _serve
    cli(["server", *sys.argv[1:]])
