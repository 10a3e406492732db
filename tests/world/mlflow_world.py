"""MLflow as people have it: versions, each in an environment of its own, on the sandbox's PostgreSQL and store.

Where an environment is not in the cache and cannot be installed, because there is no way to a package index, its tests
are skipped.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import yaml

from commands import grammar
from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts.mlflow import environments
from mlflow_ops_sandbox.patience import stretched
from workers import settings
from workers.engine import performing
from workers.operation import Unwatched
from workers.systems import Systems

OLDEST, LAST_OF_2, FIRST_OF_3 = "2.11.3", "2.22.1", "3.1.4"
VERSIONS = (OLDEST, LAST_OF_2, FIRST_OF_3, environments.own_version())
WITHOUT = ("slack", "bot", "scheduler", "worker-quick", "worker-ops")


@dataclass
class World:
    """A sandbox with that MLflow, and its systems as a worker has them."""

    version: str
    sandbox: object
    systems: Systems

    def plan(self, words):
        """What a command would do."""
        return grammar.parse(words).plan(self.systems)

    def do(self, words):
        """Carry it out as a terminal would; its report."""
        return performing.perform_here(grammar.parse(words), words, "olga", self.systems, Unwatched())

    def sql(self, statement, *values):
        """The rows of a statement in MLflow's database."""
        with psycopg.connect(self.sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
            done = connection.execute(statement, values or None)
            return done.fetchall() if done.description else []

    def revision(self):
        """Of the database's schema."""
        return self.systems.database.schema_revision()


def installed(*versions):
    """Skip where one of these can't be installed."""
    try:
        for version in versions:
            environments.python(version, print)
    except SandboxError as error:
        pytest.skip(str(error))


def begun(start, folder, patch, *versions):
    """A sandbox with the first of these versions, which knows the others."""
    installed(*versions)
    words = [word for version in versions for word in ("--mlflow", version)]
    sandbox = start(folder / "sandbox", *words, *(word for part in WITHOUT for word in ("--without", part)))
    for name, value in sandbox.process_env.items():
        if name.startswith("AWS_"):
            patch.setenv(name, value)
    ops = yaml.safe_load(Path(sandbox.process_env["MLFLOW_OPS_CONFIG"]).read_text(encoding="utf-8"))
    ops["health"] = {"deadline_seconds": 30}
    path = folder / "ops.yaml"
    path.write_text(yaml.safe_dump(ops), encoding="utf-8")
    systems = Systems(settings.load({**sandbox.process_env, "MLFLOW_OPS_CONFIG": str(path)}))
    return World(versions[0], sandbox, systems)


def until(condition, seconds=60):
    """Wait until it holds."""
    ends = time.monotonic() + stretched(seconds)
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.2)
