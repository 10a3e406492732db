"""However a command fails, who asked for it gets a sentence; only what nobody foresaw is an id that the log has."""

import re

import pytest

from workers.engine import running
from workers.errors import AlreadySo, OperatorError
from workers.records.record import Phase, Record, Stage
from workers.settings import SettingsError
from workers.systems.errors import ClusterNotFound, ClusterUnreachable

RECORD = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel="C0OPS")


@pytest.mark.parametrize(
    ("raised", "phase", "said"),
    [
        (OperatorError("There is no run x.", "See runs."), Phase.FAILED, "There is no run x."),
        (
            SettingsError("MLFLOW_OPS_DATABASE_URL is not set."),
            Phase.FAILED,
            "The workers can't do that: MLFLOW_OPS_DATABASE_URL is not set.",
        ),
        (AlreadySo("Already at 4 replicas."), Phase.DONE, "Already at 4 replicas."),
        (ZeroDivisionError("secret"), Phase.FAILED, "Something unexpected happened (id ********)."),
        (SystemExit(3), Phase.FAILED, "Something unexpected happened (id ********)."),
    ],
)
def test_each_failure_has_its_words(raised, phase, said):
    def do(_operation):
        raise raised

    ending = running._attempt(RECORD, do)
    assert (ending.phase, re.sub(r"[0-9a-f]{8}", "********", ending.outcome)) == (phase, said)
    assert "Traceback" not in str(ending.messages)
    assert "secret" not in str(ending.messages)


@pytest.mark.parametrize(
    ("raised", "stage", "refused"),
    [
        (OperatorError("There is no revision 99."), Stage.PLAN, True),
        (OperatorError("The pods did not come up."), Stage.RUN, False),
        (ClusterNotFound("deployments x not found"), Stage.PLAN, True),
        (ClusterUnreachable("The API server doesn't answer."), Stage.PLAN, False),
        (ZeroDivisionError(), Stage.PLAN, False),
        (AlreadySo("Already at 4 replicas."), Stage.PLAN, False),
        (running.Moved("Nothing was done."), Stage.RUN, True),
    ],
)
def test_what_could_not_be_done_as_asked_is_told_apart_from_what_failed(raised, stage, refused):
    def do(_operation):
        raise raised

    assert running._attempt(RECORD.model_copy(update={"stage": stage}), do).refused is refused
