"""The ConfigMap and the pods that take it: changed together, proven, or put back; and no secret is shown."""

import json
import re
import time
import urllib.request

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from commands.grammar import Help, UsageError, parse
from mlflow_ops_sandbox.cluster.testing import until
from workers import settings
from workers.errors import OperatorError
from workers.operation import Cancelled, Unwatched
from workers.operations.configuration import values
from workers.operations.configuration.configmap import CHECKSUM
from workers.operations.configuration.edit import ConfigSet, ConfigUnset
from workers.operations.configuration.show import ConfigShow
from workers.operations.deployment import rollout
from workers.report import Status
from workers.systems.cluster.client import Cluster

FIRST = {"gunicorn_workers": "4", "gunicorn_timeout": "120", "log_level": "info"}


class Quiet(Unwatched):
    """A progress that remembers its steps; somebody may ask it to stop."""

    def __init__(self, stop=False):
        self.steps, self.stop = [], stop

    def step(self, name, of=""):
        self.steps.append(name)

    def checkpoint(self):
        if self.stop:
            raise Cancelled


@pytest.fixture
def admin(make, monkeypatch):
    """The cluster as its administrator sees it: at rest with the first values, before and after."""
    monkeypatch.setattr(rollout, "HOPELESS_SECONDS", 0.4)
    monkeypatch.setattr(rollout, "LOOK_SECONDS", 0.05)
    cluster = make("kubeconfig").cluster
    put(cluster, FIRST)
    until(lambda: at_rest(cluster))
    yield cluster
    put(cluster, FIRST)
    until(lambda: at_rest(cluster))


@pytest.fixture
def systems(admin, make):
    return make()


def data(cluster):
    return cluster.configmap("mlflow-config")["data"]


def put(cluster, wanted):
    gone = dict.fromkeys(set(data(cluster)) - set(wanted))
    cluster.patch_configmap("mlflow-config", {"data": {**gone, **wanted}})


def at_rest(cluster):
    deployment = cluster.deployment("mlflow")
    status = deployment.get("status", {})
    counted = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counted == [2, 2, 2] and status["observedGeneration"] == deployment["metadata"]["generation"]


def pods(cluster):
    return {
        pod["metadata"]["uid"]: pod["metadata"].get("annotations", {}).get(CHECKSUM)
        for pod in cluster.pods("app=mlflow")
        if "deletionTimestamp" not in pod["metadata"]
    }


def template(cluster):
    return cluster.deployment("mlflow")["spec"]["template"]["metadata"].get("annotations", {})


def everything(report):
    return json.dumps(report.model_dump(mode="json"))


def test_the_plan_says_what_changes_in_which_order_and_how_to_undo_it(systems):
    plan = ConfigSet(pairs={"gunicorn_workers": "8", "log_level": "info"}).plan(systems)
    (changed,) = plan.changes
    assert (changed.what, changed.before, changed.after) == ("gunicorn_workers in configmap/mlflow-config", "4", "8")
    assert plan.undo == "/mlflow config set gunicorn_workers=4"
    assert [step.partition(" ")[0] for step in plan.steps] == ["Set", "Annotate", "Wait", "If"]
    assert ConfigSet(pairs={"gunicorn_workers": "8", "log_level": "info"}).plan(systems).digest == plan.digest


def test_every_pod_is_a_new_one_that_was_started_with_the_change(systems, admin):
    before = pods(admin)
    report = ConfigSet(pairs={"gunicorn_workers": "8", "new": "two words"}).run(systems, Quiet())
    assert report.status is Status.OK
    assert "gunicorn_workers is 8 (was 4), new is two words (was not set)" in report.summary
    assert "every pod of mlflow was started with it" in report.summary
    assert (report.undo, *report.hints) == ("config set gunicorn_workers=4", "config unset new", "config show")
    assert data(admin) == {**FIRST, "gunicorn_workers": "8", "new": "two words"}
    after = pods(admin)
    assert not set(before) & set(after)
    assert set(after.values()) == {values.checksum(admin.configmap("mlflow-config"))}
    (table, *_) = report.sections
    assert ("gunicorn_workers", "4", "8", "GUNICORN_WORKERS, gunicorn_workers") in table.rows


