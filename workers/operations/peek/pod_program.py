"""Run in the pod of a peek, in MLflow's own image: `mlflow server` on the private PostgreSQL of a worker.

    python -c PROGRAM VARIABLE DATABASE-HOST:PORT PORT UNTIL [ALLOWED-HOSTS]

It has the password of MLflow's role (out of VARIABLE, where the Deployment has the database's address) and nothing
else: the server takes no writes, and no credentials of the artifacts' store reach MLflow, whose own ways to write
artifacts need no database. Before it says that it is open, it has read through MLflow, and tried to write.

Only the standard library, as of any Python that MLflow 2.11 runs with.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

MARK = "mlflow-ops-peek:"
OPEN = f"{MARK} open"
LOST_AFTER = 5
"""Looks at the database in vain."""
LOOK_SECONDS = 2.0
STOP_SECONDS = 10
OK = 200
_NEVER = ("MLFLOW_", "AWS_", "AZURE_", "GOOGLE_", "GUNICORN_", "UVICORN_")
_NOBODY = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def environment(given: dict[str, str], variable: str, where: str, hosts: str) -> dict[str, str]:
    """MLflow's environment, from the container's."""
    address = urlsplit(given[variable])
    user = address.netloc.rpartition("@")[0]
    # What follows as a query (sslmode, a pooler's options) is of another server.
    uri = address._replace(netloc=f"{user}@{where}", query="").geturl()
    kept = {name: value for name, value in given.items() if not name.upper().startswith(_NEVER)}
    made = {
        **kept,
        **_NOBODY,
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_SERVE_ARTIFACTS": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    return {**made, "MLFLOW_SERVER_ALLOWED_HOSTS": hosts} if hosts else made


def reached(where: str) -> str:
    """This pod's address on the way to the database; empty where nobody listens there."""
    host, _, port = where.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), 5) as probe:
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def asked(port: str, path: str, sent: dict[str, str] | None = None) -> int:
    """The status of MLflow's answer; 0 where there is none."""
    body = json.dumps(sent).encode() if sent is not None else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def say(words: str) -> None:
    """Into the container's log."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def serve(variable: str, where: str, port: str, until: str, hosts: str = "") -> int:
    """Until its time is over, or the database is gone; the exit code."""
    here = reached(where)
    if not here:
        say(f"{MARK} nobody answers at {where}: is there a NetworkPolicy between this pod and the worker's?")
        return 1
    # kubectl port-forward comes from within the pod; where there is no pod, only this machine is to come in.
    listens = "127.0.0.1" if here.startswith("127.") else "0.0.0.0"  # noqa: S104 - as said
    command = [sys.executable, "-m", "mlflow", "server", "--host", listens, "--port", port, "--workers", "1"]
    server = subprocess.Popen(command, env=environment(dict(os.environ), variable, where, hosts))
    try:
        return watch(server, where, port, float(until))
    finally:
        # All that it has started is of our group.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()


def watch(server: subprocess.Popen[bytes], where: str, port: str, until: float) -> int:
    """Until it is over; the exit code."""
    opened, missed = False, 0
    while time.time() < until:
        if server.poll() is not None:
            say(f"{MARK} mlflow server has ended")
            return 1
        if not opened and asked(port, "/api/2.0/mlflow/experiments/search?max_results=1") == OK:
            if asked(port, "/api/2.0/mlflow/experiments/create", {"name": "mlflow-ops peek"}) == OK:
                say(f"{MARK} the database takes writes, which it must not")
                return 1
            opened = True
            say(OPEN)
        missed = 0 if reached(where) else missed + 1
        if missed >= LOST_AFTER:
            say(f"{MARK} the database is gone")
            return 0
        time.sleep(LOOK_SECONDS)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(serve(*sys.argv[1:]))
