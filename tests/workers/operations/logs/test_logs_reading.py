"""Logs read from a cluster that runs in this process, as the worker's own account may."""

import json
import re
import threading
import time
import tracemalloc

import pytest
import requests

from commands import grammar
from mlflow_ops_sandbox.cluster.api.objects import labels_of, name_of
from mlflow_ops_sandbox.cluster.api.resources import PODS
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from
from workers import settings
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Cancelled
from workers.operations.logs import show
from workers.operations.logs import size as sizes
from workers.operations.logs.size import LogsSize
from workers.report import Attachment, Status, Table, Text
from workers.systems import Systems
from workers.systems.cluster.exec import run_inside
from workers.systems.errors import ClusterError, ClusterNotFound, ClusterUnreachable

NAMESPACE = "data-platform"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    # Nobody answers there: the pods run all the same, they are not ready.
    wiring = wiring_from({"mlflow": {"upstream": "http://127.0.0.1:9", "version": "3.16.0"}})
    with running_cluster(Options(tmp_path_factory.mktemp("cluster"), wiring)) as running:
        until(lambda: len(pods(running)) == 2)
        yield running


@pytest.fixture
def systems(cluster):
    return Systems(settings.load({"KUBECONFIG": str(cluster.kubeconfig.with_name("kubeconfig-worker"))}))


def pods(cluster, app="mlflow"):
    found = [pod for pod in cluster.cluster.store.all(PODS, NAMESPACE) if labels_of(pod).get("app") == app]
    return [
        pod
        for pod in found
        if any("running" in status["state"] for status in pod["status"].get("containerStatuses") or ())
    ]


@pytest.fixture
def say(cluster):
    """Writes lines into the log of the first or second pod."""

    def write(number, *lines):
        pod = sorted(pods(cluster), key=name_of)[number]
        cluster.cluster.logs.append(pod, "mlflow", pod["status"]["containerStatuses"][0]["restartCount"], *lines)
        return name_of(pod)

    return write


class Heard:
    """A progress that keeps what it hears. stop: raise Cancelled once that was said."""

    def __init__(self, stop=None):
        self.steps = []
        self.stop = stop

    def step(self, name, of=""):
        self.steps.append(name)

    def advance(self, done, total, unit):
        pass

    def ended(self, said="", *, well=True):
        pass

    def checkpoint(self):
        if self.stop and self.stop(self.steps):
            raise Cancelled


@pytest.fixture
def do(systems):
    return lambda words, progress=None: performing.perform(grammar.parse(words), systems, progress or Heard())


def text(report):
    return "\n".join(each.text for each in report.sections if isinstance(each, Text) and each.literal)


def test_lines_of_several_pods_are_merged_by_time(do, say):
    for number in range(12):
        say(number % 2, f"INFO merged-{number:02d}")
        time.sleep(0.002)
    report = do("logs --grep merged-")
    found = [line.rsplit(" ", 1)[1] for line in text(report).splitlines() if "merged-" in line and "INFO" in line]
    assert found == [f"merged-{number:02d}" for number in range(12)]
    assert report.status is Status.OK
    assert report.summary.startswith("12 lines of ")
    assert "from 2 containers" in report.summary
    by_hand = "kubectl logs -n data-platform -l app=mlflow --prefix --all-containers --timestamps --tail=-1"
    assert f"{by_hand} | grep -iE -- merged-" in text(report)
    assert report.hints


def test_the_tail_is_of_all_pods_together(do, say):
    for number in range(20):
        say(number % 2, f"INFO tail-{number:02d}")
    report = do("logs --grep tail- --tail 3")
    assert report.summary.startswith("3 lines of ")
    assert "17 older ones are left out" in report.summary
    assert "tail-19" in text(report)
    assert "tail-16" not in text(report)


def test_errors_are_grouped_and_a_traceback_counts_once(do, say):
    trace = ("ERROR grouped", "Traceback (most recent call last):", '  File "a.py", line 1', "KeyError: 'grouped'")
    for number in range(3):
        say(number % 2, *trace, f"INFO {number}")
    report = do("logs --level error --since 1h")
    table = next(each for each in report.sections if isinstance(each, Table))
    assert ("3", "KeyError: 'grouped'") in [(row[0], row[3]) for row in table.rows]
    assert report.status is Status.WARN
    assert "from error up" in report.summary
    assert "INFO 2" not in text(report)
    assert 'File "a.py"' in text(report)


