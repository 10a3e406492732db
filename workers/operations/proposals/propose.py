"""Open a pull request for an approved change, on a branch whose name follows from the change.

So a second attempt after a lost worker, and asking again for what is still open, find the same request instead of
opening another. What stands in the file is looked at once more: another version than the one that was approved is
refused, here and by the Git host itself.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, ClassVar, Final

from workers.errors import OperatorError
from workers.operation import Call, Caller, Later, Operation, Plan, Progress, Risk
from workers.operations.deployment.proposal import FOLLOWING, PROPOSE, Proposal
from workers.operations.proposals import request_text
from workers.operations.proposals.follow import FIRST_SECONDS, FOLLOW, Followed
from workers.report import Report
from workers.systems.errors import GitTaken
from workers.systems.git.repository import ChangeRequest, Commit, RequestState

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.git.repository import Repository

_ATTEMPTS: Final = 20


class Propose(Operation):
    """Propose a change in Git. caller: for whom."""

    name: ClassVar[str] = PROPOSE
    risk: ClassVar[Risk] = Risk.CHANGE
    timeout_seconds: ClassVar[int] = 120

    proposal: Proposal
    caller: Caller | None = None

    def asked_by(self, caller: Caller) -> Operation:
        """The same, knowing who asks for it and who approved."""
        return self.model_copy(update={"caller": caller})

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Open it. Raises Later with what follows it; OperatorError if it cannot be opened."""
        git, what = systems.git, self.proposal
        progress.step(f"Opening a {git.called} in {systems.settings.ops.gitops.repository}", of="Open a")
        request, had = self._there(git), "is open already"
        if request is None:
            request, had = self._opened(systems), "is open"
        followed = Followed.of(what, request, systems)
        call = Call(operation=FOLLOW, arguments={"followed": followed.model_dump(mode="json")})
        step = f"{git.called.capitalize()} {request.number} {had}: {request.url}. Waiting until it is merged."
        raise Later(call, step, FIRST_SECONDS, url=request.url, of=FOLLOWING)

    def aftermath(self, systems: Systems, planned: Plan) -> str:  # noqa: ARG002 - what is there says it
        """Whether the request was opened, and what became of it."""
        found = self._newest(systems.git)
        if found is None:
            return "No branch was made and nothing was proposed."
        again = "Ask again, and it is followed." if found.state is RequestState.OPEN else "See /mlflow rollout status."
        return f"{systems.git.called.capitalize()} {found.number} is {found.state}: {found.url}. {again}"

    def _opened(self, systems: Systems) -> ChangeRequest:
        git, what, names = systems.git, self.proposal, systems.settings.ops.kubernetes
        found = git.read(what.file)
        if found.version != what.version:
            raise OperatorError(f"Nothing was done: {what.file} was changed since this was planned.", "Ask again.")
        for number in range(1, _ATTEMPTS):
            commit = Commit(
                branch=self._branch(number),
                base=found.commit,
                file=what.file,
                text=what.edited(found.text),
                version=found.version,
                message=request_text.commit(what, self.caller),
            )
            text = request_text.body(what, self.caller, f"{names.namespace}/{what.name}")
            try:
                return git.propose(commit, request_text.title(what), text)
            except GitTaken:
                continue
        raise OperatorError(
            f"There are {_ATTEMPTS} branches {self._branch(1)} already.", "Delete old ones, and ask again."
        )

    def _there(self, git: Repository) -> ChangeRequest | None:
        """The open request for exactly this change."""
        found = self._newest(git)
        return found if found is not None and found.state is RequestState.OPEN else None

    def _newest(self, git: Repository) -> ChangeRequest | None:
        newest = None
        for number in range(1, _ATTEMPTS):
            found = git.request_of(self._branch(number))
            if found is None:
                return newest
            newest = found
        return newest

    def _branch(self, number: int) -> str:
        what = self.proposal.model_dump(
            mode="json", include={"field", "kind", "name", "file", "path", "version", "values"}
        )
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:10]
        return f"mlflow-ops/{self.proposal.field}-{digest}{f'-{number}' if number > 1 else ''}"
