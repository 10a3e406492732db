"""The local Git host as GitHub's documentation describes one: who is let in, what is refused and how; and its page."""

import base64
import json
import subprocess

import pytest
import requests
import yaml

from mlflow_ops_sandbox.git import manifests
from mlflow_ops_sandbox.git.reconciler import differs
from mlflow_ops_sandbox.git.testing import READER, TOKEN, serving

FILES = {"apps/a.yaml": "# one\na: 1\n", "README.md": "# Apps\n"}


@pytest.fixture
def git(tmp_path):
    with serving(tmp_path, FILES) as running:
        yield running


@pytest.fixture
def ask(git):
    def ask(method, path, body=None, token=TOKEN, raw=None, **query):
        headers = {"Authorization": f"token {token}"} if token else {}
        url = f"{git.api}/repos/platform/apps{path}"
        data = raw if raw is not None else None if body is None else json.dumps(body)
        return requests.request(method, url, data=data, headers=headers, params=query, timeout=10)

    return ask


def put(ask, text="a: 2\n", branch="fix", **more):
    body = {"message": "m", "content": base64.b64encode(text.encode()).decode(), "branch": branch, **more}
    return ask("PUT", "/contents/apps/a.yaml", body)


def branched(ask, git, name="fix"):
    sha = git.host.store.head("main")
    return ask("POST", "/git/refs", {"ref": f"refs/heads/{name}", "sha": sha})


def version(ask, ref="main"):
    return ask("GET", "/contents/apps/a.yaml", ref=ref).json()["sha"]


def test_a_file_is_read_changed_on_a_branch_and_asked_to_be_merged(ask, git):
    found = ask("GET", "/contents/apps/a.yaml").json()
    assert base64.b64decode(found["content"]).decode() == FILES["apps/a.yaml"]
    made = subprocess.run(["git", "hash-object", "--stdin"], input=b"# one\na: 1\n", capture_output=True, check=True)
    assert found["sha"] == made.stdout.decode().strip()
    assert branched(ask, git).status_code == 201
    done = put(ask, sha=found["sha"])
    assert done.status_code == 200
    assert ask("GET", "/branches/fix").json()["commit"]["sha"] == done.json()["commit"]["sha"]
    asked = ask("POST", "/pulls", {"title": "T", "body": "B", "head": "fix", "base": "main"})
    assert asked.status_code == 201
    assert asked.json()["html_url"] == f"{git.host.url}/platform/apps/pull/1"
    assert (asked.json()["state"], asked.json()["merged_at"]) == ("open", None)
    assert ask("GET", "/contents/apps/a.yaml").json()["sha"] == found["sha"]


@pytest.mark.parametrize(
    ("token", "method", "status", "message"),
    [
        ("", "GET", 404, "Not Found"),
        ("ghp_wrong", "GET", 401, "Bad credentials"),
        (READER, "POST", 403, "Resource not accessible by personal access token"),
    ],
)
def test_who_is_not_let_in_hears_what_github_says(ask, token, method, status, message):
    answer = ask(method, "/pulls", {} if method == "POST" else None, token=token)
    assert (answer.status_code, answer.json()["message"]) == (status, message)
    assert answer.json()["status"] == str(status)


def test_what_is_not_there(ask):
    for path, message in (
        ("/branches/nope", "Branch not found"),
        ("/contents/nope.yaml", "Not Found"),
        ("/contents/apps", "Not Found"),
        ("/pulls/9", "Not Found"),
        ("/issues", "Not Found"),
    ):
        answer = ask("GET", path)
        assert (answer.status_code, answer.json()["message"]) == (404, message), path
    answer = ask("GET", "/contents/apps/a.yaml", ref="nope")
    assert answer.json()["message"] == "No commit found for the ref nope"


def test_a_file_that_was_changed_meanwhile_is_a_conflict(ask, git):
    branched(ask, git)
    old = version(ask)
    git.host.store.commit("fix", "apps/a.yaml", b"a: 3\n", "Meanwhile")
    answer = put(ask, sha=old)
    assert (answer.status_code, answer.json()["message"]) == (409, f"apps/a.yaml does not match {old}")
    assert git.host.store.read("fix", "apps/a.yaml").content == b"a: 3\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"ref": "fix"}, '"sha" wasn\'t supplied'),
        ({"ref": "fix", "sha": "0" * 40}, "Reference name must start with 'refs/'"),
        ({"ref": "refs/heads/a..b", "sha": "0" * 40}, "is not a valid ref name"),
        ({"ref": "refs/heads/x", "sha": "abc"}, "must be exactly 40 characters"),
        ({"ref": "refs/heads/x", "sha": "0" * 40}, "Object does not exist"),
        ({"ref": 7, "sha": "0" * 40}, "is not a string"),
    ],
)
def test_a_reference_that_cannot_be(ask, body, message):
    answer = ask("POST", "/git/refs", body)
    assert answer.status_code == 422
    assert message in answer.json()["message"]


def test_what_is_there_already_or_says_nothing_is_invalid(ask, git):
    branched(ask, git)
    again = branched(ask, git)
    assert (again.status_code, again.json()["message"]) == (422, "Reference already exists")
    pull = {"title": "T", "head": "fix", "base": "main"}
    empty = ask("POST", "/pulls", pull)
    assert (empty.status_code, empty.json()["message"]) == (422, "Validation Failed")
    assert empty.json()["errors"][0]["message"] == "No commits between main and fix"
    assert put(ask).json()["message"].endswith('"sha" wasn\'t supplied.')
    assert put(ask, sha=version(ask)).status_code == 200
    assert ask("POST", "/pulls", pull).status_code == 201
    twice = ask("POST", "/pulls", pull)
    assert twice.json()["errors"][0]["message"] == "A pull request already exists for platform:fix."
    wrong = ask("POST", "/pulls", {**pull, "head": "nope"})
    assert wrong.json()["errors"] == [{"resource": "PullRequest", "field": "head", "code": "invalid"}]
    assert ask("POST", "/pulls", raw="{").json()["message"] == "Problems parsing JSON"
    assert put(ask, branch="nope").status_code == 404
    bad = ask("PUT", "/contents/apps/a.yaml", {"message": "m", "content": "%%", "branch": "fix"})
    assert bad.json()["message"] == "content is not valid Base64"


