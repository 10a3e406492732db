"""The runs that versions of registered models come from, however the version says so.

MLflow's `gc` looks at none of this. A version names its run by `run_id`, or its `source` does: `runs:/RUN/model`, a
path of artifacts with the run's id in it, or, since MLflow 3, a logged model (`models:/m-…`), which knows its run
(https://mlflow.org/docs/latest/ml/model-registry/).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workers.systems.errors import TrackingMissing

if TYPE_CHECKING:
    from workers.systems.mlflow.run_rows import RunRows
    from workers.systems.mlflow.tracking import Tracking

_SECONDS: Final = 60.0
_RUN: Final = re.compile(r"(?:^runs:/+|/)([0-9a-f]{32})(?=/|$)")
_LOGGED: Final = re.compile(r"(?:^models:/+|/models/)(m-[0-9a-f]{32})(?=/|$)")


def registered_runs(tracking: Tracking) -> dict[str, str]:
    """Run ids, with "model version". Raises TrackingError or Nonsense."""
    patient = tracking.within(_SECONDS)
    found: dict[str, str] = {}
    for page in patient.pages_asked("model-versions/search", "model_versions", size=200):
        for version in page:
            for run in _runs_of(patient, version):
                found[run] = f"{version.get('name')} {version.get('version')}"
    return found


def registered_in(rows: RunRows) -> dict[str, str]:
    """The same, from MLflow's own tables. Raises DatabaseError or Nonsense."""
    versions = rows.model_versions()
    named = {model for _, _, _, source in versions for model in _LOGGED.findall(source)}
    makers = rows.makers(sorted(named)) if named else {}
    found: dict[str, str] = {}
    for name, number, run_id, source in versions:
        runs = ({run_id} if run_id else set()) | set(_RUN.findall(source))
        runs = runs or {makers[model] for model in _LOGGED.findall(source) if model in makers}
        found |= dict.fromkeys(runs, f"{name} {number}")
    return found


def _runs_of(tracking: Tracking, version: dict[str, Any]) -> set[str]:
    source = str(version.get("source") or "")
    runs = {str(version["run_id"])} if version.get("run_id") else set()
    runs |= set(_RUN.findall(source))
    if not runs:
        runs |= {run for model in _LOGGED.findall(source) if (run := _maker(tracking, model))}
    return runs


def _maker(tracking: Tracking, model: str) -> str:
    """The run that has logged a model; empty where the model is gone, or no run has."""
    try:
        info = (tracking.ask(f"logged-models/{model}").get("model") or {}).get("info") or {}
    except TrackingMissing:
        return ""
    return str(info.get("source_run_id") or "")
