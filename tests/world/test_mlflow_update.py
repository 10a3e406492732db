"""An old MLflow brought up to date, version by version, with an index in the way that was made too early."""

import pytest

from mlflow_ops_sandbox.parts.mlflow import environments
from tests.world.mlflow_world import LAST_OF_2, OLDEST, begun, until
from workers.operations.database import mlflow_indexes
from workers.report import Status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NEWEST = environments.own_version()
HEADS = {OLDEST: "acf3f17fdcc7", LAST_OF_2: "0584bdc529eb", NEWEST: "dc11669786a5"}


@pytest.fixture(scope="module")
def world(start_sandbox_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("update")
    folder.chmod(0o711)
    folder.parent.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        yield begun(start_sandbox_once, folder, patch, OLDEST, LAST_OF_2, NEWEST)


def too_early(before, after):
    """The name of an index that an update between two revisions makes."""
    begin, end = mlflow_indexes.REVISIONS.index(before), mlflow_indexes.REVISIONS.index(after)
    return next(each.name for each in mlflow_indexes.INDEXES if begin < each.since <= end)


def test_the_server_is_the_oldest_at_first(world):
    assert world.systems.tracking.version() == OLDEST
    assert world.revision() == HEADS[OLDEST]


@pytest.mark.parametrize(("before", "after"), [(OLDEST, LAST_OF_2), (LAST_OF_2, NEWEST)])
def test_update_finds_the_index_drops_it_and_upgrades(world, before, after):
    runs = world.sql("SELECT count(*) FROM runs")
    name = too_early(HEADS[before], HEADS[after])
    world.sql(f"CREATE INDEX {name} ON experiments (name)")
    assert world.do("db indexes").status is Status.WARN
    plan = world.plan(f"update v{after}")
    assert f"Drop the index {name}: it was made too early, and the upgrade would stop at it" in plan.steps
    assert plan.steps.index("Back the database up") < next(i for i, step in enumerate(plan.steps) if name in step)
    report = world.do(f"update v{after}")
    assert report.status is Status.OK, report.summary
    assert f"MLflow says {after}" in report.summary
    assert world.revision() == HEADS[after]
    assert world.sql("SELECT count(*) FROM runs") == runs
    until(lambda: world.systems.tracking.within(30).search_experiments())
    looked = world.do("db indexes")
    assert (looked.status, "none is missing" in looked.summary) == (Status.OK, True), looked.summary


def test_an_older_version_is_refused_then(world):
    with pytest.raises(Exception, match="does not know the database's schema"):
        world.plan(f"update v{OLDEST}")