def test_pulls_are_found_by_their_state_and_branch(ask, git):
    for name in ("one", "two"):
        branched(ask, git, name)
        put(ask, f"a: {name}\n", branch=name, sha=version(ask))
        ask("POST", "/pulls", {"title": name, "head": name, "base": "main"})
    git.host.pulls.close(1)

    def numbers(**query):
        return [each["number"] for each in ask("GET", "/pulls", **query).json()]

    assert numbers() == [2]
    assert numbers(state="all") == [2, 1]
    assert numbers(state="closed") == [1]
    assert numbers(state="all", head="platform:one") == [1]
    assert numbers(state="all", head="other:one") == []
    assert numbers(state="all", per_page=1, page=2) == [1]


def press(git, number, button, **headers):
    url = f"{git.host.url}/platform/apps/pull/{number}/{button}"
    return requests.post(url, headers=headers, timeout=10, allow_redirects=False)


@pytest.fixture
def pull(ask, git):
    branched(ask, git)
    put(ask, "# one\na: <b>2</b>\n", sha=version(ask))
    ask("POST", "/pulls", {"title": "Two & more", "body": "**Plan**\n- `a: 1 → 2`", "head": "fix", "base": "main"})
    return git.host.pulls.get(1)


def test_a_person_looks_at_it_and_merges_it_once(git, pull, ask):
    page = requests.get(git.host.page_of(pull), timeout=10)
    for said in (
        "Two &amp; more",
        "<b>Plan</b>",
        "<code>a: 1 → 2</code>",
        "+a: &lt;b&gt;2&lt;/b&gt;",
        "Merge pull request",
    ):
        assert said in page.text, said
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "Two &amp; more" in requests.get(git.host.url, timeout=10).text
    assert press(git, 1, "merge", Origin="https://elsewhere.example").status_code == 403
    assert press(git, 1, "merge").status_code == 303
    assert press(git, 1, "merge").status_code == 409
    assert press(git, 1, "close").status_code == 409
    assert press(git, 7, "close").status_code == 404
    seen = ask("GET", "/pulls/1").json()
    assert (seen["state"], seen["merged"]) == ("closed", True)
    assert seen["merge_commit_sha"] == git.host.store.head("main")
    assert git.host.store.read("main", "apps/a.yaml").content == b"# one\na: <b>2</b>\n"
    assert "Merged" in requests.get(git.host.page_of(pull), timeout=10).text


def test_what_conflicts_cannot_be_merged(git, pull):
    git.host.store.commit("main", "apps/a.yaml", b"# one\na: other\n", "Meanwhile")
    assert press(git, 1, "merge").status_code == 409
    assert git.host.pulls.get(1).state == "open"
    assert press(git, 1, "close").status_code == 303
    assert git.host.pulls.get(1).merged_at is None


def test_only_this_machine_is_served(git):
    assert requests.get(git.host.url, headers={"Host": "elsewhere.example"}, timeout=10).status_code == 403


def test_all_of_it_is_there_at_the_next_start(tmp_path):
    with serving(tmp_path, FILES) as first:
        first.host.store.create_branch("fix", first.host.store.head("main"))
        first.host.store.commit("fix", "apps/a.yaml", b"a: 2\n", "m")
        first.host.pulls.open("T", "B", "fix", "main")
    with serving(tmp_path, {"other": "x"}) as second:
        assert second.host.pulls.get(1).title == "T"
        assert second.host.pulls.merge(1).commit == second.host.store.head("main")


def test_what_a_manifest_has_counts_and_nothing_else():
    wanted = {"a": 1, "b": [{"name": "x", "v": "1"}], "c": ["--p", 5]}
    live = {"a": 1, "b": [{"name": "y"}, {"name": "x", "v": "1", "more": 2}], "c": ["--p", 5], "d": 4}
    assert not differs(live, wanted)
    for change in ({"a": 2}, {"b": []}, {"c": ["--p"]}, {"b": [{"name": "x", "v": "2"}]}, {"c": None}):
        assert differs({**live, **change}, wanted), change


def test_the_first_manifests_have_comments_and_are_what_is_there():
    container = {
        "name": "mlflow",
        "image": "m:1",
        "ports": [{"name": "http", "containerPort": 5000, "protocol": "TCP"}],
    }
    template = {"metadata": {"labels": {"app": "mlflow"}}, "spec": {"containers": [container], "dnsPolicy": "X"}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "mlflow"}}, "template": template, "paused": False}
    meta = {"name": "mlflow", "namespace": "n", "uid": "u"}
    files = manifests.files({"metadata": meta, "spec": spec}, {"metadata": meta, "data": {"a": "1"}})
    text = files[manifests.DEPLOYMENT]
    assert "  replicas: 2  # pods\n" in text
    assert "# Each pod holds a pool of connections" in text
    live = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    assert not differs(live, yaml.safe_load(text))
    assert yaml.safe_load(files[manifests.CONFIG_MAP])["data"] == {"a": "1"}
