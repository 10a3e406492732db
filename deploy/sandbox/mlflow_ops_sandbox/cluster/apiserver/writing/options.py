"""The parameters of a write: dry run, field manager, field validation, force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_ops_sandbox.cluster.api.requests import is_true
from mlflow_ops_sandbox.cluster.api.status import Cause, invalid

_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_LONGEST_MANAGER = 128


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is meant; ``warnings`` are gathered on the way and told in the answer's headers."""

    dry_run: bool = False
    manager: str = "unknown"
    validation: str = "Warn"
    force: bool = False
    warnings: list[str] = field(default_factory=list)


def write_options(kind: str, query: Mapping[str, str], agent: str, *, applies: bool = False) -> WriteOptions:
    """Read them for Create, Update or Patch (``kind``). Raises ApiError 422."""
    causes: list[Cause] = []
    dry_run = query.get("dryRun", "")
    if dry_run not in {"", "All"}:
        message = f'Unsupported value: ["{dry_run}"]: supported values: "All"'
        causes.append(Cause("FieldValueNotSupported", "dryRun", message))
    validation = query.get("fieldValidation", "")
    if validation not in _VALIDATIONS:
        listed = ", ".join(f'"{entry}"' for entry in _VALIDATIONS)
        message = f'Unsupported value: "{validation}": supported values: {listed}'
        causes.append(Cause("FieldValueNotSupported", "fieldValidation", message))
    manager = query.get("fieldManager", "")
    if len(manager) > _LONGEST_MANAGER:
        message = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
        causes.append(Cause("FieldValueTooLong", "fieldManager", message))
    if applies and not manager:
        message = "Required value: is required for apply patch"
        causes.append(Cause("FieldValueRequired", "fieldManager", message))
    force = is_true(query.get("force"))
    if "force" in query and not applies and kind == "Patch":
        message = "Forbidden: may not be specified for non-apply patch"
        causes.append(Cause("FieldValueForbidden", "force", message))
    if causes:
        raise invalid("meta.k8s.io", f"{kind}Options", "", causes)
    return WriteOptions(dry_run == "All", manager or _manager_of(agent), validation or "Warn", force)


def _manager_of(agent: str) -> str:
    name = agent.partition("/")[0][:_LONGEST_MANAGER]
    return name if name.isprintable() and name else "unknown"
