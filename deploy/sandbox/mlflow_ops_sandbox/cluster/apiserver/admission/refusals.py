"""403 as admission writes it: what was refused by its kind and name, and why.

Trap: until an object has been named, it is called by the prefix that its name will be made of, so the same refusal
reads `pods "mlflow-7d9c-"` where it comes before the name, and `pods "mlflow-7d9c-x2b4k"` where it comes after.
"""

from __future__ import annotations

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import ApiError, details_of, group_resource


def forbidden(resource: Resource, item: Object, sentence: str, causes: list[Object] | None = None) -> ApiError:
    """403: admission refuses an object."""
    metadata = item["metadata"]
    name = str(metadata.get("name") or metadata.get("generateName") or "Unknown")
    message = f'{group_resource(resource)} "{name}" is forbidden: {sentence}'
    details = details_of(resource, name)
    return ApiError(403, "Forbidden", message, {**details, "causes": causes} if causes else details)
