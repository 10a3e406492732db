"""Fill MLflow's database as long training runs leave it: `python tests/bench/seed_database.py --megabytes 200`.

The database is that of the environment (MLFLOW_OPS_DATABASE_URL), as `mlflow-ops sandbox env` prints it; the metrics
are those of a run that is there. Asked again, it adds as much once more.
"""

import argparse
import os

import psycopg

ROWS_A_MEGABYTE = 5000
"""A metric takes some 200 bytes with its place in the table's index."""


def seed(url, megabytes):
    """Add metrics of about that size; how large the database is then, in bytes."""
    with psycopg.connect(url, autocommit=True) as connection:
        (run,) = connection.execute("SELECT run_uuid FROM runs ORDER BY start_time LIMIT 1").fetchone()
        (last,) = connection.execute(
            "SELECT coalesce(max(step), 0) FROM metrics WHERE run_uuid = %s", (run,)
        ).fetchone()
        connection.execute(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
            "SELECT md5((n %% 100)::text), random(), n, %s, n, false FROM generate_series(%s::bigint, %s::bigint) n",
            (run, last + 1, last + megabytes * ROWS_A_MEGABYTE),
        )
        return connection.execute("SELECT pg_database_size(current_database())").fetchone()[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    size = seed(os.environ["MLFLOW_OPS_DATABASE_URL"], parser.parse_args().megabytes)
    print(f"{size / 1e6:.0f} MB")  # noqa: T201 - a program
