"""From objects to Table objects: rows, the metadata beside each row, and tables within a watch."""

from __future__ import annotations

from datetime import datetime

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.apiserver.tables.access import ACCESS_TABLES
from mlflow_ops_sandbox.cluster.apiserver.tables.certificates import CERTIFICATE_TABLES
from mlflow_ops_sandbox.cluster.apiserver.tables.cluster import CLUSTER_TABLES
from mlflow_ops_sandbox.cluster.apiserver.tables.columns import AGE, NAME, Table, age_of
from mlflow_ops_sandbox.cluster.apiserver.tables.configuration import CONFIGURATION_TABLES
from mlflow_ops_sandbox.cluster.apiserver.tables.network import NETWORK_TABLES
from mlflow_ops_sandbox.cluster.apiserver.tables.pods import POD_TABLE
from mlflow_ops_sandbox.cluster.apiserver.tables.workloads import WORKLOAD_TABLES

_TABLES: dict[str, Table] = {
    "Pod": POD_TABLE,
    **WORKLOAD_TABLES,
    **NETWORK_TABLES,
    **CONFIGURATION_TABLES,
    **CLUSTER_TABLES,
    **ACCESS_TABLES,
    **CERTIFICATE_TABLES,
}
_PLAIN = Table((NAME, AGE), lambda item, now: [item["metadata"]["name"], age_of(item, now)])


def table_of(resource: Resource) -> Table:
    """Return how a kind is printed; name and age where nothing better is known."""
    return _TABLES.get(resource.kind, _PLAIN)


def render_table(
    resource: Resource, items: list[Object], list_metadata: Object, now: datetime, include: str = "Metadata"
) -> Object:
    """Return the Table of some objects. ``include`` is the includeObject parameter: None, Metadata or Object."""
    table = table_of(resource)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": [column.to_object() for column in table.columns],
        "rows": [_row(table, resource, item, now, include) for item in items],
    }


def table_event(resource: Resource, item: Object, now: datetime, include: str, *, first: bool) -> Object:
    """Return the Table of one object within a watch; only the first event carries the columns."""
    version = {"resourceVersion": item["metadata"].get("resourceVersion", "")}
    rendered = render_table(resource, [item], version, now, include)
    if not first:
        rendered["columnDefinitions"] = None
    return rendered


def partial_metadata(item: Object) -> Object:
    """Return the metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def _row(table: Table, resource: Resource, item: Object, now: datetime, include: str) -> Object:
    row: Object = {"cells": table.cells(item, now)}
    conditions = table.conditions(item)
    if conditions:
        row["conditions"] = conditions
    if include == "Object":
        row["object"] = {"kind": resource.kind, "apiVersion": resource.api_version, **item}
    elif include == "Metadata":
        row["object"] = partial_metadata(item)
    return row
