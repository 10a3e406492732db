"""A sandbox whose MLflow is kept as a Git host says: proposed, approved, merged, applied, reported; and closed."""

import re
import time

import pytest
import requests

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL, PEOPLE
from mlflow_ops_sandbox.slack.client import SlackPerson, words
from tests.ways.reading import answered, now
from workers import settings
from workers.systems.cluster.client import Cluster

SECONDS = 90
OWNER = "Argo CD, application mlflow"


@pytest.fixture(scope="module")
def kept(tmp_path_factory, start_sandbox_once, seeded):
    """A sandbox of its own, with a Git host and what undoes all that is not in it."""
    return start_sandbox_once(tmp_path_factory.mktemp("kept") / "data", "--gitops", "propose", like=seeded)


@pytest.fixture(scope="module")
def people(kept):
    return {person["name"]: SlackPerson(kept.slack_url, person["id"]) for person in PEOPLE}


@pytest.fixture
def cluster(kept):
    return Cluster.connect(settings.load(kept.process_env))


def becomes(person, message, said, deadline=SECONDS):
    try:
        person.wait_for(lambda: said in words(now(person, message)) or None, deadline=deadline)
    except TimeoutError:
        pytest.fail(f"it never said “{said}” but:\n{words(now(person, message))}")
    return words(now(person, message))


def pull(kept, number):
    """The page of a pull request."""
    return f"{kept.env['MLFLOW_OPS_SANDBOX_GIT']}254carbon/platform/pull/{number}"


def press(kept, number, button):
    assert requests.post(f"{pull(kept, number)}/{button}", timeout=10, allow_redirects=False).status_code == 303


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_proposed_approved_merged_applied_and_reported(kept, people, cluster, record_property):
    omar, ada = people["omar"], people["ada"]
    message = answered(omar, "resources --cpu 600m:", "Waiting for approval")
    planned = words(message)
    assert "Open a pull request in 254carbon/platform" in planned
    assert "`500m` → `600m`" in planned
    ada.press(OPS_CHANNEL, message["ts"], "approve")
    becomes(omar, message, f"Pull request 1 is open: {pull(kept, 1)}")
    page = requests.get(pull(kept, 1), timeout=10).text
    for said in (
        "U07OMAR0002",
        "U07ADAO0003",
        "/mlflow resources --cpu 600m:",
        "+            cpu: 600m",
        "500m → 600m",
    ):
        assert said in page, said
    held = cluster.deployment("mlflow")["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert held["requests"]["cpu"] == "500m"
    began = time.monotonic()
    press(kept, 1, "merge")
    becomes(omar, message, "was merged as")
    said = becomes(omar, message, f"{OWNER} has applied it: requests.cpu is 600m. 2 of 2 pods are new and ready.", 200)
    record_property("seconds from merge to report", round(time.monotonic() - began))
    assert ":white_check_mark:" in said
    thread = " ".join(words(each) for each in omar.thread(OPS_CHANNEL, message["ts"]))
    for line in ("Pull request 1 is open", "was merged as", "has applied it. Watching the pods."):
        assert line in thread, line
    held = cluster.deployment("mlflow")["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert held["requests"]["cpu"] == "600m"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_page_shows_it_from_approval_to_the_pods(kept, people, open_page):
    omar, ada = people["omar"], people["ada"]
    page = open_page(kept.slack_url, f"?person={omar.user_id}", OPS_CHANNEL)

    def shows(said, seconds=SECONDS):
        page.locator("#main .message").filter(has_text=said).last.wait_for(timeout=seconds * 1000)

    message = answered(omar, "resources --cpu 700m:", "Waiting for approval")
    shows(re.compile("Open a pull request in 254carbon/platform.*700m", re.DOTALL))
    ada.press(OPS_CHANNEL, message["ts"], "approve")
    number = int(re.search(r"Pull request (\d+) is open", becomes(omar, message, " is open: "))[1])
    shows(f"Pull request {number} is open")
    press(kept, number, "merge")
    shows(f"{OWNER} has applied it: requests.cpu is 700m. 2 of 2 pods are new and ready.", 200)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_closed_without_merging_is_said_and_a_change_by_hand_is_undone(kept, people, cluster):
    omar = people["omar"]
    before = len(requests.get(kept.env["MLFLOW_OPS_SANDBOX_GIT"], timeout=10).text.split("/pull/"))
    message = answered(omar, "scale 3", "is open:")
    number = before
    press(kept, number, "close")
    becomes(omar, message, f"Pull request {number} was closed without merging; nothing changed.")
    assert cluster.deployment("mlflow")["spec"]["replicas"] == 2
    cluster.patch_deployment("mlflow", {"spec": {"replicas": 4}})
    omar.wait_for(lambda: cluster.deployment("mlflow")["spec"]["replicas"] == 2 or None, deadline=30)
    assert "synced" in kept.log("git")
