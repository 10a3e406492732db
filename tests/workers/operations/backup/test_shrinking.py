"""What a set lost is told, keeps it from being latest until a person accepts it, and costs no older set its place."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.workers.operations.backup import forging
from tests.workers.operations.backup.artifacts.conftest import store  # noqa: F401 - a fixture
from tests.workers.operations.backup.test_forged import place  # noqa: F401 - a fixture
from workers.errors import AlreadySo, OperatorError
from workers.operation import Unwatched
from workers.operations.backup import manifest, retention, sets
from workers.operations.backup.accept import BackupAccept
from workers.operations.backup.manifest import ArtifactsPart, ConfigurationPart, DatabasePart, Manifest, Stored
from workers.operations.backup.prune import BackupPrune
from workers.operations.backup.show import BackupList
from workers.operations.backup.shrinking import compared, lost
from workers.operations.backup.signing import Trust, signed
from workers.operations.backup.summary import report
from workers.operations.health import backup as health
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.report import Status
from workers.settings import Retention
from workers.systems.s3.transfer import Transfer

ROWS = {"experiments": 20, "runs": 500, "metrics": 30_000, "webhooks": 5}
OBJECTS = ("deployment/mlflow", "secret/mlflow")
NOTHING = Stored(key="k", bytes=1, sha256="")


def a_set(short, *, rows=ROWS, artifacts=(600, 6_000), objects=OBJECTS, parts=("database", "artifacts", "config")):
    now = forging.now()
    of = {
        "database": DatabasePart(dump=NOTHING, database="m", server_version="", pg_dump_version="", rows=rows),
        "artifacts": ArtifactsPart(listing=NOTHING, bucket="a", objects=artifacts[0], bytes=artifacts[1]),
        "config": ConfigurationPart(document=NOTHING, objects=objects),
    }
    held = {"configuration" if part == "config" else part: of[part] for part in parts}
    return Manifest(name=f"sets/20260101T000000Z-{short}/", id=short, started_at=now, finished_at=now, **held)


WHOLE = a_set("aaaaaa")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (a_set("b", rows={**ROWS, "runs": 460}), ()),
        (a_set("b", rows={**ROWS, "webhooks": 0}), ()),
        (a_set("b", rows={**ROWS, "runs": 449}), ("51 of 500 rows of runs",)),
        (a_set("b", rows={**ROWS, "experiments": 19}), ("1 experiment of 20",)),
        (a_set("b", rows={name: held for name, held in ROWS.items() if name != "metrics"}), ("1 table: metrics",)),
        (a_set("b", artifacts=(541, 5_500)), ()),
        (a_set("b", artifacts=(100, 1_000)), ("500 of 600 artifacts",)),
        (a_set("b", artifacts=(600, 100)), ("5.8 KiB of 5.9 KiB of artifacts",)),
        (a_set("b", objects=OBJECTS[:1]), ("1 object of the configuration: secret/mlflow",)),
        (a_set("b", parts=("config",)), ()),
        (a_set("b", rows={**ROWS, "metrics": 40_000}, artifacts=(700, 9_000)), ()),
    ],
)
def test_what_is_told_of_a_set_that_holds_less(now, words):
    assert tuple(each.words for each in lost(WHOLE, now, 0.1)) == words


def test_each_part_is_compared_with_the_newest_whole_set_that_has_it():
    emptied = compared(a_set("bbbbbb", artifacts=(100, 1_000)), [WHOLE], 0.1)
    assert (emptied.shrank, emptied.shrank_since, emptied.shrunk) == (("500 of 600 artifacts",), "aaaaaa", True)
    config = a_set("cccccc", parts=("config",))
    again = compared(a_set("dddddd", artifacts=(90, 900)), [config, emptied, WHOLE], 0.1)
    assert again.shrank == ("510 of 600 artifacts",), "what shrank is no measure"
    accepted = emptied.model_copy(update={"accepted": True})
    assert compared(a_set("dddddd", artifacts=(95, 950)), [config, accepted, WHOLE], 0.1).shrank == ()


def test_the_report_is_a_warning_that_says_what_and_since_when():
    told = report(compared(a_set("bbbbbb", rows={"experiments": 20}), [WHOLE], 0.1), "b")
    assert told.status is Status.WARN
    assert told.summary.startswith("SHRANK: it lost 3 tables: metrics, runs, webhooks since aaaaaa.")
    assert report(WHOLE, "b").status is Status.OK


@given(some.lists(some.tuples(some.sampled_from(["whole", "shrunk", "config"]), some.integers(0, 90)), min_size=1))
def test_the_last_set_from_before_stays_whatever_is_kept(made):
    moment, dated = forging.now(), []
    for number, (kind, minutes) in enumerate(made):
        moment += timedelta(minutes=minutes + 1)
        parts = ("config",) if kind == "config" else ("database", "artifacts")
        dated.append(retention.Dated(f"sets/{moment:%Y%m%dT%H%M%SZ}-{number:06x}/", moment, parts, kind == "shrunk"))
    kept = retention.kept(dated, Retention(hourly=0, daily=0, weekly=0, monthly=0), ZoneInfo("UTC"))
    whole = [each.name for each in dated if each.parts != ("config",) and not each.shrank]
    assert not whole or whole[-1] in kept
    assert dated[-1].name in kept


def test_a_set_that_shrank_is_not_latest_until_it_is_accepted(place):  # noqa: F811 - the fixture
    same = {"keys": place.keys, "progress": Unwatched()}
    whole = forging.made(place, forging.now() - timedelta(days=400), **same)
    place.s3.delete_object(Bucket=place.artifacts, Key="1/run0/artifacts/model.pkl")
    made = forging.made(place, forging.now(), **same)
    lacks = made.model_copy(update={"shrank": ("1 table: metrics",), "shrank_since": whole.id})
    with Transfer.of(place.systems.backups, 1) as transfer:
        manifest.store(signed(lacks, place.keys), transfer, place.backups)
    assert sets.good(place.systems, "latest").id == whole.id
    assert sets.good(place.systems, made.id).id == made.id
    assert f"SHRANK: lost {lacks.losses}" in BackupList().run(place.systems, Unwatched()).model_dump_json()
    said = " ".join(RestoreArtifacts().plan(place.systems).warnings)
    assert f"Skipping {made.id}, which lost 1 table: metrics." in said
    found = health.newest(place.systems.backups, place.backups, forging.now(), Trust.of(place.systems.settings))
    assert found.passed_over == (f"{made.name} lost 1 table: metrics since {whole.id}",)
    assert "remove 0 sets" in BackupPrune().plan(place.systems).summary

    accept = BackupAccept(id=made.id)
    assert accept.gated(place.systems.settings.ops)
    assert "Lost since" in accept.plan(place.systems).warnings[0]
    assert accept.run(place.systems, Unwatched()).status is Status.OK
    assert sets.good(place.systems, "latest").id == made.id
    with pytest.raises(AlreadySo):
        accept.plan(place.systems)
    forging.written(place, made, forging.document(place, made) | {"shrank": [], "accepted": False})
    with pytest.raises(OperatorError, match="changed since it was signed"):
        accept.plan(place.systems)
