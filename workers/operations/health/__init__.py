"""The health check: eleven questions, asked at once, each with its own deadline.

One module per question; each ends in its `QUESTION`. `asking` runs them side by side, `blame` makes sure that one
culprit is one red check. Light to import: client libraries are loaded when a system is first asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, field_validator

from workers import systems as gateways
from workers.operation import Operation, Progress, Risk
from workers.operations.choices import CHECKS, RECOVERY
from workers.operations.health import (
    backup,
    deployment,
    ingress,
    logs,
    mlflow,
    pods,
    postgres,
    queues,
    recovery,
    resources,
    root_cause,
    service,
    storage,
)
from workers.operations.health.questions import Answer, Asking, Question, ask_all
from workers.report import Links, Report, verdict
from workers.wording import count, nearest

if TYPE_CHECKING:
    from workers.systems import Systems

QUESTIONS: tuple[Question, ...] = (
    pods.QUESTION,
    deployment.QUESTION,
    service.QUESTION,
    ingress.QUESTION,
    resources.QUESTION,
    postgres.QUESTION,
    storage.QUESTION,
    mlflow.QUESTION,
    logs.QUESTION,
    queues.QUESTION,
    backup.QUESTION,
)


class Health(Operation):
    """Ask how MLflow and all it stands on is. checks: only these; empty for all. deadline_seconds: for each.
    since_seconds: how long ago the figures are from with which today's are compared.
    """

    name: ClassVar[str] = "health"
    risk: ClassVar[Risk] = Risk.READ

    checks: tuple[str, ...] = ()
    deadline_seconds: Annotated[float, Field(gt=0, le=30)] | None = None
    since_seconds: Annotated[float, Field(gt=0)] | None = None

    @field_validator("checks")
    @classmethod
    def _known(cls, checks: tuple[str, ...]) -> tuple[str, ...]:
        for name in checks:
            if name not in {*CHECKS, RECOVERY}:
                near = nearest(name, (*CHECKS, RECOVERY))
                right = f"did you mean {near}?" if near else f"known are {', '.join(CHECKS)}"
                raise ValueError(f"there is no check {name!r}; {right}")
        return tuple(dict.fromkeys(checks))

    @property
    def title(self) -> str:
        """The report's headline."""
        return "MLflow health"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask, and report within the deadline. Raises Cancelled."""
        kept = systems.settings.ops.recovery.point_in_time
        every = (*QUESTIONS, recovery.QUESTION) if kept or RECOVERY in self.checks else QUESTIONS
        questions = [question for question in every if not self.checks or question.name in self.checks]
        deadline = self.deadline_seconds or systems.settings.ops.health.deadline_seconds
        if not self.checks:
            gateways.preload()
        asking = Asking(systems, deadline)
        progress.step(f"Asking {count(len(questions), 'question')} at once")
        answers: dict[str, tuple[Question, Answer]] = {}
        try:
            for question, answer in ask_all(questions, asking):
                answers[question.name] = (question, answer)
                progress.advance(len(answers), len(questions), "checks")
                progress.checkpoint()
        finally:
            asking.close()
        in_order = {question.name: answers[question.name] for question in questions}
        settled = root_cause.settle(in_order)
        checks = tuple(question.check(answer, systems.settings) for question, answer in settled)
        # The history knows the health check's figures, not the other way round, when modules are loaded.
        from workers.operations.history import recording

        sections = recording.record_and_compare(checks, systems.settings, asking.now, self.since_seconds)
        if dashboard := systems.settings.ops.links.grafana:
            sections = (*sections, Links(items=(("Grafana", str(dashboard)),)))
        return Report(
            title=self.title,
            status=verdict(checks),
            summary=root_cause.summary(checks),
            checks=checks,
            sections=sections,
            offers=tuple(offer for _, answer in settled for offer in answer.offers),
        )