def test_the_undo_command_undoes_it(systems, admin):
    report = ConfigUnset(keys=("log_level",)).run(systems, Quiet())
    assert report.status is Status.OK
    assert "log_level" not in data(admin)
    parse(report.undo).run(systems, Quiet())
    assert data(admin) == FIRST


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (ConfigSet(pairs={"gunicorn_workers": "many"}), "CrashLoopBackOff"),
        (ConfigUnset(keys=("gunicorn_workers",)), "CreateContainerConfigError"),
    ],
)
def test_a_change_whose_pods_do_not_come_up_is_put_back(systems, admin, operation, why, monkeypatch):
    if why == "CrashLoopBackOff":
        monkeypatch.setattr(rollout, "HOPELESS_SECONDS", 0.1)
    before, annotations = pods(admin), template(admin)
    quiet = Quiet()
    report = operation.run(systems, quiet)
    assert report.status is Status.FAIL
    assert why in report.summary
    assert "mlflow-config is as it was, and every pod is ready" in report.summary
    assert quiet.steps[-1] == "Putting mlflow-config back"
    assert data(admin) == FIRST
    assert template(admin) == annotations
    until(lambda: at_rest(admin))
    assert set(pods(admin)) == set(before), "a pod that served was replaced for nothing"


def test_the_last_words_of_a_pod_that_crashes_are_told(systems, monkeypatch):
    monkeypatch.setattr(rollout, "HOPELESS_SECONDS", 0.1)
    report = ConfigSet(pairs={"gunicorn_workers": "many"}).run(systems, Quiet())
    assert "is not a valid integer" in everything(report)


def test_a_change_that_is_cancelled_is_put_back(systems, admin):
    annotations = template(admin)
    with pytest.raises(Cancelled):
        ConfigSet(pairs={"gunicorn_workers": "8"}).run(systems, Quiet(stop=True))
    assert data(admin) == FIRST
    assert template(admin) == annotations
    until(lambda: at_rest(admin))


def test_a_template_that_cannot_be_written_leaves_the_configmap_as_it_was(systems, admin, monkeypatch):
    refused = OperatorError("The template is not to be changed.", "")

    def refuse(self, name, patch):
        raise refused

    with monkeypatch.context() as patched:
        patched.setattr(Cluster, "patch_deployment", refuse)
        report = ConfigSet(pairs={"gunicorn_workers": "8"}).run(systems, Quiet())
    assert report.status is Status.FAIL
    assert "The template is not to be changed" in report.summary
    assert data(admin) == FIRST


@pytest.fixture
def meanwhile(admin, monkeypatch):
    """Somebody else writes the ConfigMap just before we do, once."""
    real, waiting = Cluster.patch_configmap, []

    def patch(self, name, patch):
        if waiting and "resourceVersion" in patch.get("metadata", {}):
            real(admin, name, waiting.pop())
        return real(self, name, patch)

    monkeypatch.setattr(Cluster, "patch_configmap", patch)
    return lambda wanted: waiting.append({"data": wanted})


def test_what_somebody_else_changes_at_the_same_moment_is_not_lost(systems, admin, meanwhile):
    meanwhile({"gunicorn_timeout": "240"})
    assert ConfigSet(pairs={"gunicorn_workers": "8"}).run(systems, Quiet()).status is Status.OK
    assert data(admin) == {**FIRST, "gunicorn_timeout": "240", "gunicorn_workers": "8"}


def test_the_same_key_changed_by_somebody_else_is_left_to_them(systems, admin, meanwhile):
    before = pods(admin)
    meanwhile({"gunicorn_workers": "6"})
    with pytest.raises(OperatorError, match="someone else changed mlflow-config at the same moment"):
        ConfigSet(pairs={"gunicorn_workers": "8"}).run(systems, Quiet())
    assert data(admin)["gunicorn_workers"] == "6"
    assert pods(admin) == before


def faults(running, **order):
    request = urllib.request.Request(f"{running.control}/faults", json.dumps(order).encode())
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()


