"""The artifacts of a set back into their bucket, all of them or those of one experiment, run or prefix.

What is missing is added and what differs put back. What the set does not hold stays, unless `exact` is asked for; and
that only where the bucket keeps versions, so that what goes can still be had. Of a moment: see artifacts_at.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AwareDatetime, Field, model_validator

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import artifacts, sets, summary
from workers.operations.backup.encryption import Keys
from workers.operations.experiments.finding import find as find_experiment
from workers.operations.restore import artifacts_at, events
from workers.operations.runs.finding import find as find_run
from workers.operations.storage import cache
from workers.operations.storage.locations import in_a_bucket
from workers.report import Report, Section, Status, Text
from workers.wording import count, listed, size

if TYPE_CHECKING:
    from datetime import datetime

    from workers.operations.backup.artifacts import Difference
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems


_DEFAULTS: Final = (
    "Single objects come back without storage class, ACL, encryption settings and Object Lock: the bucket's defaults "
    "apply."
)


class RestoreArtifacts(Operation):
    """Put a set's artifacts back. set: an id or latest. One of prefix, experiment (name or id) and run, or none.

    at: as they were then, by the versions that the bucket keeps, instead of a set. event: words of what happened,
    instead of `at`: as they were just before it.
    """

    name: ClassVar[str] = "restore-artifacts"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("artifacts", "backup")
    timeout_seconds: ClassVar[int] = 12 * 3600

    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST
    prefix: Annotated[str, Field(max_length=1024)] = ""
    experiment: str = ""
    run_id: str = ""
    exact: bool = False
    from_elsewhere: bool = False
    unsigned: bool = False
    at: AwareDatetime | None = None
    event: Annotated[str, Field(max_length=200)] = ""

    @model_validator(mode="after")
    def _one_choice(self) -> RestoreArtifacts:
        if sum(map(bool, (self.prefix, self.experiment, self.run_id))) > 1:
            msg = "choose one of --prefix, --experiment and --run"
            raise ValueError(msg)
        return self

    def plan(self, systems: Systems) -> Plan:
        """What would be added, put back and, with exact, removed. Raises OperatorError and AlreadySo."""
        if self.event:
            return events.of_the_moment(self, systems, self.event)
        if self.at is not None:
            return artifacts_at.plan(systems, self._then(systems, self.at))
        wanted, found = self._wanted(systems)
        versions = systems.objects.versioning(wanted.target_bucket)
        if self.exact and versions != "Enabled":
            raise OperatorError(
                f"s3://{wanted.target_bucket} keeps no versions: what --exact removes could not be had again.",
                f"Restore without --exact, or switch versioning on: aws s3api put-bucket-versioning --bucket "
                f"{wanted.target_bucket} --versioning-configuration Status=Enabled",
            )
        if self.exact and wanted.bucket:
            raise OperatorError(f"--exact removes from s3://{wanted.target_bucket} only.", "Restore without --exact.")
        seen = artifacts.compare(systems.objects, wanted, backups=systems.backups)
        self._refuse(seen, found, wanted)
        place = _place(wanted, found)
        changes = [
            Change(what=f"{count(seen.missing, 'artifact')} of {place}", before="missing", after="as in the backup"),
            Change(what=f"{count(seen.differing, 'artifact')} of {place}", before="another", after="as in the backup"),
        ]
        if self.exact:
            going = Change(what=f"{count(seen.extra, 'artifact')} of {place}", before="there", after="removed")
            changes.append(going)
        return Plan(
            title="Restore artifacts",
            summary=f"{count(seen.missing + seen.differing, 'artifact')} ({size(seen.bytes)}) from the backup "
            f"{found.id} to {place}",
            steps=(
                f"Copy {count(seen.missing, 'missing artifact')} and {seen.differing:,} that differ, compare checksums"
                + (f"; then remove {count(seen.extra, 'artifact')} that it does not hold" if self.exact else ""),
            ),
            changes=tuple(each for each in changes if not each.what.startswith("0 ")),
            warnings=(
                *sets.cautions(systems, self.set, found),
                *_warnings(seen, wanted, versions),
                *_not_in_it(wanted, found),
            ),
            undo="earlier versions stay in the bucket" if versions == "Enabled" else "",
            estimate_seconds=None,
            sections=_extra(seen) if self.exact else (),
            facts={
                "set": found.name,
                "prefix": wanted.prefix,
                **found.checksums,
                **dict(seen.first),
                "all artifacts that would be written": seen.coming,
                "all artifacts that would be removed": seen.going if self.exact else "",
            },
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Put them back. Raises OperatorError, and Cancelled: what was put back until then stays."""
        if self.at is not None:
            return artifacts_at.run(systems, self._then(systems, self.at), progress)
        wanted, found = self._wanted(systems)
        progress.step(f"Comparing the bucket with the backup {found.id}")
        seen = artifacts.compare(systems.objects, wanted, progress, backups=systems.backups)
        progress.step(
            f"Putting back {count(seen.missing + seen.differing, 'artifact')} ({size(seen.bytes)})",
            of="compare checksums",
        )
        expected = seen.missing + seen.differing
        try:
            done = artifacts.restore(systems.objects, wanted, progress, expected=expected, backups=systems.backups)
        finally:
            cache.stale(systems.redis)
        told = f"{done.added:,} added, {done.replaced:,} put back ({size(done.bytes)}), {done.same:,} were right"
        if self.exact:
            told += f", {done.removed:,} removed"
        if done.lost_count:
            return Report(
                title="Restore artifacts",
                status=Status.FAIL,
                summary=f"{count(done.lost_count, 'artifact')} could not be put back; {told}."
                + (" Nothing was removed." if self.exact else ""),
                sections=(Text(title="Not put back", text="\n".join(done.lost), literal=True),),
                hints=(f"backup verify {found.id} --deep", "backup list"),
            )
        return Report(
            title="Restore artifacts",
            status=Status.OK,
            summary=f"{_place(wanted, found)} holds what the backup {found.id} holds: {told}; each was compared.",
            hints=("health storage", f"backup show {found.id}"),
        )

    def _refuse(self, seen: Difference, found: Manifest, wanted: artifacts.Wanted) -> None:
        if not seen.held:
            raise OperatorError(
                f"The backup {found.id} holds no artifact under {wanted.prefix or 'that bucket'}.",
                "See what it holds: /mlflow backup show.",
            )
        if seen.nothing and not (self.exact and seen.extra):
            raise AlreadySo(f"All {seen.held:,} artifacts are as the backup {found.id} holds them.", "Nothing to do.")

    def _wanted(self, systems: Systems) -> tuple[artifacts.Wanted, Manifest]:
        storage = systems.settings.ops.storage
        found = sets.good(systems, self.set, unsigned=self.unsigned, from_elsewhere=self.from_elsewhere)
        if found.artifacts is None:
            raise OperatorError(f"The backup {found.id} holds no artifacts.", "See /mlflow backup list.")
        if not self.from_elsewhere:
            sets.refuse_foreign(systems, found)
        bucket, prefix = self._asked(systems)
        return (
            artifacts.Wanted(
                storage.backups_bucket,
                found.name,
                storage.artifacts_bucket,
                prefix,
                self.exact,
                sha256=found.artifacts.listing.sha256,
                bucket="" if bucket == storage.artifacts_bucket else bucket,
                others=not self.from_elsewhere,
                keys=Keys.all_of(systems.settings),
            ),
            found,
        )

    def _then(self, systems: Systems, at: datetime) -> artifacts_at.Then:
        given = {"--prefix": self.prefix, "--experiment": self.experiment, "--run": self.run_id}
        chosen = [f"{option} {shlex.quote(value)}" for option, value in given.items() if value]
        return artifacts_at.Then(*self._asked(systems), at, self.exact, *chosen)

    def _asked(self, systems: Systems) -> tuple[str, str]:
        """The bucket and prefix that are asked for. Raises OperatorError where no bucket holds them."""
        if self.run_id:
            return in_a_bucket(systems, find_run(systems.tracking, self.run_id).artifacts)
        if self.experiment:
            return in_a_bucket(systems, find_experiment(systems.tracking, self.experiment).location)
        return systems.settings.ops.storage.artifacts_bucket, self.prefix.lstrip("/")


