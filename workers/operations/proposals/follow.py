"""One look at a pull request and, once it is merged, at the object in the cluster: not yet, at its end, or applied.

A look takes seconds and keeps nothing but what it was given, so any worker can make the next one. What cannot be asked
now is asked again later: a Git host that is away is no reason to give a command up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from workers.operation import Call, Later, Operation, Progress, Risk
from workers.operations.deployment.proposal import FOLLOWING, WATCHING, Proposal
from workers.report import Data, Offer, Report, Status
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterError, GitError, GitMissing
from workers.systems.git.repository import ChangeRequest, RequestState
from workers.wording import duration

if TYPE_CHECKING:
    from workers.systems import Systems

FOLLOW: Final = "follow-proposal"
WATCH: Final = "watch-proposal"
FIRST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 300.0
_SHARE: Final = 0.05
"""The next look comes after this part of the time that it has taken so far: often at first, rarely after a day."""


class Followed(Data):
    """What is followed. since and until: seconds since 1970. merged: the commit; empty as long as it is open."""

    proposal: Proposal
    number: int
    url: str
    since: float
    until: float
    merged: str = ""

    @classmethod
    def of(cls, proposal: Proposal, request: ChangeRequest, systems: Systems) -> Followed:
        """From now on, as long as ops.yaml says."""
        now = time.time()
        until = now + systems.settings.ops.gitops.follow_hours * 3600
        return cls(proposal=proposal, number=request.number, url=request.url, since=now, until=until)

    def called(self, systems: Systems) -> str:
        """Pull request 3."""
        return f"{systems.git.called.capitalize()} {self.number}"

    def report(self, status: Status, summary: str, *hints: str) -> Report:
        """How it ended, with the way to it."""
        offer = Offer(sentence="See it in Git.", label=f"Open {self.number}", url=self.url)
        return Report(title=self.proposal.title, status=status, summary=summary, hints=hints, offers=(offer,))


class FollowProposal(Operation):
    """See how far a proposal is."""

    name: ClassVar[str] = FOLLOW
    risk: ClassVar[Risk] = Risk.CHANGE
    timeout_seconds: ClassVar[int] = 60

    followed: Followed

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Look once. Raises Later if it is neither applied nor at its end."""
        progress.step("Looking at the request")
        this = self.followed
        try:
            return self._looked(systems)
        except (GitError, ClusterError) as error:
            if isinstance(error, GitMissing):
                return this.report(Status.FAIL, f"{this.called(systems)} can't be found any more: {error.message}")
            if time.time() >= this.until:
                return self._given_up(systems, f"and the last look failed: {error.message}")
            raise self._later(this, f"{error.message.rstrip('.')}. Looking again soon.") from None

    def _looked(self, systems: Systems) -> Report:
        this = self.followed
        called = this.called(systems)
        request = systems.git.request(this.number)
        if request.state is RequestState.CLOSED:
            return this.report(Status.FAIL, f"{called} was closed without merging; nothing changed.")
        if request.state is RequestState.OPEN:
            if time.time() >= this.until:
                return self._given_up(systems, "and nothing has changed")
            raise self._later(this, f"{called} is open: {this.url}. Waiting until it is merged.")
        return self._merged(systems, called, request)

    def _merged(self, systems: Systems, called: str, request: ChangeRequest) -> Report:
        this, what = self.followed, self.followed.proposal
        short = request.commit[:7]
        if not this.merged:
            other = what.differing(systems.git.read(what.file).text)
            if other:
                keys = ", ".join(".".join((what.path, *each.keys)) for each in other)
                branch = systems.settings.ops.gitops.branch
                said = f"{called} was merged as {short}, but {branch} doesn't say what was approved: {keys} is another."
                return this.report(Status.WARN, f"{said} It is not followed any more.", "rollout status", "status")
            this = this.model_copy(update={"merged": request.commit})
        missing = missing_in(what, _object(systems, what))
        if not missing:
            step = f"{called} was merged as {short}, and {what.owner} has applied it. Watching the pods."
            raise Later(self._call(WATCH, this), step, 0, of=WATCHING)
        if time.time() >= this.until:
            return this.report(
                Status.WARN,
                f"{called} was merged as {short}, but {what.owner} hasn't applied it within "
                f"{duration(this.until - this.since)}: {missing}.",
                "status",
            )
        raise self._later(this, f"{called} was merged as {short}. Waiting for {what.owner} to apply it: {missing}.")

    def _given_up(self, systems: Systems, why: str) -> Report:
        this = self.followed
        told = f"{this.called(systems)} is still open after {duration(time.time() - this.since)}, {why}."
        return this.report(Status.WARN, f"{told} Ask again to have it followed on: the same request is used.")

    def _later(self, this: Followed, step: str) -> Later:
        now = time.time()
        seconds = min(max((now - this.since) * _SHARE, FIRST_SECONDS), LONGEST_SECONDS, max(this.until - now, 1.0))
        return Later(self._call(FOLLOW, this), step, seconds, url=this.url, of=FOLLOWING)

    def _call(self, name: str, this: Followed) -> Call:
        return Call(operation=name, arguments={"followed": this.model_dump(mode="json")})


def missing_in(what: Proposal, item: dict[str, Any]) -> str:
    """Which values the object does not have yet, in words; empty if it has them all."""
    told = []
    for value in what.values:
        live = _live(what, value.keys, item)
        if not what.same(live, value.live):
            name = ".".join(value.keys) or what.field
            told.append(f"{name} is {'not set' if live is None else live}, not {value.live}")
    return ", ".join(told)


def _object(systems: Systems, what: Proposal) -> dict[str, Any]:
    if what.kind == "ConfigMap":
        return systems.cluster.configmap(what.name)
    deployment = systems.cluster.deployment(what.name)
    container = systems.settings.ops.kubernetes.container
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return {**deployment, "container": next((each for each in containers if each["name"] == container), {})}


def _live(what: Proposal, keys: tuple[str, ...], item: dict[str, Any]) -> Any:
    """The value as the object has it."""
    match what.field:
        case "replicas":
            return Fields(item, "Deployment").number("spec", "replicas", default=1)
        case "image":
            return item["container"].get("image")
        case "resources":
            found: Any = item["container"].get("resources") or {}
        case _:
            found = item.get("data") or {}
    for key in keys:
        found = (found or {}).get(key)
    return found
