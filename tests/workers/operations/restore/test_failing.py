"""What pg_restore says when it fails condemns a set only where it proves that the set is to blame."""

import pytest

from workers.errors import OperatorError, SetDamaged
from workers.operations.restore import failing
from workers.systems.errors import DatabaseFull, DatabaseRefused, DatabaseUnreachable
from workers.systems.postgres.database import Database

TARGET = Database("postgresql://mlflow:hunter2@db:5432/mlflow_drill_abcdef")

DAMAGED = [
    "pg_restore: error: did not find magic string in file header",
    "pg_restore: error: input file does not appear to be a valid archive (too short?)",
    "pg_restore: error: could not read from input file: end of file",
    "pg_restore: error: could not uncompress data: (null)",
    "pg_restore: error: could not decompress data: Data corruption detected",
    "pg_restore: error: unrecognized data block type (99) while searching archive",
    "pg_restore: error: found unexpected block ID (5) when reading data -- expected 4",
    (
        'error: could not execute query: ERROR:  could not create unique index "runs_pkey" '
        "DETAIL:  Key (run_uuid)=(a) is duplicated."
    ),
    'ERROR:  insert or update on table "metrics" violates foreign key constraint "metrics_run_uuid_fkey"',
    'error: COPY failed for table "metrics": ERROR:  invalid input syntax for type double precision: "x"',
    'ERROR:  invalid byte sequence for encoding "UTF8": 0xff CONTEXT:  COPY runs, line 3',
    'ERROR:  missing data for column "step" CONTEXT:  COPY metrics, line 7',
]
NOT_DAMAGED = [
    ("could not execute query: ERROR:  permission denied for schema public", DatabaseRefused),
    ("ERROR:  must be owner of extension pg_stat_statements", DatabaseRefused),
    ('ERROR:  role "colleague" does not exist', DatabaseRefused),
    (
        'ERROR:  could not extend file "base/5/1": No space left on device CONTEXT:  COPY metrics, line 4711',
        DatabaseFull,
    ),
    ('ERROR:  could not write to file "base/pgsql_tmp/1": No space left on device', DatabaseFull),
    ('error: connection to server at "db", port 5432 failed: Connection refused', DatabaseUnreachable),
    ("error: could not execute query: server closed the connection unexpectedly", DatabaseUnreachable),
    ("FATAL:  terminating connection due to administrator command", DatabaseUnreachable),
    ("FATAL:  the database system is shutting down", DatabaseRefused),
    ("FATAL:  sorry, too many clients already", DatabaseRefused),
    ('ERROR:  extension "vector" is not available', OperatorError),
    ('ERROR:  unrecognized configuration parameter "transaction_timeout"', OperatorError),
    ("pg_restore: error: unsupported version (1.16) in file header", OperatorError),
    ("ERROR:  out of shared memory HINT:  You might need to increase max_locks_per_transaction.", OperatorError),
    ('ERROR:  collation "icu" for encoding "UTF8" does not exist', OperatorError),
    ("ERROR:  canceling statement due to user request", OperatorError),
    ("", OperatorError),
]


@pytest.mark.parametrize("said", DAMAGED)
def test_damage(said):
    error = failing.explained(said, TARGET)
    assert type(error) is SetDamaged
    assert error.message.startswith("pg_restore failed: ")


@pytest.mark.parametrize(("said", "kind"), NOT_DAMAGED)
def test_what_is_not_the_sets_fault(said, kind):
    error = failing.explained(said, TARGET)
    assert type(error) is kind
    assert error.message.startswith("pg_restore failed: ")
    assert "hunter2" not in str(error)
