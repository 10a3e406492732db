"""Where our keys stand in Redis: below one prefix that names the target, so that several may share a Redis.

RQ's own keys stand beside them, below `rq:` (see workers/__init__.py). Below, and in the modules that keep something,
`mlflow-ops:<target>:` is left out: `record:<id>` is `mlflow-ops:mlflow:record:<id>`.
"""

from __future__ import annotations

from typing import Final

from workers import TARGET

PREFIX: Final = f"mlflow-ops:{TARGET}:"
