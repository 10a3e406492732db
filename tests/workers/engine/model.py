"""Bot, two workers, scheduler and Redis as one seed has them meet: each dies, freezes, loses a second and comes back.

Every part is the product's own: the scripts on a real Redis, `running.run`, the sweep, locks, approvals, the outbox.
What is made up is the world that they change, Slack's memory of the last words, and when each part gets its turn: a
part is a greenlet that stops before every command to Redis and before every change of the world, and a random number
says who goes on. So a seed is one history, and the same each time.
"""

import random
from contextlib import contextmanager, nullcontext, suppress
from types import SimpleNamespace

import greenlet
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.workers.engine.model_world import ModelChange, ModelRead, ModelSwitch, World
from workers.engine import approvals, following, lease, locks, looking, patience, queues, rescuing, running
from workers.errors import OperatorError
from workers.operations.commands import jobs
from workers.records import store
from workers.records.keys import PREFIX
from workers.records.outbox import Outbox
from workers.records.record import Phase, Record
from workers.records.scripts import RUN_ID
from workers.records.store import Records
from workers.rendering import message
from workers.settings import Ops
from workers.systems import fencing

CHUNK = 5.0
"""Seconds from one sign of life to the next."""
STEPS = 140
HAPPENS = {
    "goes_on": 50,
    "ask": 6,
    "presses": 6,
    "cancels": 1,
    "waits": 5,
    "dies": 6,
    "freezes": 2,
    "thaws": 1,
    "keep": 2,
    "lose": 1,
    "redis_goes": 1,
    "world_goes": 1,
    "deliver": 2,
    "everybody": 2,
}
"""What happens in a step, and how likely it is."""
KINDS = ((ModelChange, 0), (ModelChange, 1), (ModelSwitch, 0), (ModelSwitch, 1), (ModelRead, 0))
"""What is asked for, and how many must approve it."""
FAR = (1, 1, 2, 5, 15, 30)
"""How far a part goes on, in stops."""
ROUNDS = 300
SERVER = "model:server"
"""Says which process of Redis it is said to be."""


TOLD_AS_DONE = ("carried out", "had begun", "could not be looked at")
"""One of these is in the words about what failed, where something was done."""


class Died(BaseException):
    """What a part that is dead meets wherever it goes on."""


class BusyError(Exception):
    """A lock that another thread of the same process has: it would wait."""


class Mutex:
    """In the place of threading.Lock, where the threads of a process are one."""

    held = False

    def __enter__(self):
        if self.held:
            raise BusyError
        self.held = True

    def __exit__(self, *_):
        self.held = False


class Client(Redis):
    """A connection of one part."""

    part = None

    def execute_command(self, *args, **options):
        self.part.stops()
        return super().execute_command(*args, **options)

    def pipeline(self, transaction=True, shard_hint=None):
        made = _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        made.part = self.part
        return made

    def register_script(self, script):
        # One and the same process plays all of them.
        return super().register_script(script.replace(RUN_ID, f"redis.call('GET', '{SERVER}')"))


class _Pipeline(Pipeline):
    part = None

    def execute(self, raise_on_error=True):
        self.part.stops()
        return super().execute(raise_on_error)


class Part:
    """A process. Its body runs until it stops somewhere, and goes on when it is its turn."""

    def __init__(self, model, name, body):
        self.model, self.name = model, name
        self.redis = Client(connection_pool=model.redis.connection_pool)
        self.redis.part = self
        self.dead = self.frozen = self.busy_alone = self.idle = False
        self.lease = None
        self.checks, self.answered, self.begun = [], [float("-inf")], []
        self.run = greenlet.greenlet(lambda: self._body(body))

    def _body(self, body):
        with suppress(Died):
            body(self)
        self.dead = True

    def stops(self):
        """Somebody else's turn, unless several things are one here."""
        if self.dead:
            raise Died
        if not self.busy_alone and greenlet.getcurrent() is self.run:
            self.model.main.switch()
            if self.dead:
                raise Died
        if self.model.away:
            raise RedisConnectionError

    def stops_here(self):
        """Also where it asks nothing of Redis."""
        if greenlet.getcurrent() is self.run:
            self.model.main.switch()
        if self.dead:
            raise Died

    def rests(self):
        """There is nothing to do."""
        self.idle = True
        self.stops_here()

    def goes_on(self):
        self.model.current, self.idle = self, False
        fencing._checks[:], fencing._answered[:], fencing._begun[:] = self.checks, self.answered, self.begun
        self.run.switch()
        self.checks, self.answered, self.begun = (
            list(each) for each in (fencing._checks, fencing._answered, fencing._begun)
        )
        fencing._checks.clear()
        self.model.current = None

    def freezes(self):
        self.frozen = True

    def dies(self):
        self.dead, self.lease = True, None

    def renews(self):
        """What the thread beside it does every few seconds."""
        if self.dead or self.frozen or self.lease is None or self.model.away:
            return
        records, record, signs = self.lease
        self.busy_alone = True
        try:
            lives = records.renew(record)
            signs.give()
        except OperatorError:
            lives = False
        except BusyError:
            return
        finally:
            self.busy_alone = False
        if not lives:
            self.dies()


