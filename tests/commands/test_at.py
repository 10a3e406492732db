"""Moments as people write them."""

from datetime import UTC, datetime

import click
import pytest

from commands import grammar
from commands.since import At
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill_moment import DrillMoment

NOW = datetime(2026, 11, 30, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("14:05", datetime(2026, 11, 30, 14, 5, tzinfo=UTC)),
        ("14:05:30", datetime(2026, 11, 30, 14, 5, 30, tzinfo=UTC)),
        ("14:05Z", datetime(2026, 11, 30, 14, 5, tzinfo=UTC)),
        ("15:00", datetime(2026, 11, 29, 15, 0, tzinfo=UTC)),
        ("9:00", datetime(2026, 11, 30, 9, 0, tzinfo=UTC)),
        ("2026-11-29T14:05Z", datetime(2026, 11, 29, 14, 5, tzinfo=UTC)),
        ("2026-11-29T14:05:01.25", datetime(2026, 11, 29, 14, 5, 1, 250000, tzinfo=UTC)),
        ("2026-11-29T14:05+02:00", datetime(2026, 11, 29, 12, 5, tzinfo=UTC)),
        ("10m", datetime(2026, 11, 30, 14, 20, tzinfo=UTC)),
        ("10m ago", datetime(2026, 11, 30, 14, 20, tzinfo=UTC)),
    ],
)
def test_a_moment(text, moment):
    assert At(lambda: NOW).convert(text, None, None) == moment


@pytest.mark.parametrize("text", ["25:00", "14:60", "soon", "2026-13-01T00:00Z", "2026-12-01T00:00Z", ""])
def test_what_is_none(text):
    with pytest.raises(click.BadParameter):
        At(lambda: NOW).convert(text, None, None)


def test_a_moment_takes_the_place_of_a_backup():
    asked = grammar.parse("restore database --at 2026-11-29T14:05Z --exclusive")
    assert asked == RestoreDatabase(at=datetime(2026, 11, 29, 14, 5, tzinfo=UTC), exclusive=True)
    assert RestoreDatabase.model_validate_json(asked.model_dump_json()) == asked
    assert grammar.parse("drill --at random") == DrillMoment()
    asked = grammar.parse("restore database --before 'deleted experiment churn'")
    assert asked == RestoreDatabase(event="deleted experiment churn")
    for line in (
        "restore database 1a2b3c --at 14:05",
        "restore database --exclusive",
        "restore database 1a2b3c --before 'deleted churn'",
        "restore artifacts --at 14:05 --before 'deleted churn'",
    ):
        with pytest.raises(grammar.UsageError):
            grammar.parse(line)
