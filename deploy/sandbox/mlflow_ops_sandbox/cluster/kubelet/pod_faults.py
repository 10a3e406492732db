"""The ways in which a pod can be made to fail, with the words that a real kubelet finds for them."""

from __future__ import annotations

from dataclasses import dataclass

STATES = ("Running", "CrashLoopBackOff", "OOMKilled", "ImagePullBackOff", "Pending")

BACK_OFF_SECONDS = 10.0
LONGEST_BACK_OFF_SECONDS = 300.0

UNSCHEDULABLE = (
    "0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, preemption: 0/1 nodes are available: "
    "1 No preemption victims found for incoming pod."
)

_TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "/usr/local/lib/python3.11/site-packages/sqlalchemy/engine/base.py", line 143, in __init__',
    "    self._dbapi_connection = engine.raw_connection()",
    "                             ^^^^^^^^^^^^^^^^^^^^^^^",
    '  File "/usr/local/lib/python3.11/site-packages/mlflow/store/db/utils.py", line 278, in create_sqlalchemy_engine',
    "    engine = sqlalchemy.create_engine(db_uri, **pool_kwargs)",
    (
        "sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection to server at "
        '"postgres-shared-service" (10.96.0.20), port 5432 failed: FATAL:  password authentication '
        'failed for user "mlflow"'
    ),
    "ERROR:    Application startup failed. Exiting.",
)


@dataclass(frozen=True, slots=True)
class Crash:
    """How a container ends again and again."""

    reason: str
    exit_code: int
    last_words: tuple[str, ...]


CRASHES = {
    "CrashLoopBackOff": Crash("Error", 1, _TRACEBACK),
    # The kernel kills without a word; what the log ends with is ordinary.
    "OOMKilled": Crash("OOMKilled", 137, ()),
}


def pull_failure(image: str) -> str:
    """Return the message of a failed pull."""
    return f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'


def back_off_message(seconds: float, container: str, pod: str, namespace: str, uid: str) -> str:
    """Return the message of a container that waits to be started again."""
    minutes, rest = divmod(int(seconds), 60)
    shown = f"{minutes}m{rest}s" if minutes else f"{rest}s"
    return f"back-off {shown} restarting failed container={container} pod={pod}_{namespace}({uid})"
