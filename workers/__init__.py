"""What is done: operations, the engine that runs them, and the gateways to the outside world."""

import os

TARGET = os.environ.get("MLFLOW_OPS_TARGET") or "mlflow"
"""The MLflow that this process serves: all that we keep in Redis stands below its name (workers.settings checks it)."""

# RQ reads its key prefix when it is first imported. Not inherited: whoever started us may serve another target.
os.environ["RQ_KEY_PREFIX"] = f"mlflow-ops:{TARGET}:rq"
