"""Logs and the state of the cluster over Slack: shown, followed live and stopped, and nobody pinged by a log line."""

import json
import subprocess
import sys
import time
import urllib.request
import uuid

import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import words
from workers import settings
from workers.operations.inspection.finding import mlflow_pods, name_of
from workers.systems import Systems

pytestmark = pytest.mark.slow

SECONDS = 40


@pytest.fixture
def pods(sandbox):
    return [name_of(pod) for pod in mlflow_pods(Systems(settings.load(sandbox.process_env)))]


@pytest.fixture
def mark(sandbox):
    """Has MLflow log something that nobody else logs: a word in the path of a request; returns the word."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def visit(word=None, times=1):
        word = word or f"mark{uuid.uuid4().hex[:8]}"
        for number in range(times):
            url = f"{sandbox.env['MLFLOW_TRACKING_URI'].rstrip('/')}/health?{word}={number}"
            with opener.open(url, timeout=20) as answer:
                answer.read()
        return word

    return visit


def fresh(person, before, said):
    def found():
        new = [each for each in person.messages(OPS_CHANNEL) if each["ts"] not in before]
        return next((each for each in new if said in words(each)), None)

    return person.wait_for(found, deadline=SECONDS)


def ask(person, text, said):
    """Type it; the root message once it says that."""
    before = {message["ts"] for message in person.messages(OPS_CHANNEL)}
    assert person.command(OPS_CHANNEL, f"/mlflow {text}").ok
    return fresh(person, before, said)


def replies(person, message):
    return [each for each in person.thread(OPS_CHANNEL, message["ts"]) if each["ts"] != message["ts"]]


def thread(person, message, said):
    """All that the thread says, once it says that."""

    def found():
        text = "\n".join(json.dumps(each, ensure_ascii=False) for each in replies(person, message))
        return text if said in text else None

    return person.wait_for(found, deadline=SECONDS)


def files(person, message):
    return [file["name"] for reply in replies(person, message) for file in reply.get("files", ())]


def test_lines_of_both_pods_with_the_line_for_a_shell(vera, mark):
    word = mark(times=4)
    report = ask(vera, f"logs --grep {word} --since 1h", "from 2 containers")
    told = thread(vera, report, "By hand")
    assert told.count(f"{word}=") == 4
    assert "kubectl logs -n data-platform -l app=mlflow" in told
    assert "/mlflow logs --follow 60s" in told


def test_a_long_answer_is_a_file(vera, mark):
    word = mark(times=40)
    report = ask(vera, f"logs --grep {word}", "lines")
    vera.wait_for(lambda: files(vera, report) or None, deadline=SECONDS)
    assert files(vera, report) == ["mlflow-logs.txt"]


def test_what_cannot_be_done_is_told(vera):
    assert ask(vera, "logs --pod nosuchpod", "There is no pod “nosuchpod”")
    assert ask(vera, "logs --grep '(a+'", "is not a regular expression")
    assert ask(vera, "logs --previous --container mlflow", "no log of before a restart")
    assert vera.command(OPS_CHANNEL, "/mlflow logs --level eror").ok
    vera.wait_for(
        lambda: vera.find_ephemeral(OPS_CHANNEL, "Did you mean `/mlflow logs --level error`"), deadline=SECONDS
    )


def test_a_catastrophic_expression_leaves_the_worker_alive(vera):
    assert ask(vera, r"logs --grep '(\S+|.)+[~^]$'", "takes too long to search for")
    assert ask(vera, "describe deployment", "replicas are ready")


def test_new_lines_show_while_it_follows_and_it_ends_by_itself(vera, mark):
    word = f"mark{uuid.uuid4().hex[:8]}"
    live = ask(vera, f"logs --follow 8s --grep {word}", "nothing new yet")
    assert [each["action_id"] for block in live["blocks"] for each in block.get("elements", ()) if "action_id" in each]
    mark(word, times=3)

    def now():
        return words(next(each for each in vera.messages(OPS_CHANNEL) if each["ts"] == live["ts"]))

    vera.wait_for(lambda: ("left: 3 new lines" in now() and f"{word}=2" in now()) or None, deadline=SECONDS)
    vera.wait_for(lambda: "3 new lines in 8 s" in now() or None, deadline=SECONDS)
    assert f"{word}=0" in thread(vera, live, "By hand")


def test_following_is_stopped_by_its_button(vera, mark):
    word = f"mark{uuid.uuid4().hex[:8]}"
    live = ask(vera, f"logs --follow 4m --grep {word}", "nothing new yet")
    mark(word)
    began = time.monotonic()

    def now():
        return words(next(each for each in vera.messages(OPS_CHANNEL) if each["ts"] == live["ts"]))

    vera.wait_for(lambda: "1 new line" in now() or None, deadline=SECONDS)
    vera.press(OPS_CHANNEL, live["ts"], "cancel")
    vera.wait_for(lambda: "then it was stopped" in now() or None, deadline=SECONDS)
    assert time.monotonic() - began < SECONDS
    assert f"{word}=0" in thread(vera, live, "By hand")


def test_a_line_in_a_log_pings_nobody(vera, mark):
    word = f"mark{uuid.uuid4().hex[:8]}"
    mark(f"{word}<!channel>")
    mark(f"{word}<@U07VERA0001>;DROP*bold*`code````")
    report = ask(vera, f"logs --grep {word} --since 1h", "lines")
    told = thread(vera, report, "By hand")
    assert f"{word}&lt;!channel&gt;" in told
    for message in (report, *replies(vera, report)):
        said = json.dumps(message["blocks"]) + message["text"]
        assert "<!channel>" not in said
        assert f"{word}<@" not in said
    # In the words of the command itself, too.
    asked = ask(vera, f'logs --grep "{word}<!channel>" --tail 5', "1 line")
    assert "<!channel>" not in json.dumps(asked["blocks"]) + asked["text"]


def test_the_state_of_the_cluster(vera, pods):
    assert ask(vera, "status", "2 of 2 pods ready")
    shown = ask(vera, f"describe pod {pods[0][-5:]}", f"Pod {pods[0]}")
    assert f"kubectl describe -n data-platform pod {pods[0]}" in thread(vera, shown, "By hand")
    assert ask(vera, "describe deployment", "2 of 2 replicas are ready")
    assert ask(vera, "describe pod nosuchpod", "There is no pod “nosuchpod”")
    assert ask(vera, "events --since 6h", "within 6 h")
    assert "of limit" in thread(vera, ask(vera, "top", "CPU"), "By hand")
    assert ask(vera, "howto port-forward", "kubectl port-forward -n data-platform svc/mlflow 5000:5000")
    assert ask(vera, "howto shell", "kubectl exec -n data-platform -it")


def test_the_size_of_logs_in_a_container(vera, pods):
    before = {message["ts"] for message in vera.messages(OPS_CHANNEL)}
    assert vera.command(OPS_CHANNEL, f"/mlflow logs size --pod {pods[0]}").ok

    def measured():
        new = [each for each in vera.messages(OPS_CHANNEL) if each["ts"] not in before]
        # How much there is differs from one computer to another.
        return next((each for each in new if "*Size of logs*" in words(each)), None)

    report = vera.wait_for(measured, deadline=70)
    told = thread(vera, report, "By hand")
    assert f"{pods[0]}/mlflow" in told
    assert "/var/log" in told
    assert f"kubectl exec -n data-platform {pods[0]} -c mlflow -- du -sxk /var/log" in told
    assert ask(vera, "logs size --pod nosuchpod", "There is no pod “nosuchpod”")


def test_manifests_are_shown_without_secrets(vera, sandbox):
    report = ask(vera, "manifest secret --as file", "masked")
    vera.wait_for(lambda: files(vera, report) or None, deadline=SECONDS)
    assert files(vera, report) == ["secret-mlflow-backend-secret.yaml"]
    shown = ask(vera, "manifest service mlflow", "Manifest of service/mlflow")
    assert "targetPort" in thread(vera, shown, "By hand")
    assert ask(vera, "manifest secret nosuch", "may not get")


def test_the_same_in_a_terminal(sandbox, pods, mark):
    word = mark(times=2)

    def terminal(text):
        command = [sys.executable, "-m", "bot", "run", text]
        done = subprocess.run(command, env=sandbox.process_env, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    assert f"{word}=1" in terminal(f"logs --grep {word}")
    assert "2 of 2 pods ready" in terminal("status")
    assert "kubectl port-forward" in terminal("howto port-forward")
    assert "There is no pod “nosuch”" in terminal("describe pod nosuch")
