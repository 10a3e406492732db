"""From an approved change to a merged pull request that the cluster has: opened, followed, reported."""

import time

import pytest

from commands.grammar import parse
from mlflow_ops_sandbox.cluster.testing import until
from mlflow_ops_sandbox.git import manifests
from workers import registry
from workers.engine.performing import in_place_of
from workers.errors import AlreadySo, OperatorError
from workers.operation import Caller, Later, Plan, Unwatched
from workers.operations.deployment import ownership, proposal, rollout
from workers.operations.health.questions import Asking
from workers.operations.preflight import git
from workers.operations.proposals import follow, watch
from workers.operations.restore import configuration
from workers.operations.restore.cluster_objects import Applied
from workers.report import Status
from workers.systems.errors import GitError, GitUnreachable

pytestmark = pytest.mark.slow

CALLER = Caller(
    record_id="0123456789", requester="U0OLEG", channel="C0OPS", words="scale 3", approvers=("U0ANNA", "U0ARUN")
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(rollout, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(rollout, "HOPELESS_SECONDS", 0.4)


def opened(systems, text):
    """Plan, as it is approved, and what waits once it is carried out."""
    plan = parse(text).plan(systems)
    again = Plan.model_validate_json(plan.model_dump_json())
    assert not again.difference(parse(text).plan(systems))
    with pytest.raises(Later) as later:
        in_place_of(parse(text), again, CALLER.model_copy(update={"words": text})).run(systems, Unwatched())
    return plan, later.value


def looked(systems, later):
    """The next look: a report, or what waits further."""
    try:
        return registry.build(later.then.operation, later.then.arguments).run(systems, Unwatched())
    except Later as further:
        return further


def applied(platform, systems, text):
    """From the plan to the report, merged as it is and applied."""
    _, later = opened(systems, text)
    platform.press(1, "merge")
    platform.reconcile()
    later = looked(systems, later)
    assert (later.then.operation, later.seconds) == (follow.WATCH, 0)
    return looked(systems, later)


def test_the_plan_shows_the_difference_and_changes_nothing(platform):
    systems = platform.systems()
    before = platform.text()
    plan = parse("scale 3").plan(systems)
    assert plan.steps[0] == f"Open a pull request in platform/apps: spec.replicas in {manifests.DEPLOYMENT}"
    assert [(each.before, each.after) for each in plan.changes] == [("2", "3")]
    assert plan.sections[-1].text.splitlines()[-2:] == ["-  replicas: 2  # pods", "+  replicas: 3  # pods"]
    assert plan.instead.operation == "propose"
    assert platform.text() == before
    assert platform.git.host.pulls.every() == []


def test_a_proposal_says_who_asked_who_approved_and_what_would_change(platform):
    _, later = opened(platform.systems(), "scale 3")
    (pull,) = platform.git.host.pulls.every()
    assert later.url == platform.git.host.page_of(pull)
    assert later.step == f"Pull request 1 is open: {later.url}. Waiting until it is merged."
    assert pull.title == "Scale mlflow: from 2 to 3 replicas"
    for said in (
        "replicas of deployment/mlflow: 2 → 3",
        "**Asked for by** Slack user `U0OLEG`",
        "**Approved by** Slack user `U0ANNA`, Slack user `U0ARUN`",
        "**Operation** `/mlflow scale 3`, record `0123456789`",
        "Argo CD, application mlflow",
    ):
        assert said in pull.body
    assert platform.text(ref=pull.head) == platform.text().replace("replicas: 2  # pods", "replicas: 3  # pods")
    assert platform.admin.deployment("mlflow")["spec"]["replicas"] == 2


def test_merged_and_applied_it_is_watched_and_reported(platform):
    systems = platform.systems()
    _, later = opened(systems, "scale 3")
    waiting = looked(systems, later)
    assert waiting.step == later.step.replace("is open already", "is open")
    platform.press(1, "merge")
    merged = looked(systems, waiting)
    assert "was merged as" in merged.step
    assert "Waiting for Argo CD, application mlflow to apply it: replicas is 2, not 3." in merged.step
    platform.reconcile()
    applied = looked(systems, merged)
    assert applied.seconds == 0
    report = looked(systems, applied)
    assert report.status is Status.OK
    commit = platform.git.host.pulls.get(1).commit[:7]
    said = f"Pull request 1 was merged as {commit}, and Argo CD, application mlflow has applied it: replicas is 3."
    assert report.summary.startswith(said)
    assert platform.admin.deployment("mlflow")["status"]["availableReplicas"] == 3
    assert report.offers[0].url == later.url


@pytest.mark.parametrize(
    ("text", "file", "line"),
    [
        ("update v3.18.0", manifests.DEPLOYMENT, "        image: ghcr.io/mlflow/mlflow:v3.18.0"),
        ("resources --cpu 600m:", manifests.DEPLOYMENT, "            cpu: 600m"),
        ("config set log_level=debug", manifests.CONFIG_MAP, "  log_level: debug"),
    ],
)
def test_each_kind_of_change_becomes_one_line_in_git(platform, text, file, line, monkeypatch):
    systems = platform.systems()
    before = platform.text(file)
    plan, _ = opened(systems, text)
    after = platform.text(file, ref=platform.git.host.pulls.get(1).head)
    fresh = [each for each in after.splitlines() if each not in before.splitlines()]
    assert fresh == [line]
    assert len(after.splitlines()) == len(before.splitlines())
    assert plan.sections[-1].text.splitlines()[-1] == f"+{line}"


def test_a_new_setting_needs_a_restart_and_that_is_said(platform):
    report = applied(platform, platform.systems(), "config set log_level=debug")
    assert platform.admin.configmap("mlflow-config")["data"]["log_level"] == "debug"
    assert report.status is Status.WARN
    assert "/mlflow restart lets them take it" in report.summary


def test_what_does_not_come_up_is_said_with_the_way_back(platform, monkeypatch):
    monkeypatch.setattr(watch, "READY_SECONDS", 2.0)
    report = applied(platform, platform.systems(), "scale 60")
    assert report.status is Status.FAIL
    assert "To go back, revert" in report.summary


def test_closed_is_its_end_and_nothing_changed(platform):
    systems = platform.systems()
    _, later = opened(systems, "scale 3")
    platform.press(1, "close")
    report = looked(systems, later)
    assert report.status is Status.FAIL
    assert report.summary == "Pull request 1 was closed without merging; nothing changed."
    assert platform.reconcile() == []
    assert platform.admin.deployment("mlflow")["spec"]["replicas"] == 2


def test_asked_again_the_open_one_is_followed_and_a_closed_one_is_opened_anew(platform):
    systems = platform.systems()
    opened(systems, "scale 3")
    _, again = opened(systems, "scale 3")
    assert again.step.startswith("Pull request 1 is open already")
    platform.press(1, "close")
    _, anew = opened(systems, "scale 3")
    assert anew.step.startswith("Pull request 2 is open:")
    assert [each.head for each in platform.git.host.pulls.every()] == [
        f"{platform.git.host.pulls.get(1).head}-2",
        platform.git.host.pulls.get(1).head,
    ]


def test_after_its_time_it_says_that_it_is_open_still(platform):
    systems = platform.systems(follow_hours=0.00001)
    _, later = opened(systems, "scale 3")
    time.sleep(0.1)
    report = looked(systems, later)
    assert report.status is Status.WARN
    assert report.summary.startswith("Pull request 1 is still open after 0 s, and nothing has changed.")
    assert report.offers[0].url == later.url


def test_merged_with_something_else_in_it_is_not_called_done(platform):
    systems = platform.systems()
    _, later = opened(systems, "scale 3")
    store, head = platform.git.host.store, platform.git.host.pulls.get(1).head
    theirs = platform.text(ref=head).replace("replicas: 3", "replicas: 5").encode()
    store.commit(head, manifests.DEPLOYMENT, theirs, "A reviewer knows better")
    platform.press(1, "merge")
    platform.reconcile()
    report = looked(systems, later)
    assert report.status is Status.WARN
    assert "main doesn't say what was approved: spec.replicas is another" in report.summary


def test_a_file_that_was_changed_since_the_plan_is_refused(platform):
    systems = platform.systems()
    plan = parse("scale 3").plan(systems)
    changed = platform.text().replace("replicas: 2", "replicas: 4").encode()
    platform.git.host.store.commit("main", manifests.DEPLOYMENT, changed, "Meanwhile")
    assert manifests.DEPLOYMENT in plan.difference(parse("scale 3").plan(systems))
    with pytest.raises(OperatorError, match="was changed since this was planned"):
        in_place_of(parse("scale 3"), plan, CALLER).run(systems, Unwatched())
    assert platform.git.host.pulls.every() == []


def test_what_git_has_and_the_cluster_has_not_is_no_proposal(platform):
    systems = platform.systems()
    platform.git.host.store.commit(
        "main", manifests.DEPLOYMENT, platform.text().replace("replicas: 2", "replicas: 3").encode(), "By hand"
    )
    with pytest.raises(AlreadySo, match="says that already, and Argo CD, application mlflow has not applied it yet"):
        parse("scale 3").plan(systems)
    assert "spec.replicas is 3 on main, but 2 in the cluster." in parse("scale 4").plan(systems).warnings


def test_what_was_helped_by_hand_can_be_made_lasting(platform):
    platform.admin.patch_deployment("mlflow", {"spec": {"replicas": 3}})
    plan, _ = opened(platform.systems(), "scale 3")
    assert plan.summary == "keep 3 replicas"
    platform.press(1, "merge")
    assert platform.reconcile() == []


@pytest.mark.parametrize("text", ["rollback", "config unset log_level"])
def test_what_stands_in_no_file_is_refused_with_a_reason(platform, text):
    if text == "rollback":
        platform.admin.patch_deployment("mlflow", {"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}})
        until(lambda: len(platform.admin.replica_sets("app=mlflow")) > 1)
    with pytest.raises(
        OperatorError, match=r"Refused: .* is managed by Argo CD, application mlflow, and .*\."
    ) as refused:
        parse(text).plan(platform.systems())
    assert "Change it in Git." in refused.value.hint


@pytest.mark.parametrize("text", ["scale 3", "update v3.18.0", "resources --cpu 600m:", "config set log_level=debug"])
def test_refused_says_who_owns_it_and_warned_says_when_it_is_undone(platform, text):
    with pytest.raises(OperatorError, match=r"Refused: .* is managed by Argo CD, application mlflow") as refused:
        parse(text).plan(platform.systems("refuse"))
    assert "its next sync undoes the change, within seconds if self-heal is on" in refused.value.message
    warned = parse(text).plan(platform.systems("warn"))
    assert any("managed by Argo CD, application mlflow: its next sync" in each for each in warned.warnings)
    assert warned.instead is None
    assert "restart" in parse("restart").plan(platform.systems("refuse")).warnings[-1]


def test_a_change_by_hand_is_undone_and_the_drift_is_named_until_then(platform):
    systems = platform.systems("warn")
    platform.admin.patch_deployment("mlflow", {"spec": {"replicas": 3}})
    for text in ("status", "config show"):
        report = parse(text).run(systems, Unwatched())
        assert "1 field differs from what was applied." in report.summary
        drift = next(each for each in report.sections if each.title == "Drift")
        assert drift.text.startswith("deployment/mlflow replicas: 3, Git says 2 (changed by mlflow-ops")
        assert report.status is Status.WARN
    assert platform.reconcile() == [f"/apis/apps/v1/namespaces/{platform.admin.namespace}/deployments/mlflow"]
    assert platform.admin.deployment("mlflow")["spec"]["replicas"] == 2
    assert "differ" not in parse("status").run(systems, Unwatched()).summary


def test_a_git_host_that_is_away_is_asked_again_later(platform, closed_port):
    systems = platform.systems()
    _, later = opened(systems, "scale 3")
    away = platform.systems(url=f"http://127.0.0.1:{closed_port}")
    further = looked(away, later)
    assert isinstance(further, Later)
    assert "cannot be reached" in further.step
    assert "is open" in looked(systems, further).step
    with pytest.raises(GitUnreachable):
        parse("scale 4").plan(away)


@pytest.fixture
def closed_port(free_port):
    return free_port


def test_a_token_that_may_not_write_opens_nothing(platform):
    reader = platform.systems(token=platform.git.reader)
    plan = parse("scale 3").plan(reader)
    with pytest.raises(GitError, match="does not allow it"):
        in_place_of(parse("scale 3"), plan, CALLER).run(reader, Unwatched())
    assert platform.git.host.pulls.every() == []


def test_without_a_token_or_a_field_the_plan_says_what_is_missing(platform):
    with pytest.raises(OperatorError, match="MLFLOW_OPS_GIT_TOKEN is not set"):
        parse("scale 3").plan(platform.systems(token=""))
    with pytest.raises(OperatorError, match=r"ops\.yaml does not say where replicas stands in platform/apps"):
        parse("scale 3").plan(platform.systems(fields={}))


def test_what_a_lost_worker_has_opened_is_told(platform):
    systems = platform.systems()
    plan = parse("scale 3").plan(systems)
    there = in_place_of(parse("scale 3"), plan, CALLER)
    assert there.aftermath(systems, plan) == "No branch was made and nothing was proposed."
    opened(systems, "scale 3")
    assert there.aftermath(systems, plan).startswith("Pull request 1 is open: http")


def test_an_image_whose_tag_alone_is_in_git(platform):
    values = "# Helm's values\nimage:\n  repository: ghcr.io/mlflow/mlflow\n  tag: v3.17.2 # pinned\n"
    platform.git.host.store.commit("main", "values.yaml", values.encode(), "Values")
    fields = {"image": {"file": "values.yaml", "path": "image.tag", "holds": "tag"}}
    systems = platform.systems(fields=fields)
    opened(systems, "update v3.18.0")
    changed = platform.text("values.yaml", ref=platform.git.host.pulls.get(1).head)
    assert changed == values.replace("v3.17.2", "v3.18.0")
    with pytest.raises(OperatorError, match="holds the image's tag only"):
        parse("update example.com/other:v1").plan(systems)


def test_each_look_comes_later_than_the_one_before_and_none_after_the_end(platform, monkeypatch):
    systems = platform.systems(follow_hours=24)
    _, later = opened(systems, "scale 3")
    began = time.time()
    waits = []
    for hours in (0, 0.1, 1, 10, 23.99):
        monkeypatch.setattr(time, "time", lambda hours=hours: began + hours * 3600)
        waits.append(looked(systems, later).seconds)
    assert waits[0] == follow.FIRST_SECONDS
    assert waits == sorted(waits[:-1]) + waits[-1:]
    assert max(waits) == follow.LONGEST_SECONDS
    assert waits[-1] < 60


def test_a_backup_is_not_put_over_what_git_holds(platform):
    live = platform.admin.deployment("mlflow")
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "mlflow"}, "spec": live["spec"]}
    one = Applied(wanted, live, {**live, "spec": {**live["spec"], "replicas": 3}})
    assert "its next sync undoes the change" in configuration._owned(platform.systems("warn"), [one])[0]
    for mode, said in (("refuse", "its next sync undoes"), ("propose", "a backup's objects stand in no file")):
        with pytest.raises(OperatorError, match=said):
            configuration._owned(platform.systems(mode), [one])
    new = Applied(wanted, None, live)
    assert configuration._owned(platform.systems("refuse"), [new]) == ()


def test_check_looks_at_the_repository_and_its_fields(platform):
    def asked(**given):
        return git.ask(Asking(platform.systems(**given), 10.0))

    assert (asked().status, asked().figure) == (Status.OK, "4 fields")
    assert asked(token=platform.git.reader).status is Status.FAIL
    assert (
        "has nothing at spec.nope"
        in asked(fields={"replicas": {"file": manifests.DEPLOYMENT, "path": "spec.nope"}}).sentence
    )
    assert asked(fields={"replicas": {"file": "nope.yaml", "path": "a"}}).status is Status.FAIL
    assert asked(fields={}).status is Status.WARN


def test_a_warning_that_comes_and_goes_is_no_other_proposal(platform):
    systems = platform.systems()
    whose = ownership.owner_of(platform.admin.deployment("mlflow"))
    what = proposal.replicas(systems.settings, whose, 2, 3)
    plan = Plan(title="Scale mlflow", summary="from 2 to 3", steps=("one",))
    warned = plan.model_copy(update={"warnings": ("The nodes have room for 1 pod.",)})
    digests = {proposal.proposed(systems, each, what).digest for each in (plan, warned)}
    assert len(digests) == 1
    assert "The nodes have room for 1 pod." in proposal.proposed(systems, warned, what).warnings
