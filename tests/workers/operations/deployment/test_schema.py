"""What an image's own look at itself says: the schema that it needs, or why no pod of it would come up."""

from types import SimpleNamespace

import pytest

from commands.grammar import parse
from tests.workers.operations.deployment.deployments import Answers, deployment, pod, replica_set, systems, template
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.deployment import job, schema
from workers.operations.deployment.job import JobResult

IMAGE = "ghcr.io/mlflow/mlflow:v9.9.9"
NOT_FOUND = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": {IMAGE}: not found'


class Database:
    def schema_revision(self):
        return "aaa"


def ours(tmp_path, cluster):
    return systems(cluster, tmp_path, Database())


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (JobResult(well=False, state="ErrImagePull", said=NOT_FOUND), f"{IMAGE} can't be pulled: {NOT_FOUND}."),
        (JobResult(well=False, state="ImagePullBackOff"), f"{IMAGE} can't be pulled: ImagePullBackOff."),
        (
            JobResult(well=False, state="InvalidImageName", said="couldn't parse image name"),
            "couldn't parse image name",
        ),
        (JobResult(well=False, state="StartError"), f"{IMAGE} holds no MLflow"),
        (JobResult(well=False, lines=("no module named mlflow",)), f"{IMAGE} holds no MLflow"),
        (JobResult(well=True, lines=("mlflow-ops-schema bbb unknown",)), "does not know the database's schema aaa"),
    ],
)
def test_what_would_never_come_up_is_refused_in_the_words_of_who_says_so(tmp_path, monkeypatch, ended, said):
    monkeypatch.setattr(schema, "run_once", lambda *_: ended)
    sets = [replica_set("new", template(), available=2, revision=2), replica_set("old", template(IMAGE), revision=1)]
    cluster = Answers(deployment(), sets=sets)
    monkeypatch.setattr(schema, "sweep", lambda *_: False)
    for text in ("update v9.9.9", "rollback"):
        with pytest.raises(OperatorError) as refused:
            parse(text).plan(ours(tmp_path, cluster))
        assert said in refused.value.message, text
        assert refused.value.hint


@pytest.mark.parametrize(
    ("ended", "upgrade", "why"),
    [
        (JobResult(well=True, lines=("mlflow-ops-schema aaa known",)), False, ""),
        (JobResult(well=True, lines=("warning: x", "mlflow-ops-schema bbb known")), True, ""),
        # No verdict on the image: a warning, and no refusal.
        (JobResult(well=False, why="it did not end within 180 s"), False, "it did not end within 180 s"),
        (JobResult(well=False, why="its pod is in Unschedulable", state="Unschedulable"), False, "its pod is in"),
        (JobResult(well=False, why="Job has failed", state="OOMKilled"), False, "Job has failed"),
    ],
)
def test_a_look_that_says_nothing_of_the_image_refuses_nothing(tmp_path, monkeypatch, ended, upgrade, why):
    monkeypatch.setattr(schema, "run_once", lambda *_: ended)
    needs = schema.ask(ours(tmp_path, Answers(deployment())), Unwatched(), IMAGE)
    assert needs.upgrade is upgrade
    assert needs.why.startswith(why)
    assert bool(needs.why) == bool(why)


def test_going_back_to_an_image_of_a_newer_schema_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "run_once", lambda *_: JobResult(well=True, lines=("mlflow-ops-schema bbb known",)))
    sets = [replica_set("new", template(), available=2, revision=2), replica_set("old", template(IMAGE), revision=1)]
    plan = parse("rollback").plan(ours(tmp_path, Answers(deployment(), sets=sets)))
    assert f"{IMAGE} needs the database's schema bbb, and it is aaa: it would not start" in plan.warnings[0]


class Jobs(Answers):
    """A cluster in which a Job's pod can't pull its image."""

    def __init__(self, message, **given):
        super().__init__(deployment(), **given)
        self.message, self.made = message, []

    def create_job(self, item):
        self.made.append(item)

    def job(self, name):
        return {"status": {}}

    def delete_job(self, name):
        pass

    def pods(self, selector):
        found = pod("mlflow-schema-1-x", state="ImagePullBackOff")
        found["status"]["containerStatuses"][0]["state"]["waiting"]["message"] = self.message
        return [found]


FAILED = {
    "involvedObject": {"kind": "Pod", "name": "mlflow-schema-1-x"},
    "reason": "Failed",
    "message": f'Failed to pull image "{IMAGE}": rpc error: code = NotFound desc = {NOT_FOUND}',
    "type": "Warning",
}


@pytest.mark.parametrize(
    "message",
    [
        f'Back-off pulling image "{IMAGE}": ErrImagePull: rpc error: code = NotFound desc = {NOT_FOUND}',
        # An older kubelet's back-off says nothing else; the event does.
        f'Back-off pulling image "{IMAGE}"',
    ],
)
def test_the_registrys_words_come_to_their_end(tmp_path, message):
    cluster = Jobs(message, events=[FAILED])
    with pytest.raises(OperatorError) as refused:
        schema.ask(ours(tmp_path, cluster), Unwatched(), IMAGE)
    assert refused.value.message.endswith(f"{NOT_FOUND}.")


def quota(hard, used):
    return {"metadata": {"name": "team"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}}


@pytest.mark.parametrize(
    ("hard", "used", "said"),
    [
        ({"count/jobs.batch": "1"}, {"count/jobs.batch": "1"}, "allows 1 of count/jobs.batch in all"),
        ({"pods": "2"}, {"pods": "2"}, "3 would be needed: there is no room for the Job"),
        ({"cpu": "1"}, {"cpu": "1"}, "requires cpu of every container, and once doesn't state it"),
        ({"pods": "3", "count/jobs.batch": "2"}, {"pods": "2", "count/jobs.batch": "1"}, ""),
    ],
)
def test_a_quota_has_its_say_before_a_job_is_made(tmp_path, hard, used, said):
    cluster = Jobs("", quotas=[quota(hard, used)])
    spec = job.JobSpec(IMAGE, ("python",), "gc", 60.0)
    if not said:
        job.require_room(ours(tmp_path, cluster), spec)
        return
    with pytest.raises(OperatorError, match=said):
        job.require_room(ours(tmp_path, cluster), spec)
    with pytest.raises(OperatorError, match=said):
        job.run_once(ours(tmp_path, cluster), Unwatched(), spec)
    assert cluster.made == []


class Indexes:
    """A database's indexes by their names."""

    def __init__(self, *names):
        self.names = names

    def indexes(self):
        return [SimpleNamespace(name=name) for name in self.names]


@pytest.mark.parametrize(
    ("now", "needed", "there", "early"),
    [
        ("acf3f17fdcc7", "0584bdc529eb", ("index_trace_tags_request_id", "index_params_run_uuid"), 1),
        ("acf3f17fdcc7", "0584bdc529eb", ("idx_webhooks_status",), 0),
        ("acf3f17fdcc7", "a later one", ("idx_webhooks_status",), 1),
        ("not known", "0584bdc529eb", ("index_trace_tags_request_id",), 0),
    ],
)
def test_an_index_that_the_upgrade_would_stop_at_is_found(now, needed, there, early):
    assert len(schema.early(Indexes(*there), now, needed)) == early
