"""What MLflow's database holds besides experiments and runs, counted: each only where this version has its table.

Traces came with MLflow 2.14, logged models with 3.0, webhooks with 3.3, workspaces with 3.10; prompts are registered
models with a tag, since 2.21.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString

from workers.systems.postgres.mlflow_schema import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from workers.systems.postgres.database import Database

Words = tuple[str, str]

_KINDS: Final[dict[str, Words]] = {
    "experiments": ("experiment", "experiments"),
    "runs": ("run", "runs"),
    "logged_models": ("logged model", "logged models"),
    "registered_models": ("registered model or prompt", "registered models and prompts"),
    "trace_info": ("trace", "traces"),
    "datasets": ("dataset", "datasets"),
    "evaluation_datasets": ("evaluation dataset", "evaluation datasets"),
    "webhooks": ("webhook", "webhooks"),
    "workspaces": ("workspace", "workspaces"),
}
"""Tables of whose rows people speak, and their words for one and for many."""

_OF_EXPERIMENT: Final[dict[str, tuple[Words, LiteralString]]] = {
    "logged_models": (_KINDS["logged_models"], "SELECT count(*) FROM logged_models WHERE experiment_id::text = %s"),
    "trace_info": (_KINDS["trace_info"], "SELECT count(*) FROM trace_info WHERE experiment_id::text = %s"),
    "datasets": (_KINDS["datasets"], "SELECT count(*) FROM datasets WHERE experiment_id::text = %s"),
}
_OF_RUNS: Final[dict[str, tuple[Words, LiteralString]]] = {
    "logged_models": (
        _KINDS["logged_models"],
        "SELECT count(*) FROM logged_models WHERE source_run_id = ANY(string_to_array(%s, ','))",
    ),
    "trace_request_metadata": (
        _KINDS["trace_info"],
        (
            "SELECT count(*) FROM trace_request_metadata "
            "WHERE key = 'mlflow.sourceRun' AND value = ANY(string_to_array(%s, ','))"
        ),
    ),
}
_WEBHOOKS: Final = "SELECT count(*) FROM webhooks WHERE deleted_timestamp IS NULL"
_PROMPTS: Final = """
SELECT count(*) FROM registered_model_tags WHERE key = 'mlflow.prompt.is_prompt' AND lower(value) = 'true'
"""
_TABLES: Final[LiteralString] = f"""
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = {NAME} AND c.relkind IN ('r', 'p')
"""  # noqa: S608 - all of it is ours


def tables(connection: psycopg.Connection[tuple[Any, ...]]) -> set[str]:
    """The tables of MLflow's schema."""
    return {str(name) for (name,) in connection.execute(_TABLES)}


def told(rows: Mapping[str, int]) -> tuple[str, ...]:
    """Of the number of rows by table: 7 experiments, 102 runs, 12 traces; what there is none of is left out."""
    return tuple(_count(rows[table], words) for table, words in _KINDS.items() if rows.get(table))


def beside(database: Database) -> tuple[str, ...]:
    """What no experiment holds: prompts, webhooks, workspaces. Raises DatabaseError."""
    with database.session() as connection:
        there = tables(connection)
        found = {
            "prompt": _number(connection, _PROMPTS) if "registered_model_tags" in there else 0,
            "webhook": _number(connection, _WEBHOOKS) if "webhooks" in there else 0,
            "workspace": _number(connection, "SELECT count(*) FROM workspaces") if "workspaces" in there else 0,
        }
    return tuple(_count(number, (word, f"{word}s")) for word, number in found.items() if number)


def of_experiment(database: Database, experiment: str) -> tuple[str, ...]:
    """Logged models, traces and datasets of an experiment by its id. Raises DatabaseError."""
    return _counted(database, _OF_EXPERIMENT, experiment)


def of_runs(database: Database, ids: Sequence[str]) -> tuple[str, ...]:
    """Logged models and traces that came of these runs. Raises DatabaseError."""
    # As one text: to write out a list of a hundred thousand takes psycopg seconds.
    return _counted(database, _OF_RUNS, ",".join(ids))


def _counted(database: Database, kinds: Mapping[str, tuple[Words, LiteralString]], asked: str) -> tuple[str, ...]:
    with database.session(patience_seconds=30) as connection:
        there = tables(connection)
        found = [
            (_number(connection, query, asked), words) for table, (words, query) in kinds.items() if table in there
        ]
    return tuple(_count(number, words) for number, words in found if number)


def _number(connection: psycopg.Connection[tuple[Any, ...]], query: LiteralString, *asked: str) -> int:
    row = connection.execute(query, asked or None).fetchone()
    assert row is not None
    return int(row[0])


def _count(number: int, words: Words) -> str:
    return f"{number:,} {words[number != 1]}"