def _place(wanted: artifacts.Wanted, found: Manifest) -> str:
    """Where they go, as in "s3://artifacts/ and s3://team-data/"."""
    place = f"s3://{wanted.bucket or wanted.target_bucket}/{wanted.prefix}"
    if wanted.bucket or wanted.prefix or not wanted.others or found.artifacts is None:
        return place
    return " and ".join((place, *(f"s3://{each.bucket}/" for each in found.artifacts.others)))


def _not_in_it(wanted: artifacts.Wanted, found: Manifest) -> tuple[str, ...]:
    """What a set lacks, and what its artifacts come back without."""
    part = found.artifacts
    assert part is not None
    said = [f"Not in the backup: {each}" for each in summary.lacking(found)]
    if part.others and not wanted.others:
        said.append(
            f"What was in {listed([each.bucket for each in part.others])} stays as it is: that isn't this MLflow's."
        )
    unset = "; ".join(summary.not_set_again(found)) or "nothing that is not the default"
    return (*said, f"{_DEFAULTS} When backed up: {unset}.")


def _warnings(seen: Difference, wanted: artifacts.Wanted, versions: str) -> tuple[str, ...]:
    told = []
    if seen.differing and versions != "Enabled":
        told.append(
            f"s3://{wanted.target_bucket} keeps no versions ({versions}): what is there now of the "
            f"{count(seen.differing, 'artifact')} that differ is overwritten for good."
        )
    if seen.extra and not wanted.exact:
        told.append(f"{count(seen.extra, 'artifact')} that the backup does not hold stay.")
    return tuple(told)


def _extra(seen: Difference) -> tuple[Section, ...]:
    if not seen.extra:
        return ()
    more = f"\nand {seen.extra - len(seen.extra_names):,} more" if seen.extra > len(seen.extra_names) else ""
    return (Text(title="What would be removed", text="\n".join(seen.extra_names[:20]) + more, literal=True),)
