"""What the health check measured before: kept within bounds, compared, and followed into the future."""

import base64
import json
import random
import struct
from datetime import UTC, date, datetime, timedelta

import pytest

from commands import grammar
from workers import settings
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.health import CHECKS
from workers.operations.history import comparison, forecast, metrics, recording, store, trend, trends
from workers.operations.history.store import History, Point, Sample, sample
from workers.report import Check, Status
from workers.systems import Systems
from workers.wording import NOTHING

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def at(moment, **figures):
    return Sample(moment, {name.replace("__", "."): value for name, value in figures.items()})


def keys(redis):
    return sorted(key.decode() for key in redis.scan_iter("mlflow-ops:mlflow:history:*"))


def test_what_is_kept_comes_back_as_it_was(redis):
    made = Sample(NOW, {"postgres.size_bytes": 123_456_789.0}, {"logs.kinds": ("a", "b")}, {"postgres": "ok"})
    history = History(redis)
    history.keep(made)
    (found,) = history.samples(NOW - HOUR, NOW)
    assert (found.at, found.notes, found.verdicts) == (made.at, made.notes, made.verdicts)
    assert found.figures["postgres.size_bytes"] == pytest.approx(123_456_789, rel=1e-6)


def test_raw_runs_are_kept_for_fourteen_days_and_days_for_a_year(redis):
    history = History(redis)
    begin = NOW - 400 * DAY
    for number in range(400 * 4):
        history.keep(at(begin + number * 6 * HOUR, postgres__size_bytes=float(number)))
    last = begin + (400 * 4 - 1) * 6 * HOUR
    raw = history.samples(begin, last)
    assert last - raw[0].at <= 14 * DAY
    assert len(raw) == 14 * 4
    days = history.days("postgres.size_bytes", date(2000, 1, 1))
    assert 360 <= len(days) <= store.DAYS + 1
    one = days[-1]
    assert (one.number, one.most - one.least, one.last) == (4, 3.0, one.most)
    assert one.mean == pytest.approx((one.least + one.most) / 2)
    points = history.points("postgres.size_bytes", last - 365 * DAY, last)
    assert [point.at for point in points] == sorted(point.at for point in points)
    assert 365 <= len({point.at.date() for point in points}) <= 367


def test_a_day_that_is_summed_up_twice_is_the_same(redis):
    history = History(redis)
    for number in range(60):
        history.keep(at(NOW + number * HOUR, logs__errors=float(number)))
    before = history.days("logs.errors", date(2000, 1, 1))
    redis.delete("mlflow-ops:mlflow:history:days")
    history.keep(at(NOW + 60 * HOUR, logs__errors=0.0))
    assert history.days("logs.errors", date(2000, 1, 1)) == before


def worst(moment, chance):
    """As much as a run may say: every figure that is allowed, and every note at its full length."""
    figures = {
        f"check-{number}.some_figure_seconds": chance.random() * 10 ** chance.randint(0, 12) for number in range(45)
    }
    notes = {"logs.kinds": tuple("".join(chance.choices("abcdef é", k=600)) for _ in range(30))}
    checks = tuple(
        Check(
            name=name,
            title=name,
            status=Status.OK,
            sentence="",
            figures={key.partition(".")[2] + str(number): value for number, (key, value) in enumerate(figures.items())},
            notes={key.partition(".")[2]: said for key, said in notes.items()},
        )
        for name in CHECKS
    )
    return sample(checks, moment)


def test_a_years_history_stays_under_fifty_megabytes(redis):
    """A year of it, at its bounds: 2,016 runs that say as much as they may, and 366 days of 100 figures each."""
    chance = random.Random(7)
    made = worst(NOW, chance)
    assert len(made.figures) == store.MOST_FIGURES
    before = redis.info("memory")["used_memory"]
    body = {
        "figures": made.figures,
        "notes": {name: list(said) for name, said in list(made.notes.items())[:5]},
        "verdicts": made.verdicts,
    }
    pipe = redis.pipeline(transaction=False)
    for number in range(store.MOST_RAW + 50):
        moment = (NOW - 13 * DAY + number * timedelta(minutes=9)).timestamp()
        pipe.zadd("mlflow-ops:mlflow:history:raw", {json.dumps({"at": moment, **body}): moment})
    for number in range(store.DAYS + 30):
        day = (NOW - (20 + number) * DAY).date().isoformat()
        pipe.hset(
            "mlflow-ops:mlflow:history:days",
            day,
            json.dumps({name: [288, 1.234567e9, 1.234567, 1e9, 1e8] for name in made.figures}),
        )
    pipe.execute()
    History(redis).keep(Sample(NOW, made.figures))
    assert redis.zcard("mlflow-ops:mlflow:history:raw") <= store.MOST_RAW
    assert redis.hlen("mlflow-ops:mlflow:history:days") <= store.DAYS + 15
    used = redis.info("memory")["used_memory"] - before
    assert used < 50e6


