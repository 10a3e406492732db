"""Whatever dies, freezes, loses a second or comes back, in any order: once, truly, last (rules 1, 5, 6 and 7)."""

import os

import pytest
import structlog

from tests.workers.engine import model
from tests.workers.engine.model_world import ModelSwitch, World
from workers.engine import locks, rescuing, running
from workers.records import scripts
from workers.records.outbox import Outbox
from workers.records.record import Phase, Stage
from workers.records.store import Records
from workers.rendering import thread

SEEDS = int(os.environ.get("MLFLOW_OPS_MODEL_SEEDS", "600"))
FAST, SLOW = 10, 100
FOUND_WITHIN = 400
NOTHING_IN_DOUBT = f"redis.call('SET', KEYS[1], string.match({scripts.RUN_ID}, 'run_id:(%x+)')) return 0"


@pytest.fixture
def play(redis, monkeypatch):
    """Plays one seed; what was wrong."""
    structlog.configure(processors=[_nothing])
    with model.played(monkeypatch, redis) as play:
        yield play
    structlog.reset_defaults()


def _nothing(*_):
    raise structlog.DropEvent


def first_wrong(play, seeds):
    """The first seed that goes wrong, and how; (None, []) where none does."""
    for seed in seeds:
        wrong = play(seed)
        if wrong:
            return seed, wrong
    return None, []


def test_some_histories(play):
    assert first_wrong(play, range(FAST)) == (None, [])


@pytest.mark.slow
def test_a_hundred_histories(play):
    assert first_wrong(play, range(FAST, SLOW)) == (None, [])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_thousands_of_histories(play, part):
    assert first_wrong(play, range(SLOW + part, SEEDS, 10)) == (None, [])


def found(play, monkeypatch, *words, **often):
    """What a seed shows of this, where some things happen more often than usual."""
    monkeypatch.setattr(model, "HAPPENS", {**model.HAPPENS, **often})
    for seed in range(FOUND_WITHIN):
        wrong = [each for each in play(seed) if any(word in each for word in words)]
        if wrong:
            return wrong
    return []


@pytest.mark.slow
def test_it_finds_the_worker_that_slept_and_wrote_over_the_end(play, monkeypatch):
    """As before progress bore a token."""

    def tell(self, record, *drafts, **_step):
        Outbox(self.redis).push(record.id, *drafts)
        return True

    monkeypatch.setattr(Records, "tell", tell)
    monkeypatch.setattr(Records, "holds", lambda *_: True)
    often = {"freezes": 14, "waits": 20, "thaws": 10, "dies": 1, "everybody": 6, "ask": 8}
    assert found(play, monkeypatch, "was told last: ", **often)


@pytest.mark.slow
def test_it_finds_the_record_that_ran_on_two_workers(play, monkeypatch):
    """As before a lost claim was taken again, and a lock knew whose it is."""
    real = Records.renew

    def renew(self, record):
        token = self.redis.hget(f"mlflow-ops:mlflow:record:{record.id}", "token")
        return bool(token) and real(self, record)

    def nobody(self, redis, record_id, parts, token=""):
        real_init(self, redis, record_id, parts)

    real_init = locks.Locks.__init__
    monkeypatch.setattr(locks.Locks, "__init__", nobody)
    monkeypatch.setattr(scripts, "DOUBT", NOTHING_IN_DOUBT)
    monkeypatch.setattr(Records, "holds", lambda *_: True)
    monkeypatch.setattr(Records, "renew", renew)
    wrong = ("was done 2 times", "went on after somebody else", "was done, and was told")
    assert found(play, monkeypatch, *wrong, keep=6, lose=6)


@pytest.mark.slow
def test_it_finds_the_second_death_that_leaves_the_world_closed(play, monkeypatch):
    """As before a look that died was made again."""
    real = rescuing.tell_lost

    def tell_lost(record, redis, why):
        if record.stage is not Stage.LOOK:
            real(record, redis, why)
            return
        said = f"{record.outcome} What it has left could not be looked at: {why}."
        Records(redis).finish(record.id, thread.failure(record, said, "See /mlflow health."))

    monkeypatch.setattr(rescuing, "tell_lost", tell_lost)
    monkeypatch.setattr(model, "KINDS", ((ModelSwitch, 0),))
    monkeypatch.setattr(World, "slow", 20)
    assert found(play, monkeypatch, "the world was left closed", ask=2, dies=10, everybody=8, waits=15)


@pytest.mark.slow
def test_it_finds_the_plan_that_redis_went_back_to(play, monkeypatch):
    """As before a record was looked into that Redis last saw being planned."""
    real = rescuing._look_into

    def look_into(record, redis):
        if record.phase is Phase.RUNNING and record.stage is Stage.PLAN:
            Records(redis).update(record.id, doubted=None)
        else:
            real(record, redis)

    monkeypatch.setattr(rescuing, "_look_into", look_into)
    assert found(play, monkeypatch, "was done, and", keep=8, lose=4, dies=10)


@pytest.mark.slow
def test_it_finds_the_worker_that_gave_up_what_redis_had_lost(play, monkeypatch):
    """As before a claim that Redis has lost was written anew when it was missed in the midst of a change."""
    real = Records.tell

    def tell(self, record, *drafts, **step):
        if not real(self, record, *drafts, **step):
            running.stop_here()
        return True

    monkeypatch.setattr(Records, "tell", tell)
    assert found(play, monkeypatch, "nobody else knows of it", keep=6, lose=6)