def test_a_write_whose_answer_is_lost_is_looked_up(systems, admin, running):
    faults(running, api={"pattern": "PATCH .*/configmaps/", "kind": "cut-after", "count": 1})
    try:
        report = ConfigSet(pairs={"gunicorn_workers": "8"}).run(systems, Quiet())
    finally:
        faults(running, clear=True)
    assert report.status is Status.OK
    assert "is 8 (was 4)" in report.summary
    assert report.undo == "config set gunicorn_workers=4"


RULES = {
    "gunicorn_workers": {"type": "integer", "pattern": "[1-9][0-9]?", "description": "processes per pod"},
    "log_level": {"choices": ["debug", "info", "warn"]},
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "config set gunicorn_workers=4",
            "gunicorn_workers=4 already. (Nothing to do|.* before it was changed)",
        ),
        ("config unset nothing", "mlflow-config has no key nothing. It has gunicorn_timeout, gunicorn_workers, log_l"),
        ("config set gunicorn_worker=8", "not among the keys that ops.yaml allows .* Did you mean gunicorn_workers?"),
        ("config unset gunicorn_timeout", "not among the keys that ops.yaml allows"),
        ("config set gunicorn_workers=many", "“many” is not allowed .* a whole number. gunicorn_workers: processes"),
        ("config set gunicorn_workers=0", "it must be of the form"),
        ("config set log_level=loud", "“loud” is not allowed for log_level: it must be one of debug, info, warn."),
    ],
)
def test_what_cannot_be_is_refused_before_anybody_is_asked(admin, make, text, said):
    systems = make(**({} if "has " in said else {"configuration": {"keys": RULES}}))
    before = pods(admin)
    with pytest.raises(OperatorError) as refused:
        parse(text).plan(systems)
    assert re.search(said, str(refused.value))
    assert (data(admin), pods(admin)) == (FIRST, before)


def test_a_rule_that_makes_no_sense_stops_the_program(make):
    with pytest.raises(settings.SettingsError, match=r"pattern is wrong.*must be a regular expression"):
        make(configuration={"keys": {"a": {"pattern": "["}}})


def test_a_configmap_that_is_not_there_is_told(admin, make):
    systems = make("kubeconfig", kubernetes={"configmap": "none"})
    for operation in (ConfigSet(pairs={"a": "1"}).plan, ConfigUnset(keys=("a",)).plan):
        with pytest.raises(OperatorError, match="There is no ConfigMap none in data-platform"):
            operation(systems)


def test_the_verb_that_the_role_lacks_is_named(admin, make, systems):
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/data-platform/roles/mlflow-ops-worker"
    whole = admin.requests.get(path)["rules"]
    lesser = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "patch"]} for rule in whole]

    def grant(rules):
        admin.requests.send(path, "PATCH", {"rules": rules}, content_type="application/merge-patch+json")

    grant(lesser)
    try:
        with pytest.raises(OperatorError, match=r"may not patch configmaps \(mlflow-config\).*verb patch"):
            ConfigSet(pairs={"gunicorn_workers": "8"}).plan(systems)
    finally:
        grant(whole)
    with pytest.raises(OperatorError, match='may not get resource "configmaps"'):
        ConfigSet(pairs={"a": "1"}).plan(make(kubernetes={"configmap": "another"}))


def test_a_paused_deployment_is_not_changed(systems, admin):
    admin.patch_deployment("mlflow", {"spec": {"paused": True}})
    try:
        with pytest.raises(OperatorError, match="is paused"):
            ConfigSet(pairs={"gunicorn_workers": "8"}).plan(systems)
    finally:
        admin.patch_deployment("mlflow", {"spec": {"paused": None}})


def test_whoever_approves_is_told_what_the_container_needs_and_what_it_does_not_take(systems, admin):
    assert "cannot start without gunicorn_workers (GUNICORN_WORKERS)" in " ".join(
        ConfigUnset(keys=("gunicorn_workers",)).plan(systems).warnings
    )
    assert ConfigSet(pairs={"new": "1"}).plan(systems).warnings == ()


HIDDEN = {"DB_PASSWORD": "hunter2-hunter2", "STORE": "postgresql://mlflow:hunter2-hunter2@db/mlflow", "api_key": "k-12"}