def test_a_pod_by_a_part_of_its_name(do, say):
    name = say(0, "INFO only here")
    report = do(f"logs --pod {name[-5:]}")
    assert "from 1 container" in report.summary
    assert f"kubectl logs -n data-platform {name}" in text(report)


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("logs --pod mlflow", "fits 2 pods", "more of the name"),
        ("logs --pod nosuch", "There is no pod “nosuch”", "Known: mlflow-"),
        ("logs --container mlflwo", "There is no container “mlflwo”", "Did you mean mlflow"),
        ("logs --previous", "no log of before a restart", "without --previous"),
        ("logs --grep '(a+'", "is not a regular expression", "backslash"),
    ],
)
def test_what_is_not_there_is_told(do, words, said, hint):
    with pytest.raises(OperatorError) as told:
        do(words)
    assert said in told.value.message
    assert hint in told.value.hint


def test_a_catastrophic_expression_ends_the_command_and_not_the_worker(do, say):
    for number in range(200):
        say(number % 2, "INFO " + "a" * 3000 + "!")
    began = time.monotonic()
    with pytest.raises(OperatorError, match="takes too long"):
        do("logs --grep '(a+)+$'")
    assert time.monotonic() - began < 8


def test_a_long_answer_is_a_file_without_secrets(do, say):
    say(0, *(f"INFO file-{number} password=swordfish <!channel>" for number in range(100)))
    report = do("logs --grep file-")
    assert "swordfish" not in text(report)
    (file,) = report.attachments
    assert isinstance(file, Attachment)
    assert file.content.count("file-") == 100
    assert "swordfish" not in file.content
    assert "The last 25 lines" in [each.title for each in report.sections]


def test_an_old_window_holds_nothing_and_says_so(do, say):
    say(0, "INFO window")
    report = do("logs --since 1s --grep 'nothing has this in it'")
    assert report.summary.startswith("0 lines")


def test_the_log_of_before_a_restart(do, cluster, say):
    name = say(1, "INFO before the restart")
    order = {"pod": name, "state": "CrashLoopBackOff"}
    requests.post(f"{cluster.control}/faults", json=order, timeout=10).raise_for_status()
    try:
        until(lambda: "lastState" in json.dumps(_pod(cluster, name)) and _has_previous(do, name))
        report = do(f"logs --pod {name} --previous")
    finally:
        requests.post(f"{cluster.control}/faults", json={"clear": True}, timeout=10).raise_for_status()
        until(lambda: len(pods(cluster)) == 2)
    assert report.title == "Logs before the last restart"
    assert "--previous" in text(report)
    table = next(each for each in report.sections if isinstance(each, Table))
    assert any("password authentication failed" in row[3] for row in table.rows)


def _pod(cluster, name):
    return cluster.cluster.store.get(PODS, NAMESPACE, name)["status"]


def _has_previous(do, name):
    try:
        return "password authentication failed" in text(do(f"logs --pod {name} --previous"))
    except OperatorError:
        return False


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log(do, say):
    for _ in range(20):
        say(0, *(f"INFO bulk {number} " + "x" * 400 for number in range(1000)))
    do("logs --tail 10")
    tracemalloc.start()
    report = do("logs --since 1h --tail 10 --grep bulk")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "19,990 older ones are left out" in report.summary
    # What the cluster itself holds while it sends is in here too: it runs in this process.
    assert peak < 4_000_000


def test_followed_lines_are_shown_as_they_come_and_it_ends_by_itself(do, say):
    say(0, "INFO before")
    progress = Heard()

    def talk():
        until(lambda: progress.steps)
        say(0, "INFO live-0", "INFO live-0-again")
        until(lambda: any("live-0" in step for step in progress.steps))
        for number in range(1, 4):
            say(number % 2, f"INFO live-{number}", f"INFO live-{number}-again")

    talking = threading.Thread(target=talk)
    talking.start()
    began = time.monotonic()
    report = do("logs --follow 5s --grep 'live|before'", progress)
    talking.join()
    assert 4.5 < time.monotonic() - began < 9
    live = [step for step in progress.steps if "live-0" in step]
    assert live
    assert "left: " in live[0]
    assert "live-3" not in live[0]
    assert report.summary.startswith("8 new lines in 5 s")
    assert "before" not in text(report).replace("--previous", "")
    assert "--follow" in text(report)


def test_a_stopped_following_keeps_what_it_has(do, say):
    said = []

    def heard(steps):
        if steps and not said:
            said.append(say(0, "INFO until here"))
        return any("until here" in step for step in steps)

    began = time.monotonic()
    report = do("logs --follow 60s --grep until", Heard(stop=heard))
    assert time.monotonic() - began < 15
    assert "then it was stopped" in report.summary
    assert "until here" in text(report)