class Model:
    """One history. problems: what should never be."""

    def __init__(self, redis, seed):
        self.redis, self.random = redis, random.Random(seed)
        self.main, self.current = greenlet.getcurrent(), None
        self.now, self.servers, self.away = 1_800_000_000.0, 0, False
        self.world = World(self)
        self.parts, self.accepted, self.told = {}, {}, {}
        self.asked = 0
        self.snapshot = []

    def plain(self):
        """A connection that nothing interrupts."""
        made = Client(connection_pool=self.redis.connection_pool)
        made.part = SimpleNamespace(stops=lambda: None, model=self)
        return made

    # Parts.

    def start(self, name, body):
        part = self.parts.get(name)
        if part is None or part.dead:
            self.parts[name] = Part(self, name, body)

    def worker(self, part):
        while True:
            for name in ("ops", "quick") if part.name == "worker 1" else ("quick", "ops"):
                try:
                    job = part.redis.lpop(queues.queue(name, part.redis).key)
                    if job:
                        running.run(job.decode().partition("-")[0])
                except RedisConnectionError:
                    continue
                except Exception:  # noqa: BLE001 - RQ notes it as failed, and takes the next
                    part.lease = None
            part.rests()

    def scheduler(self, part):
        while True:
            with suppress(RedisConnectionError):
                rescuing.rescue(part.redis)
            part.rests()

    def everybody(self):
        for name in ("worker 1", "worker 2"):
            self.start(name, self.worker)
        self.start("scheduler", self.scheduler)

    # What happens.

    def ask(self):
        self.asked += 1
        kind, needs = self.random.choice(KINDS)
        record = Record(
            id=f"{self.asked:010d}",
            operation=kind.name,
            arguments={"to": self.asked},
            words=f"{kind.name} {self.asked}",
            requester="U0OLEG",
            channel="C0OPS",
            approvals=needs,
            approvers="<@U0ANNA>",
            accepted_at=self.now,
            expires_at=self.now + 300 if needs else None,
        )
        root = message.asked(record.words, record.requester)
        if queues.accept(record, record.id, root, self.plain()):
            self.accepted[record.id] = self.asked

    def press(self, part):
        try:
            for record_id in Records(part.redis).open():
                record = Records(part.redis).get(record_id)
                if record and record.phase is Phase.PENDING:
                    approvals.approve(record, "U0ANNA", part.redis)
        except RedisConnectionError:
            return

    def cancel(self, part):
        records = Records(part.redis)
        try:
            for record_id in records.open():
                record = records.get(record_id)
                if record and not record.phase.ended:
                    jobs.stop(record, "U0OLEG", records)
                    return
        except (RedisConnectionError, OperatorError):
            return

    def deliver(self):
        outbox = Outbox(self.plain(), clock=lambda: self.now + 1e6)
        while (entry := outbox.take()[0]) is not None:
            if entry.kind in {"root", "edit"}:
                self.told[entry.record_id] = entry
            outbox.done(entry)

    def passes(self, seconds):
        """Time goes by: what lapses lapses, and who lives says so."""
        while seconds > 0:
            seconds -= CHUNK
            self.now += CHUNK
            lapsing = [*self.redis.keys(f"{PREFIX}record:*:alive"), *self.redis.keys(f"{PREFIX}lock:*")]
            for key in lapsing:
                left = self.redis.pttl(key)
                if left >= 0 and left <= CHUNK * 1000:
                    self.redis.delete(key)
                elif left > 0:
                    self.redis.pexpire(key, int(left - CHUNK * 1000))
            for part in list(self.parts.values()):
                part.renews()

    def keep(self):
        """What Redis has on its disk."""
        keys = self.redis.keys("*")
        pipe = self.redis.pipeline(transaction=False)
        for key in keys:
            pipe.dump(key)
            pipe.pttl(key)
        found = pipe.execute()
        self.snapshot = list(zip(keys, found[::2], found[1::2], strict=True))

    def begins(self):
        """It is another process than before."""
        self.servers += 1
        self.redis.set(SERVER, f"run_id:{self.servers}")

    def lose(self):
        """It begins anew with what it had on its disk."""
        if not self.snapshot:
            return
        pipe = self.redis.pipeline(transaction=False)
        pipe.flushall()
        for key, value, left in self.snapshot:
            if value is not None:
                pipe.restore(key, max(0, left), value)
        pipe.execute()
        self.begins()
        kept = {key.decode().rpartition(":")[2] for key, _, _ in self.snapshot}
        self.accepted = {each: to for each, to in self.accepted.items() if each in kept}

    def step(self):
        """One of what may happen, by its weight."""
        living = [part for part in self.parts.values() if not part.dead and not part.frozen]
        does = self.random.choices(list(HAPPENS), weights=list(HAPPENS.values()))[0]
        if does in ("goes_on", "dies", "freezes"):
            for part in self.random.choices(living, k=1) if living else ():
                for _ in range(self.random.choice(FAR) if does == "goes_on" else 1):
                    if not part.dead:
                        getattr(part, does)()
        else:
            getattr(self, does)()

    def presses(self):
        self.start(f"press {self.now}", self.press)

    def cancels(self):
        self.start(f"cancel {self.now}", self.cancel)

    def waits(self):
        self.passes(self.random.choice([5, 20, 60]))

    def thaws(self):
        for part in self.parts.values():
            part.frozen = False

    def redis_goes(self):
        self.away = not self.away

    def world_goes(self):
        self.world.away = not self.world.away

    def heal(self):
        """Everything is back, and has the time that it needs."""
        self.away = self.world.away = False
        for _ in range(ROUNDS):
            self.everybody()
            for part in list(self.parts.values()):
                part.frozen = part.idle = False
                while not part.dead and not part.idle:
                    part.goes_on()
            self.parts = {name: part for name, part in self.parts.items() if not part.dead}
            records = Records(self.plain())
            if not records.open() and all(part.lease is None for part in self.parts.values()):
                break
            self.passes(CHUNK)
            self.now += 40
        self.deliver()

    def run(self):
        """The whole history; what was wrong, in words."""
        self.redis.flushall()
        # A script that is not known yet costs a command more: a seed must not depend on those before it.
        self.redis.script_flush()
        self.begins()
        Records(self.plain()).doubt()
        self.everybody()
        for _ in range(STEPS):
            self.step()
        self.heal()
        return [*self.world.problems, *self.untrue()]

    def untrue(self):
        # Of a command that Redis has lost altogether, and whose worker died too, nobody can know.
        if self.world.closed and self.world.closed_by in self.accepted.values():
            yield "the world was left closed"
        records = Records(self.plain())
        for record_id, to in self.accepted.items():
            record = records.get(record_id)
            if record is None or not record.phase.ended:
                yield f"{to} never ended: {record and record.phase}"
                continue
            entry, done = self.told.get(record_id), to in self.world.effects
            said = str(entry.blocks) if entry else ""
            nothing = ("Nothing was done", "Nothing had been changed", "Expired", "Denied", "before anything was done")
            if ":hourglass" in said or not said:
                yield f"{to} ended {record.phase} ({record.outcome}), and was told last: {said}"
            elif done and any(each in said for each in nothing):
                yield f"{to} was done, and was told: {said}"
            elif done and record.phase is Phase.FAILED and not any(each in said for each in TOLD_AS_DONE):
                yield f"{to} was done, and nobody was told: {said}"
            elif not done and record.phase is Phase.DONE and record.operation != ModelRead.name:
                yield f"{to} was not done, and was told as done: {said}"


