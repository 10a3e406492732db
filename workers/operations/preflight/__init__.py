"""Before anything is relied on: is every system there, and may we do what we will have to do.

Asked as the health check asks, at once and each within its own time; what this process was given no address of is
`unknown`, because bot and workers hold different credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from workers import systems as gateways
from workers.operation import Operation, Progress, Risk
from workers.operations.health import mlflow, root_cause, storage
from workers.operations.health.questions import Answer, Asking, Question, ask_all
from workers.operations.preflight import (
    alertmanager,
    backups,
    git,
    kubernetes,
    oncall,
    places,
    programs,
    recovery,
    redis,
    restorable,
    roles,
)
from workers.report import Report, verdict

if TYPE_CHECKING:
    from workers.systems import Systems

DEADLINE_SECONDS = 15.0
QUESTIONS: tuple[Question, ...] = (
    redis.QUESTION,
    kubernetes.QUESTION,
    roles.QUESTION,
    storage.QUESTION,
    backups.QUESTION,
    places.QUESTION,
    programs.QUESTION,
    restorable.QUESTION,
    mlflow.QUESTION,
    oncall.QUESTION,
)


class Preflight(Operation):
    """Ask every system whether it is as we need it."""

    name: ClassVar[str] = "check"
    risk: ClassVar[Risk] = Risk.READ

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Set-up"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask, and report what to do."""
        # Two threads that import psycopg's modules for the first time find each other's half made.
        gateways.preload()
        asking = Asking(systems, DEADLINE_SECONDS)
        progress.step("Asking every system")
        told_of_alerts = systems.settings.environment.alertmanager_url is not None
        questions = (*QUESTIONS, alertmanager.QUESTION) if told_of_alerts else QUESTIONS
        if systems.settings.ops.kubernetes.gitops == "propose":
            questions = (*questions, git.QUESTION)
        if systems.settings.ops.recovery.point_in_time:
            questions = (*questions, recovery.QUESTION)
        answers: dict[str, tuple[Question, Answer]] = {}
        try:
            for question, answer in ask_all(questions, asking):
                answers[question.name] = (question, answer)
                progress.advance(len(answers), len(questions), "systems")
        finally:
            asking.close()
        in_order = {question.name: answers[question.name] for question in questions}
        checks = tuple(question.check(answer, systems.settings) for question, answer in root_cause.settle(in_order))
        return Report(title=self.title, status=verdict(checks), summary=root_cause.summary(checks), checks=checks)