def test_a_reading_can_be_stopped(do):
    with pytest.raises(Cancelled):
        do("logs", Heard(stop=bool))


def test_the_size_of_each_container(do, cluster, monkeypatch, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 3_000_000)
    monkeypatch.setattr(sizes, "FOLDERS", (str(tmp_path), "/nonexistent"))
    monkeypatch.setattr(sizes, "LARGE_BYTES", 2_000_000)
    report = do("logs size")
    table = next(each for each in report.sections if isinstance(each, Table))
    found = {(row[0].split("/")[0], row[1]): row for row in table.rows}
    for pod in pods(cluster):
        assert found[name_of(pod), str(tmp_path)][2] == "2.9 MiB"
        assert "restart" in found[name_of(pod), str(tmp_path)][3]
        assert (name_of(pod), sizes.STREAM) in found
    assert report.status is Status.WARN
    assert "the largest is" in report.summary
    assert "exec -n data-platform" in text(report)


def test_a_container_without_du_is_told(systems, monkeypatch):
    monkeypatch.setattr(sizes, "command", lambda _place: ["nosuchprogram"])
    report = LogsSize().run(systems, Heard())
    told = next(each for each in report.sections if isinstance(each, Text) and each.title == "Not measured")
    assert "cannot be run there" in told.text
    assert report.status is Status.WARN


def test_a_du_that_does_not_end_is_told(systems, monkeypatch):
    monkeypatch.setattr(sizes, "command", lambda _place: ["sleep", "60"])
    monkeypatch.setattr(sizes, "DU_SECONDS", 1.0)
    report = LogsSize().run(systems, Heard())
    told = next(each for each in report.sections if isinstance(each, Text) and each.title == "Not measured")
    assert "did not end within 1 s" in told.text


def test_a_log_without_an_end_is_read_for_so_long(do, say, monkeypatch):
    say(0, *(f"INFO endless {number}" for number in range(1000)))
    monkeypatch.setattr(show, "READ_SECONDS", -1.0)
    report = do("logs --grep endless")
    assert report.status is Status.WARN
    assert "2 logs took too long to be read to the end" in report.summary


@pytest.mark.parametrize(
    ("pod", "container", "kind", "said"),
    [
        ("nosuch-0", "mlflow", ClusterNotFound, "not found"),
        ("", "nosuch", ClusterError, "container nosuch is not valid"),
    ],
)
def test_a_program_in_a_container_that_is_not_there(systems, cluster, pod, container, kind, said):
    with pytest.raises(kind, match=said):
        run_inside(systems.cluster, pod or name_of(pods(cluster)[0]), container, ["true"], seconds=5)


def test_a_program_tells_its_output_and_its_exit_code(systems, cluster):
    name = name_of(pods(cluster)[0])
    ended = run_inside(systems.cluster, name, "mlflow", ["sh", "-c", "echo out é; echo err >&2; exit 3"], seconds=5)
    assert (ended.output, ended.errors, ended.code, ended.problem) == ("out é\n", "err\n", 3, "")
    with pytest.raises(ClusterError, match="more than can be read"):
        run_inside(systems.cluster, name, "mlflow", ["seq", "1", "10000000"], seconds=20)


def test_an_api_server_that_is_away(cluster, free_port, tmp_path):
    elsewhere = tmp_path / "kubeconfig"
    text = cluster.kubeconfig.read_text()
    elsewhere.write_text(re.sub(r"(server: https?://127.0.0.1:)\d+", rf"\g<1>{free_port}", text))
    away = Systems(settings.load({"KUBECONFIG": str(elsewhere)}))
    with pytest.raises(ClusterUnreachable):
        run_inside(away.cluster, "any", "mlflow", ["true"], seconds=5)
    for words in ("logs", "logs --follow 5s", "logs size", "status", "events", "top", "howto shell"):
        with pytest.raises(ClusterUnreachable):
            performing.perform(grammar.parse(words), away, Heard())


def test_without_the_permission_it_names_the_verb(cluster, systems):
    from mlflow_ops_sandbox.cluster.api.resources import ROLES

    store = cluster.cluster.store
    role = store.get(ROLES, NAMESPACE, "mlflow-ops-exec")
    rules = role["rules"]
    role["rules"] = [rule for rule in rules if rule["resources"] != ["pods/exec"]]
    try:
        with pytest.raises(OperatorError) as told:
            LogsSize().run(systems, Heard())
    finally:
        role["rules"] = rules
    assert "may not run programs" in told.value.message
    assert "pods/exec" in told.value.hint