def test_no_secret_is_shown_by_any_command(systems, admin):
    put(admin, {**FIRST, **HIDDEN})
    shown = everything(ConfigShow().run(systems, Quiet()))
    plan = ConfigUnset(keys=tuple(HIDDEN)).plan(systems)
    done = everything(ConfigUnset(keys=tuple(HIDDEN)).run(systems, Quiet()))
    for text in (shown, plan.model_dump_json(), done):
        assert "hunter2" not in text
        assert "k-12" not in text
        assert "hidden, fingerprint" in text
    assert "by hand" in plan.undo
    assert "correct-horse" not in shown
    assert '"PASSWORD"' in shown
    assert data(admin) == FIRST


def test_a_hidden_value_is_put_back_too(systems, admin):
    put(admin, {**FIRST, **HIDDEN})
    with pytest.raises(Cancelled):
        ConfigUnset(keys=("STORE",)).run(systems, Quiet(stop=True))
    assert data(admin) == {**FIRST, **HIDDEN}


@pytest.mark.parametrize(
    "pair",
    ["DB_PASSWORD=hunter2", "api_token=hunter2", "apiKey=hunter2", "store=postgresql://u:hunter2@db/x"],
)
def test_a_secret_is_refused_before_it_is_recorded_anywhere(pair):
    with pytest.raises(UsageError, match="looks like a secret") as refused:
        parse(f"config set {pair}")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ValueError, match="looks like a secret"):
        ConfigSet(pairs=dict([pair.split("=", 1)]))


@pytest.mark.parametrize("key", ["max_tokens", "tokenizer", "monkey", "MLFLOW_S3_ENDPOINT_URL", "keyboard"])
def test_ordinary_names_are_no_secrets(key):
    assert not values.looks_secret(key, "http://127.0.0.1:9000")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("config set gunicorn_workers", "“gunicorn_workers” has no “=”: write gunicorn_workers=VALUE."),
        ("config set a=1 a=2", "a is given twice"),
        ("config set 'a b=1'", "cannot be a key"),
        ("config unset ..", "cannot be a key"),
        ("config set", "Missing argument"),
        (f"config set a={'x' * 501}", "501 characters long; the limit is 500"),
        ("config shwo", "Did you mean “/mlflow config show”?"),
    ],
)
def test_each_mistake_in_typing_has_its_sentence(text, said):
    with pytest.raises(UsageError) as wrong:
        parse(text)
    assert said in str(wrong.value)


def test_the_word_alone_says_what_there_is():
    shown = parse("config")
    assert isinstance(shown, Help)
    assert all(word in shown.text for word in ("show", "set", "unset"))


def test_pods_that_are_older_than_the_configmap_are_told(systems, admin):
    assert ConfigShow().run(systems, Quiet()).status is Status.OK
    time.sleep(1.1)  # Kubernetes tells both times in whole seconds.
    put(admin, {**FIRST, "log_level": "debug"})
    report = ConfigShow().run(systems, Quiet())
    assert report.status is Status.WARN
    assert "may run with other values" in report.summary
    assert report.hints == ("restart",)
    with pytest.raises(OperatorError, match="/mlflow restart lets them take it"):
        ConfigSet(pairs={"log_level": "debug"}).plan(systems)


def test_what_slack_would_show_otherwise_bears_a_fingerprint_and_is_put_back_by_hand():
    for value in ("a  b", "a`b", "x" * 600):
        assert "fingerprint" in values.shown("uid", "name", value)
        assert values.undo_commands({"name": value}) == ((), ("name",))
    assert values.shown("uid", "name", "a b") == "a b"


KEYS = st.from_regex(r"[a-z][a-z0-9_.]{0,20}", fullmatch=True)


@pytest.mark.slow
@given(before=st.dictionaries(KEYS, st.none() | st.text(max_size=60), min_size=1, max_size=5))
def test_undo_commands_hold_exactly_what_was_there(before):
    commands, lost = values.undo_commands(before)
    assume(commands)
    back = {}
    for command in commands:
        operation = parse(command)
        back |= operation.pairs if isinstance(operation, ConfigSet) else dict.fromkeys(operation.keys)
    assert back == {key: value for key, value in before.items() if key not in lost}