def test_a_secret_in_a_note_is_not_kept(redis):
    History(redis).keep(Sample(NOW, {}, {"logs.kinds": ("no login at postgresql://mlflow:hunter22@db/x",)}))
    assert b"hunter22" not in redis.zrange("mlflow-ops:mlflow:history:raw", 0, -1)[0]
    assert keys(redis) == ["mlflow-ops:mlflow:history:raw"]


def line_of(*values, every=6 * HOUR):
    points = [Point(NOW - (len(values) - 1 - number) * every, float(value)) for number, value in enumerate(values)]
    return forecast.through(points, NOW)


def test_a_straight_line_says_when_the_disk_is_full():
    line = line_of(*(10e9 + number * 0.25e9 for number in range(40)))
    assert line.per_day == pytest.approx(1e9)
    assert line.days_to(line.value + 23e9) == pytest.approx(23, abs=0.1)
    metric = metrics.BY_NAME["database"]
    assert trend.forecast_sentence(metric, line.value + 23e9, line) == "The database's disk is full in about 23 days."
    assert trend.forecast_sentence(metric, None, line) == ""


def test_scatter_has_no_direction_and_few_points_none_either():
    chance = random.Random(3)
    assert line_of(*(chance.gauss(100, 10) for _ in range(60))) is None
    assert line_of(1, 2, 3) is None
    assert line_of(*range(10), every=timedelta(minutes=5)) is None


def test_what_falls_or_is_very_slow_never_fills():
    assert line_of(*range(40, 0, -1)).days_to(100) is None
    assert line_of(*(100 + number * 1e-6 for number in range(40))).days_to(1e6) is None
    assert line_of(*range(40)).days_to(10) == 0.0


@pytest.fixture
def systems(redis, redis_url):
    loaded = settings.load({"REDIS_URL": redis_url})
    ops = settings.Ops.model_validate({"limits": {"database": "100Gi"}})
    return Systems(loaded.model_copy(update={"ops": ops}))


def test_trend_draws_a_figure_with_its_forecast(systems, redis):
    now, history = datetime.now(UTC), History(redis)
    for number in range(20 * 4, 0, -1):
        value = (100 - 23 - number / 4) * 1024**3
        history.keep(at(now - number * 6 * HOUR, postgres__size_bytes=value))
    report = trend.Trend(metric="database").run(systems, Unwatched())
    assert "The database's disk is full in about 23 days." in report.summary
    (picture,) = report.attachments
    content = base64.b64decode(picture.content)
    assert content.startswith(b"\x89PNG")
    wide, high = struct.unpack(">II", content[16:24])
    assert (wide, high) == (1152, 495)
    assert "full in about 23 days" in picture.alt
    assert len(picture.alt) <= 1000
    assert report.status is Status.OK
    unlimited = Systems(systems.settings.model_copy(update={"ops": settings.Ops()}))
    said = trend.Trend(metric="database").run(unlimited, Unwatched()).summary
    assert "full" not in said
    assert "limits" in said


def test_without_a_metric_all_are_listed_with_how_they_went(systems, redis):
    nothing = trends.Trends().run(systems, Unwatched())
    assert "No figures yet" in nothing.summary
    now, history = datetime.now(UTC), History(redis)
    for number in range(14 * 4 - 1, -1, -1):
        history.keep(at(now - number * 6 * HOUR, postgres__size_bytes=2.0**30 * (56 - number), pods__restarts=3.0))
    report = trends.Trends().run(systems, Unwatched())
    (table,) = report.sections
    lines = {row[0]: row for row in table.rows}
    assert set(lines) == {"database", "restarts"}
    assert lines["database"][1] == "56.0 GiB"
    assert lines["database"][1].value == pytest.approx(56 * 2**30)
    assert lines["database"][2][0] == "▁"
    assert lines["database"][2][-1] == "█"
    assert list(lines["database"][2]) == sorted(lines["database"][2])
    assert set(lines["restarts"][2]) == {"▅"}
    assert grammar.parse("trend") == trends.Trends()
    assert grammar.parse("trend --days 7") == trends.Trends(days=7)


