"""Git, if changes are proposed there: may our token write, and does each field stand where ops.yaml says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.errors import OperatorError
from workers.operations.deployment.manifest_edit import Place, value_at
from workers.operations.health.questions import Answer, Question
from workers.report import Status
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings


def ask(asking: Asking) -> Answer:
    """Look at the repository, and at each field in its file."""
    ops = asking.settings.ops
    git = asking.systems.git
    if not git.may_push():
        hint = "Give MLFLOW_OPS_GIT_TOKEN write access to its contents, and to pull requests."
        return Answer(Status.FAIL, f"Our token may not write to {ops.gitops.repository}. {hint}", "read only")
    fields = {name: getattr(ops.gitops.fields, name) for name in type(ops.gitops.fields).model_fields}
    given = {name: where for name, where in fields.items() if where is not None}
    if not given:
        return Answer(Status.WARN, "ops.yaml names no field, so each change is refused. Set gitops.fields.", "no field")
    for name, where in given.items():
        names = ops.kubernetes
        kind, of = ("ConfigMap", names.configmap) if name == "config" else ("Deployment", names.deployment)
        try:
            held = value_at(git.read(where.file).text, Place(where.file, kind, of, where.path))
        except OperatorError as error:
            return Answer(Status.FAIL, f"gitops.fields.{name}: {error.message}", "wrong field")
        if held is None and name in {"replicas", "image"}:
            sentence = f"gitops.fields.{name}: {where.file} has nothing at {where.path}."
            return Answer(Status.WARN, sentence, "wrong field")
    return Answer(Status.OK, f"Changes are proposed in {ops.gitops.repository}.", count(len(given), "field"))


def _look(settings: Settings) -> str:  # noqa: ARG001 - the fields are in ops.yaml
    return "gitops in ops.yaml"


QUESTION = Question("git", "Git", "Git", ask, _look)