@contextmanager
def played(monkeypatch, redis):  # noqa: C901 - small pieces of one stage
    """Gives what plays a seed: the product's own modules, with the model's clock and its turns."""
    playing = SimpleNamespace(model=None)

    def part():
        return playing.model.current

    @contextmanager
    def alive(records, record):
        signs, mine = lease.Signs(), part()

        def check():
            if not records.holds(record):
                lease.stop_here()

        mine.lease = (records, record, signs)
        with fencing.checked_by(check):
            yield signs
        mine.lease = None

    def stop_here():
        mine = part()
        record = mine.lease and mine.lease[1]
        if record and Records(playing.model.plain()).get(record.id) is None:
            playing.model.world.problems.append(f"{record.words} was given up, and nobody else knows of it")
        mine.dies()
        raise Died

    def sleep(_seconds):
        part().rests()

    clock = SimpleNamespace(time=lambda: playing.model.now, monotonic=lambda: playing.model.now, sleep=sleep)
    for module in (store, queues, rescuing, approvals, following):
        monkeypatch.setattr(module, "time", clock)

    def patiently(call, **_named):
        return patience.patiently(call, monotonic=clock.monotonic, sleep=sleep)

    roles = {"operator": {"users": ["U0OLEG"]}, "approver": {"users": ["U0ANNA"]}}
    environment = SimpleNamespace(grace_seconds=20.0)
    loaded = SimpleNamespace(environment=environment, ops=Ops.model_validate({"roles": roles}))
    monkeypatch.setattr(lease, "stop_here", stop_here)
    monkeypatch.setattr(running, "stop_here", stop_here)
    monkeypatch.setattr(running, "alive", alive)
    monkeypatch.setattr(locks, "threading", SimpleNamespace(Lock=Mutex))
    monkeypatch.setattr(running, "patiently", patiently)
    monkeypatch.setattr(looking, "patiently", patiently)
    monkeypatch.setattr(running.timeouts, "limit", lambda _seconds: nullcontext())
    monkeypatch.setattr(running, "redis_here", lambda: part().redis)
    systems = lambda: SimpleNamespace(settings=loaded, redis=part().redis, world=playing.model.world)  # noqa: E731
    monkeypatch.setattr(running, "systems_here", systems)

    def play(seed):
        playing.model = Model(redis, seed)
        try:
            return playing.model.run()
        finally:
            for each in playing.model.parts.values():
                each.dies()

    yield play