def test_trend_of_a_connection_pool_knows_its_limit_from_the_server(systems, redis):
    now, history = datetime.now(UTC), History(redis)
    for number in range(60, 0, -1):
        history.keep(at(now - number * 6 * HOUR, postgres__connections=100.0 - number, postgres__max_connections=120.0))
    report = trend.Trend(metric="connections").run(systems, Unwatched())
    assert report.status is Status.WARN
    assert "All connections are in use in about 5 days." in report.summary


def test_trend_of_what_nobody_measured_says_what_there_is(systems, redis):
    with pytest.raises(OperatorError) as told:
        trend.Trend(metric="latency").run(systems, Unwatched())
    assert "/mlflow health" in str(told.value)
    History(redis).keep(at(datetime.now(UTC), logs__errors=1.0))
    with pytest.raises(OperatorError) as told:
        trend.Trend(metric="postgres.nonsense").run(systems, Unwatched())
    assert "logs.errors" in str(told.value)
    with pytest.raises(ValueError, match="did you mean latency"):
        trend.Trend(metric="latecy")


def test_two_runs_beside_each_other(settings_of_nothing):
    before = Sample(
        NOW - DAY, {"postgres.size_bytes": 1e9, "mlflow.p95_seconds": 0.020}, {"mlflow.version": ("3.16.0",)}
    )
    now = Sample(NOW, {"postgres.size_bytes": 1.1e9, "mlflow.p95_seconds": 0.020}, {"mlflow.version": ("3.17.2",)})
    (table,) = comparison.table(before, now, settings_of_nothing)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["Database size"][2] == "+95.4 MiB (+10%)"
    assert rows["Latency (p95)"] == ("20 ms", "20 ms", NOTHING)
    assert rows["MLflow"] == ("3.16.0", "3.17.2", "changed")
    assert table.title == "Since Mon 23 Nov 07:00 UTC"


def check(name="postgres", status=Status.OK, **figures):
    return Check(name=name, title=name, status=status, sentence="", figures=figures)


def test_each_health_run_is_kept_and_compared_with_the_nearest_of_then(systems, redis):
    history = History(redis)
    history.keep(at(NOW - 26 * HOUR, postgres__size_bytes=1e9))
    history.keep(at(NOW - 25 * HOUR, postgres__size_bytes=2e9))
    (table,) = recording.record_and_compare((check(size_bytes=3e9),), systems.settings, NOW, 86_400)
    assert table.title.startswith("Since Mon 23 Nov 06:00")
    assert ("Database size", "1.9 GiB", "2.8 GiB", "+954 MiB (+50%)") in table.rows
    assert history.near(NOW, HOUR).figures["postgres.size_bytes"] == 3e9


def test_without_a_run_of_then_it_says_so(systems):
    (said,) = recording.record_and_compare((check(),), systems.settings, NOW, 86_400)
    assert "no health check of then is kept" in said.text
    assert recording.record_and_compare((check(),), systems.settings, NOW, None) == ()


def test_health_is_told_also_where_redis_is_away(free_port):
    away = settings.load({"REDIS_URL": f"redis://127.0.0.1:{free_port}/0"})
    assert recording.record_and_compare((check(),), away, NOW, None) == ()
    (said,) = recording.record_and_compare((check(),), away, NOW, 3600)
    assert "Redis does not answer" in said.text
    (said,) = recording.record_and_compare((check(),), settings.load({}), NOW, 3600)
    assert "no Redis here" in said.text


def test_a_run_that_asked_one_question_is_not_what_yesterday_was(redis):
    history = History(redis)
    history.keep(Sample(NOW - 25 * HOUR, {f"a.{number}": 1.0 for number in range(20)}))
    history.keep(at(NOW - 24 * HOUR, queues__waiting=0.0))
    assert len(history.near(NOW - 24 * HOUR, 2 * HOUR).figures) == 20
