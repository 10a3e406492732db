"""Does MLflow work? Asked as somebody who trains would: an experiment, a run, a metric and an artifact, made, read back
and removed, by MLflow's own client.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.systems import temporary

if TYPE_CHECKING:
    from workers.systems import Systems

_CLIENT: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def test(systems: Systems) -> str:
    """What was done, as a sentence. Raises OperatorError where anything of it does not work."""
    # Its own client waits for minutes where nobody answers, tells its makers what it does, and writes to the terminal.
    for name, value in _CLIENT.items():
        os.environ.setdefault(name, value)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=str(systems.settings.environment.mlflow_tracking_uri).rstrip("/"))
    word = secrets.token_hex(8)
    doing = "create an experiment"
    try:
        experiment = client.create_experiment(f"mlflow-ops smoke test {word}")
        try:
            doing = "log a run"
            run = client.create_run(experiment).info.run_id
            client.log_metric(run, "answer", 42.0)
            client.set_terminated(run)
            with temporary.folder("smoke") as folder:
                doing = "upload an artifact"
                client.log_text(run, word, "word.txt")
                doing = "fetch an artifact"
                read = Path(client.download_artifacts(run, "word.txt", str(folder))).read_text(encoding="utf-8")
            doing = "read back what was logged"
            right = read == word and client.get_run(run).data.metrics == {"answer": 42.0}
            client.delete_run(run)
        finally:
            client.delete_experiment(experiment)
    except (MlflowException, OSError) as error:
        said = str(error).splitlines()[0][:200].rstrip(".")
        raise OperatorError(f"MLflow does not let us {doing}: {said}.", "/mlflow health tells more.") from None
    if not right:
        raise OperatorError("MLflow does not give back what was logged.", "/mlflow health tells more.")
    return "an experiment, a run, a metric and an artifact were made, read back and deleted"
