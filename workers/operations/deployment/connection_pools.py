"""How many connections to the database a pod of MLflow may keep open: its workers, each with a pool.

MLFLOW_SQLALCHEMYSTORE_POOL_SIZE sets the pool (https://mlflow.org/docs/latest/api_reference/python_api/mlflow.environment_variables.html);
5 is SQLAlchemy's own (https://docs.sqlalchemy.org/en/20/core/pooling.html#sqlalchemy.pool.QueuePool), and MLflow starts
4 workers where nobody says how many. What a pool opens beyond its size for a moment is not counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.systems.cluster.fields import Fields

if TYPE_CHECKING:
    from workers.systems import Systems

WORKERS: Final = 4
POOL: Final = 5
_POOL_VARIABLE: Final = "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"
_WORKERS_VARIABLES: Final = ("MLFLOW_WORKERS", "GUNICORN_WORKERS")
_WORKERS_ARGUMENT: Final = re.compile(r"(?:--workers|-w)[= ](\d+)")


def of(systems: Systems, pod_spec: dict[str, Any]) -> tuple[int, int]:
    """Workers of a pod, and the size of each one's pool."""
    names = systems.settings.ops.kubernetes
    for container in Fields(pod_spec, "pod").each("containers"):
        if container.text("name") == names.container:
            words = " ".join([*container.texts("command"), *container.texts("args")])
            said = _WORKERS_ARGUMENT.search(words)
            variables = _variables(systems, container)
            workers = (
                said[1] if said else next((variables[name] for name in _WORKERS_VARIABLES if name in variables), "")
            )
            return _number(workers, WORKERS), _number(variables.get(_POOL_VARIABLE, ""), POOL)
    return WORKERS, POOL


def _variables(systems: Systems, container: Fields) -> dict[str, str]:
    """Those that are plain, or come from MLflow's ConfigMap."""
    name = systems.settings.ops.kubernetes.configmap
    try:
        held = Fields(systems.cluster.configmap(name), "ConfigMap").labels("data")
    except OperatorError:
        held = {}
    found = (
        dict(held) if any(each.inner("configMapRef").text("name") == name for each in container.each("envFrom")) else {}
    )
    for entry in container.each("env"):
        source = entry.inner("valueFrom", "configMapKeyRef")
        value = held.get(source.text("key"), "") if source.text("name") == name else entry.text("value")
        if value:
            found[entry.text("name")] = value
    return found


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() and int(text) > 0 else otherwise
