"""A pod killed for memory, as somebody finds it at 3 a.m.: one message says why, in health and in describe."""

import os
import re
from pathlib import Path

import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import words

pytestmark = pytest.mark.slow

SECONDS = 90
VERA = "U07VERA0001"
PICTURES = os.environ.get("MLFLOW_OPS_PICTURES")
"""A folder for screenshots, where somebody wants to look at them."""
KILLED = "was killed for memory (OOMKilled, exit code 137, SIGKILL), at its limit of"


@pytest.fixture
def killed(sandbox):
    """One of MLflow's pods is killed for memory again and again, until the test's end."""
    sandbox.kubernetes_control({"pod": "mlflow/0", "state": "OOMKilled"})
    yield
    sandbox.kubernetes_control({"clear": True})


def thread_of(person, message):
    """What stands in a thread, as it is read."""
    return re.sub(r"[*`]", "", "\n".join(map(words, person.thread(OPS_CHANNEL, message["ts"]))))


def told(person, command, said):
    """The root message of a command that tells of the death; it may be asked between two of them."""
    for _ in range(5):
        assert person.command(OPS_CHANNEL, f"/mlflow {command}").ok
        root = person.wait_for(lambda: person.find(OPS_CHANNEL, said), deadline=SECONDS)
        if KILLED in words(root):
            return root
    raise AssertionError(words(root))


def test_one_message_says_why(sandbox, vera, omar, open_page, request):
    assert omar.command(OPS_CHANNEL, "/mlflow restart").ok
    omar.wait_for(lambda: omar.find(OPS_CHANNEL, "Every pod of mlflow is a new one"), deadline=SECONDS)
    request.getfixturevalue("killed")
    page = open_page(sandbox.slack_url, f"?person={VERA}", OPS_CHANNEL, viewport={"width": 1500, "height": 1400})
    health = told(vera, "health", "MLflow health")
    vera.wait_for(lambda: "Why mlflow-" in thread_of(vera, health) or None, deadline=SECONDS)
    said = thread_of(vera, health)
    why = next(each for each in map(words, vera.thread(OPS_CHANNEL, health["ts"])) if "Why mlflow-" in each)
    for each in ("exit code: 137 (signal 9, SIGKILL)", "memory limit then: ", "Its events", "Changed shortly before"):
        assert each in re.sub(r"[*`]", "", why), said
    assert "/mlflow restart: done" in why, "what changed shortly before stands in the same message"
    assert "a restart" in why
    if PICTURES:
        page.wait_for_timeout(600)
        page.locator("text=/[0-9]+ repl/").last.click()
        page.wait_for_timeout(600)
        page.screenshot(path=Path(PICTURES) / "death.png")
    described = told(vera, "describe pod", "Pod mlflow-")
    assert "It's the worst of MLflow's 2 pods." in words(described)
    vera.wait_for(lambda: "Why mlflow-" in thread_of(vera, described) or None, deadline=SECONDS)
