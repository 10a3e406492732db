"""Server-side tables: what ``kubectl get`` prints.

kubectl has no columns of its own; it asks for ``as=Table`` and prints what the server sends. The columns follow
pkg/printers/internalversion of Kubernetes, with priority 1 for what ``-o wide`` adds.
"""

from mlflow_ops_sandbox.cluster.apiserver.tables.rendering import render_table, table_event

__all__ = ["render_table", "table_event"]
