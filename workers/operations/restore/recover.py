"""Everything is gone: MLflow from a backup, step by step, from its role in PostgreSQL to a run that is logged; its
database from WAL, where that reaches further (recover_moment.py).

Each step looks first whether it is so already, so a recovery that was interrupted, or failed, is simply asked for
again and goes on where it stopped. Nothing that is there is replaced: that is what `restore` is for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AwareDatetime, Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk, Within
from workers.operations.backup import artifacts, sets
from workers.operations.backup.encryption import Keys
from workers.operations.deployment.rollout import Watched, deployment_now, watch
from workers.operations.restore import (
    auth,
    cluster_objects,
    configuration,
    prerequisites,
    recover_moment,
    recover_report,
    side_database,
    smoke_test,
    switching,
)
from workers.operations.restore import moment as restore_moment
from workers.operations.restore.recover_moment import Beyond
from workers.operations.restore.recover_report import DONE, FAILED, LEFT, SKIPPED
from workers.operations.storage import cache
from workers.report import Facts, Report
from workers.systems.errors import AccessDenied, ClusterNotFound, GatewayError
from workers.systems.postgres.admin import Server
from workers.systems.postgres.switch import Names, rename
from workers.wording import count, duration, listed, moment, size

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.operations.restore.moment import Chosen
    from workers.systems import Systems

ANSWER_SECONDS: Final = 180.0
READY_SECONDS: Final = 900.0
_WAIT, _SMOKE = "Wait until every pod is ready", "Log a run and an artifact"
PODS, ANSWERS, SMOKE = "Pods", "MLflow answers", "Smoke test"
DATABASE: Final = "Database"


@dataclass(frozen=True)
class Step:
    """One thing that must be so. missing: what is not so yet, as a few words; empty where all is."""

    name: str
    missing: Callable[[], str]
    do: Callable[[], str]


def _planned(step: str) -> str:
    """Words of the planned step to which one of ours belongs."""
    return {PODS: _WAIT, ANSWERS: _WAIT, SMOKE: _SMOKE}.get(step, f"{step}: ")


class Recover(Operation):
    """Bring MLflow back from a set where it, its database and its bucket are gone. set: an id or latest.

    at: the database as it was then, from WAL.
    """

    name: ClassVar[str] = "recover"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "artifacts", "deployment", "configuration", "backup")
    timeout_seconds: ClassVar[int] = 12 * 3600
    approvers: ClassVar[int] = 2

    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST
    from_elsewhere: bool = False
    unsigned: bool = False
    at: AwareDatetime | None = None

    def plan(self, systems: Systems) -> Plan:
        """What is missing. Raises OperatorError, and AlreadySo where nothing is."""
        recovery = _Recovery.of(systems, self)
        missing = [(step.name, step.missing()) for step in recovery.steps()]
        if not any(lacks for _, lacks in missing):
            raise AlreadySo("Nothing of MLflow is missing.", "To replace what is there: /mlflow restore.")
        # How many pods are ready moves by itself, and follows from the rest.
        made = [(name, lacks) for name, lacks in missing if lacks and name not in {PODS, ANSWERS}]
        found, chosen = recovery.found, recovery.beyond.chosen
        age = duration((datetime.now(UTC) - recovery.as_of).total_seconds())
        allowed = systems.settings.ops.restore.rto_seconds
        return Plan(
            title="Recover MLflow",
            summary=f"from the backup {found.id}{_of(chosen)}: {listed([name for name, _ in made] or [PODS])}",
            steps=(
                *(f"{name}: {lacks}" for name, lacks in made),
                f"{_WAIT} and MLflow answers",
                f"{_SMOKE} through MLflow, read them back, and delete them",
            ),
            changes=tuple(
                Change(
                    what=name, before=lacks, after=chosen.words if chosen and name == DATABASE else "as in the backup"
                )
                for name, lacks in made
            ),
            warnings=(
                f"That is {age} ago: what was written since {moment(recovery.as_of)} is lost.",
                *recovery.beyond.notes,
                f"The aim is {duration(allowed)}.",
                *found.warnings,
                *sets.cautions(systems, self.set, found, part="database"),
                *(each for each in (auth.left_out(systems, found),) if each),
            ),
            undo="nothing that is there is replaced; what is made can be removed by hand",
            estimate_seconds=(found.database.seconds * 2 if found.database else 0)
            + (chosen.estimate_seconds if chosen else 0)
            + 60,
            sections=(Facts(items=chosen.facts(datetime.now(UTC))),) if chosen else (),
            facts={"set": found.name, **found.checksums, "artifacts that would be added": recovery.coming()}
            | ({"moment": chosen.at.isoformat(), "base": chosen.source.rests} if chosen else {}),
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do what is missing, step by step. Raises Cancelled; what was done until then stays, and is skipped later."""
        began = time.monotonic()
        recovery = _Recovery.of(systems, self, progress)
        lost = (datetime.now(UTC) - recovery.as_of).total_seconds()
        told: list[tuple[str, str, str, str]] = []
        problem: OperatorError | None = None
        for step in (*recovery.steps(), recovery.smoke_step()):
            if problem is not None:
                told.append((step.name, LEFT, "", ""))
                continue
            progress.checkpoint()
            since = time.monotonic()
            progress.step(f"{step.name} ({duration(since - began)} since the beginning)", of=_planned(step.name))
            try:
                lacks = step.missing()
                said = step.do() if lacks else ""
                told.append((step.name, DONE if lacks else SKIPPED, said, duration(time.monotonic() - since)))
                progress.ended(said if lacks else "it was there")
            except OperatorError as error:
                problem = error
                told.append((step.name, FAILED, error.message, duration(time.monotonic() - since)))
                progress.ended(error.message, well=False)
        aims = systems.settings.ops.restore.rto_seconds, systems.settings.ops.health.thresholds.backup_age_fail_seconds
        took = time.monotonic() - began
        if problem is not None:
            return recover_report.stopped(told, problem, took, _again(recovery))
        return recover_report.done(told, moment(recovery.as_of), (took, lost), aims)

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Let MLflow back in where the switch was cut off, and say what is missing still."""
        return switching.mended_and(systems, lambda: super(Recover, self).aftermath(systems, planned))


@dataclass
class _Recovery:
    systems: Systems
    found: Manifest
    progress: Progress | None
    server: Server
    elsewhere: bool = False
    beyond: Beyond = field(default_factory=Beyond)

    @classmethod
    def of(cls, systems: Systems, asked: Recover, progress: Progress | None = None) -> _Recovery:
        found = sets.good(
            systems, asked.set, part="database", unsigned=asked.unsigned, from_elsewhere=asked.from_elsewhere
        )
        if not asked.from_elsewhere:
            sets.refuse_foreign(systems, found)
        beyond = recover_moment.look(systems, found, asked.at, alone=asked.set != sets.LATEST)
        return cls(systems, found, progress, systems.server, asked.from_elsewhere, beyond)

    @property
    def as_of(self) -> datetime:
        """What was written after that is lost."""
        return self.beyond.chosen.at if self.beyond.chosen else self.found.started_at

    def steps(self) -> tuple[Step, ...]:
        steps = self.database_steps()
        if auth.restorable(self.systems, self.found):
            theirs, found = auth.systems_of(self.systems), auth.manifest_of(self.systems, self.found)
            steps += replace(self, systems=theirs, found=found, beyond=Beyond()).database_steps(" of basic-auth")
        if self.found.artifacts:
            steps += [
                Step("Bucket", self._bucket_missing, self._make_bucket),
                Step("Artifacts", self._artifacts_missing, self._make_artifacts),
            ]
        if self.found.configuration:
            steps.append(Step("Objects in the cluster", self._objects_missing, self._make_objects))
        steps += [
            Step(PODS, self._pods_missing, self._await_pods),
            Step(ANSWERS, self._answer_missing, self._await_answer),
        ]
        return tuple(steps)

    def database_steps(self, whose: str = "") -> list[Step]:
        return [
            Step(f"Role{whose} in PostgreSQL", self._role_missing, self._make_role),
            Step(f"{DATABASE}{whose}", self._database_missing, self._make_database),
        ]

    def smoke_step(self) -> Step:
        return Step(SMOKE, lambda: "not done", lambda: smoke_test.test(self.systems))

    @property
    def _going(self) -> Progress:
        assert self.progress is not None
        return self.progress

    def _role_missing(self) -> str:
        role = prerequisites.role_of(self.systems)
        return "" if prerequisites.has_role(self.server, role) else f"there is no role {role}"

    def _make_role(self) -> str:
        role = prerequisites.role_of(self.systems)
        prerequisites.make_role(self.server, role, self.systems)
        return f"role {role} made"

    def _database_missing(self) -> str:
        live = self.systems.database.name
        if live not in self.server.databases():
            return f"there is no database {live}"
        return f"the database {live} is empty" if prerequisites.is_empty(self.systems) else ""

    def _make_database(self) -> str:
        if self.beyond.chosen is None:
            return self._made_from(self.found)
        with restore_moment.taken(self.systems, self.beyond.chosen, Within(self._going)) as found:
            return f"{self._made_from(found)} {self.beyond.chosen.words[0].upper()}{self.beyond.chosen.words[1:]}."

    def _made_from(self, found: Manifest) -> str:
        part, live = found.database, self.systems.database.name
        assert part is not None
        restored = side_database.restored_name(live, found.id)
        like = prerequisites.like_for(self.server, prerequisites.role_of(self.systems))
        made = side_database.restore_into(self.systems, self.server, restored, found, self._going, like=like)
        databases = self.server.databases()
        if live in databases:
            previous = side_database.previous_name(live, found.id, databases)
            comments = side_database.comments(live, previous, found.name)
            switching.do(self.systems, Names(live, restored, previous), comments)
        else:
            told = side_database.comment("restored", found.name)
            patience = self.systems.settings.ops.restore.switch_seconds
            rename(self.server, restored, live, told, patience_seconds=patience)
        rows = count(sum(part.rows.values()), "row")
        return " ".join((f"{rows} in {count(len(part.rows), 'table')}, compared with the manifest", *made.notes))

    def _buckets_gone(self) -> list[str]:
        wanted, others = self._wanted(), self.found.artifacts.others if self.found.artifacts else ()
        every = [wanted.target_bucket, *(each.bucket for each in others if wanted.others)]
        return [each for each in every if not self._has(each)]

    def _has(self, bucket: str) -> bool:
        try:
            return prerequisites.has_bucket(self.systems.objects, bucket)
        except AccessDenied:
            # Another team's, perhaps; what can't be put there is told.
            return True

    def _bucket_missing(self) -> str:
        gone = self._buckets_gone()
        return f"there is no bucket {' and no bucket '.join(gone)}" if gone else ""

    def _make_bucket(self) -> str:
        made = [(each, prerequisites.make_bucket(self.systems.objects, each)) for each in self._buckets_gone()]
        return " ".join(f"{bucket} made. {note}".strip() for bucket, note in made)

    def _artifacts_missing(self) -> str:
        wanted = self._wanted()
        if not prerequisites.has_bucket(self.systems.objects, wanted.target_bucket):
            return f"all {self.found.artifacts.objects:,} are missing" if self.found.artifacts else ""
        seen = artifacts.compare(self.systems.objects, wanted, backups=self.systems.backups)
        return f"{count(seen.missing, 'artifact')} ({size(seen.bytes)}) are missing" if seen.missing else ""

    def coming(self) -> str:
        """A digest over the artifacts that would be added."""
        if not self.found.artifacts:
            return ""
        wanted = self._wanted()
        if not prerequisites.has_bucket(self.systems.objects, wanted.target_bucket):
            return f"all of the listing {wanted.sha256}"
        return artifacts.compare(self.systems.objects, wanted, backups=self.systems.backups).coming

    def _make_artifacts(self) -> str:
        expected = self.found.artifacts.objects if self.found.artifacts else 0
        try:
            done = artifacts.restore(
                self.systems.objects, self._wanted(), self._going, expected=expected, backups=self.systems.backups
            )
        finally:
            cache.stale(self.systems.redis)
        if done.lost:
            raise OperatorError(f"{count(done.lost_count, 'artifact')} could not be put back: {done.lost[0]}")
        return f"{count(done.added + done.replaced, 'artifact')} ({size(done.bytes)}) put back and compared"

    def _objects_missing(self) -> str:
        gone = [cluster_objects.name_of(each) for each in self._gone()]
        return f"{', '.join(gone)} missing" if gone else ""

    def _make_objects(self) -> str:
        gone = self._gone()
        order = list(cluster_objects.KINDS)
        for item in sorted(gone, key=lambda each: order.index(each["kind"])):
            cluster_objects.apply(self.systems.cluster, item)
        return f"{', '.join(map(cluster_objects.name_of, gone))} made"

    def _gone(self) -> list[cluster_objects.Json]:
        items = configuration.items_of(self.systems, self.found, ())
        missing = []
        for item in items:
            plural, group = cluster_objects.KINDS.get(item["kind"], ("", ""))
            try:
                if plural:
                    self.systems.cluster.named(plural, item["metadata"]["name"], group)
            except ClusterNotFound:
                missing.append(item)
        return missing

    def _pods_missing(self) -> str:
        name = self.systems.settings.ops.kubernetes.deployment
        try:
            deployment = self.systems.cluster.deployment(name)
        except ClusterNotFound:
            return "there are no pods"
        wanted = int(deployment["spec"].get("replicas", 1))
        ready = int((deployment.get("status") or {}).get("readyReplicas", 0))
        return f"{ready} of {wanted} are ready" if ready < wanted else ""

    def _await_pods(self) -> str:
        before = deployment_now(self.systems)
        outcome = watch(Watched.of(self.systems, READY_SECONDS, before=before), self._going)
        if not outcome.well:
            raise OperatorError(f"The pods do not come up: {outcome.why}.", "/mlflow health pods tells more.")
        return "every pod is ready"

    def _answer_missing(self) -> str:
        try:
            self.systems.tracking.search_experiments()
        except GatewayError as error:
            return error.message.rstrip(".")
        return ""

    def _await_answer(self) -> str:
        until = time.monotonic() + ANSWER_SECONDS
        while why := self._answer_missing():
            if time.monotonic() > until:
                raise OperatorError(f"MLflow does not answer: {why}.", "/mlflow health mlflow tells more.")
            self._going.checkpoint()
            time.sleep(0.5)
        return "it answers from its database"

    def _wanted(self) -> artifacts.Wanted:
        storage = self.systems.settings.ops.storage
        assert self.found.artifacts is not None
        return artifacts.Wanted(
            storage.backups_bucket,
            self.found.name,
            storage.artifacts_bucket,
            sha256=self.found.artifacts.listing.sha256,
            only_missing=True,
            others=not self.elsewhere,
            keys=Keys.all_of(self.systems.settings),
        )


def _of(chosen: Chosen | None) -> str:
    return f", the database {chosen.words}" if chosen else ""


def _again(recovery: _Recovery) -> str:
    chosen = recovery.beyond.chosen
    if chosen is None:
        return f"recover --from {recovery.found.id}"
    return f"recover --at {chosen.at:%Y-%m-%dT%H:%M:%SZ}"
