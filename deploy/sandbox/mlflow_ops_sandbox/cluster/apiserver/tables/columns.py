"""The words that tables are written in: a column, a row's cells, and how one kind is printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.times import age

NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
AGE_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
CONTAINERS_DESCRIPTION = "Names of each container in the template."
IMAGES_DESCRIPTION = "Images referenced by each container in the template."

Cell = str | int | bool | None
Cells = list[Cell]
Printer = Callable[[Object, datetime], Cells]


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    description: str = ""
    type: str = "string"
    format: str = ""
    priority: int = 0

    def to_object(self) -> Object:
        """Return the column definition as the API has it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


NAME = Column("Name", NAME_DESCRIPTION, format="name")
AGE = Column("Age", AGE_DESCRIPTION)


@dataclass(frozen=True, slots=True)
class Table:
    """How one kind is printed."""

    columns: tuple[Column, ...]
    cells: Printer
    conditions: Callable[[Object], list[Object]] = field(default=lambda _item: [])


def wide(name: str, description: str = "") -> Column:
    """Return a column that only ``-o wide`` shows."""
    return Column(name, description, priority=1)


def age_of(item: Object, now: datetime) -> str:
    """Return the age of an object."""
    return age(item["metadata"].get("creationTimestamp"), now)


def joined(values: list[str] | None, empty: str = "<none>") -> str:
    """Join with commas, or say that there is nothing."""
    return ",".join(values) if values else empty


def pairs(labels: dict[str, str] | None) -> str:
    """Write a map of labels as ``a=b,c=d``, sorted."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def template_cells(item: Object) -> tuple[str, str]:
    """Return the names and the images of the containers of a pod template."""
    containers = item["spec"]["template"]["spec"].get("containers") or []
    names = ",".join(str(container["name"]) for container in containers)
    return names, ",".join(str(container.get("image", "")) for container in containers)
