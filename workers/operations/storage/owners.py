"""Whose an artifact is, from its key alone.

MLflow puts artifacts at `<root>/<experiment>/<run>/artifacts/…`, a logged model's at `<experiment>/models/m-…/`, a
trace's at `<experiment>/traces/tr-…/` (MLflow 3.17, mlflow/store/tracking/sqlalchemy_store.py). The root may have
folders of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_OWNED: Final = re.compile(
    r"((?:[^/]+/)*?)([^/]+)/(?:([0-9a-f]{32})|models/(m-[0-9a-f]{32})|traces/(tr-[0-9a-f]{32}))/"
)


@dataclass(frozen=True, slots=True)
class Owner:
    """kind: run, model or trace. experiment: its folder, named after its id. folder: all its keys begin with it."""

    kind: str
    id: str
    experiment: str
    folder: str


def owner(key: str) -> Owner | None:
    """None for what MLflow has not put there."""
    found = _OWNED.match(key)
    if found is None:
        return None
    _, experiment, run, model, trace = found.groups()
    kind = "run" if run else "model" if model else "trace"
    return Owner(kind, run or model or trace, experiment, found[0])
