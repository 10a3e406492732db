"""The schema that MLflow's tables are in: public, or one of its own by `ALTER DATABASE … SET search_path`.

It is found by the table alembic_version, which other programs have as well (Airflow, Superset): of several the one that
our role sees without naming it, then the one with MLflow's experiments beside it.
"""

from __future__ import annotations

from typing import Final, LiteralString

FOUND: Final[LiteralString] = """
SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'alembic_version' AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
ORDER BY pg_table_is_visible(c.oid) DESC,
  EXISTS (SELECT 1 FROM pg_class e WHERE e.relnamespace = n.oid AND e.relname = 'experiments') DESC,
  n.nspname <> 'public', 1
LIMIT 1
"""
"""A query for its name; no row where there is no such table."""
NAME: Final[LiteralString] = f"coalesce(({FOUND}), 'public')"
"""Its name, within a query."""
