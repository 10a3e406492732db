"""GitHub and GitLab as the gateways find them: what is read, proposed and seen, and each refusal as a sentence."""

import pytest
from pydantic import SecretStr

from mlflow_ops_sandbox.git.testing import serving
from tests.workers.systems.gitlab_server import gitlab_serving
from workers import settings
from workers.errors import OperatorError
from workers.settings import SettingsError
from workers.settings.gitops import Gitops
from workers.systems.errors import GitConflict, GitError, GitMissing, GitTaken, GitUnreachable
from workers.systems.git.connecting import connect
from workers.systems.git.github import GitHub
from workers.systems.git.gitlab import GitLab
from workers.systems.git.repository import Commit, RequestState

pytestmark = pytest.mark.slow

TEXT = "# two are enough\nspec:\n  replicas: 2\n"
FILE = "apps/mlflow/deployment.yaml"
MORE = TEXT.replace("2", "4")
BINARY = b"\xff\xfe\x00"


@pytest.fixture(params=[GitHub, GitLab], ids=["github", "gitlab"])
def host(request, tmp_path):
    """Each host in turn: how one reaches it, and what stands behind it."""
    with serving(tmp_path, {FILE: TEXT}) as git:
        git.host.store.commit("main", "logo.yaml", BINARY, "Not text")
        if request.param is GitHub:
            yield Reached(GitHub, git, git.api)
        else:
            with gitlab_serving(git.host) as url:
                yield Reached(GitLab, git, url)


class Reached:
    def __init__(self, kind, git, url):
        self.kind, self.git, self.url = kind, git, url

    def by(self, token=None, **where):
        given = {"repository": self.git.host.name, "url": self.url, **where}
        return self.kind.connect(Gitops.model_validate(given), SecretStr(token or self.git.token))


def commit_of(repository, branch="mlflow-ops/scale-1", text=MORE):
    found = repository.read(FILE)
    return Commit(branch, found.commit, FILE, text, found.version, "Scale mlflow")


def test_a_change_is_proposed_and_followed_until_it_is_merged(host):
    repository = host.by()
    assert repository.read(FILE).text == TEXT
    assert repository.request_of("mlflow-ops/scale-1") is None
    made = repository.propose(commit_of(repository), "Scale mlflow", "Asked for by **Vera**")
    assert (made.number, made.state, made.commit) == (1, RequestState.OPEN, "")
    assert repository.request_of("mlflow-ops/scale-1") == repository.request(1) == made
    assert repository.read(FILE).text == TEXT
    store, pulls = host.git.host.store, host.git.host.pulls
    assert store.read("mlflow-ops/scale-1", FILE).content.decode() == MORE
    assert pulls.get(1).body == "Asked for by **Vera**"
    merged = pulls.merge(1)
    assert repository.request(1).state is RequestState.MERGED
    assert repository.request(1).commit == merged.commit
    assert repository.read(FILE).text == MORE


def test_one_that_is_closed_is_closed_and_the_newest_of_a_branch_counts(host):
    repository = host.by()
    repository.propose(commit_of(repository), "One", "")
    host.git.host.pulls.close(1)
    assert repository.request_of("mlflow-ops/scale-1").state is RequestState.CLOSED
    host.git.host.pulls.open("Two", "", "mlflow-ops/scale-1", "main")
    assert repository.request_of("mlflow-ops/scale-1").number == 2


def test_a_branch_that_is_there_is_not_written_over(host):
    repository = host.by()
    repository.propose(commit_of(repository), "One", "")
    with pytest.raises(GitTaken, match="exists already"):
        repository.propose(commit_of(repository, text="other: 1\n"), "Two", "")
    assert host.git.host.store.read("mlflow-ops/scale-1", FILE).content.decode() == MORE


def test_who_may_write_is_known_before(host):
    assert host.by().may_push()
    assert not host.by(host.git.reader).may_push()
    with pytest.raises(GitError, match="does not allow it"):
        host.by(host.git.reader).propose(commit_of(host.by()), "T", "")
    assert host.git.host.pulls.every() == []


@pytest.mark.parametrize(
    ("ask", "kind", "said"),
    [
        (lambda host: host.by("not-a-token").read(FILE), GitError, "does not accept our token"),
        (lambda host: host.by(repository="nobody/nothing").read(FILE), GitMissing, "or our token may not see it"),
        (lambda host: host.by(repository="nobody/nothing").may_push(), GitMissing, "or our token may not see it"),
        (lambda host: host.by(branch="nope").read(FILE), GitMissing, "or our token may not see it"),
        (lambda host: host.by().read("apps/nope.yaml"), GitMissing, "apps/nope.yaml on main"),
        (lambda host: host.by().read("logo.yaml"), GitError, "is not text"),
        (lambda host: host.by().request(7), GitMissing, "request 7"),
    ],
)
def test_each_refusal_is_a_sentence_without_the_token(host, ask, kind, said):
    with pytest.raises(kind, match=said) as refused:
        ask(host)
    assert host.git.token not in str(refused.value)
    assert "not-a-token" not in str(refused.value)


def test_github_refuses_a_file_that_was_changed_meanwhile(tmp_path):
    with serving(tmp_path, {FILE: TEXT}) as git:
        repository = Reached(GitHub, git, git.api).by()
        old = commit_of(repository)
        git.host.store.commit("main", FILE, b"spec: {}\n", "Meanwhile")
        newer = Commit("mlflow-ops/x", git.host.store.head("main"), FILE, old.text, old.version, "m")
        with pytest.raises(GitConflict, match="was changed at the same moment"):
            repository.propose(newer, "T", "")


@pytest.mark.parametrize("kind", [GitHub, GitLab])
def test_a_host_that_is_not_there_or_says_nothing_sensible(kind, closed, saying):
    def of(port):
        where = Gitops.model_validate({"repository": "a/b", "url": f"http://127.0.0.1:{port}"})
        return kind.connect(where, SecretStr("ghp_0123456789012345678901234567890123456789"))

    with pytest.raises(GitUnreachable, match="cannot be reached"):
        of(closed).request(1)
    for body in (b"<html", b"{}", b"[]", b'{"state": "gone", "iid": 1, "number": 1}', b'{"state": null}'):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        garbled = saying(head % len(body) + body)
        for ask in (lambda one: one.request(1), lambda one: one.read(FILE)):
            with pytest.raises(GitError):
                ask(of(garbled))
    away = saying(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(GitError, match="answers 502"):
        of(away).request(1)


def test_which_host_it_is_stands_in_ops_yaml(tmp_path):
    def loaded(text, **environ):
        (tmp_path / "ops.yaml").write_text(text)
        return settings.load({"MLFLOW_OPS_CONFIG": str(tmp_path / "ops.yaml"), **environ})

    token = {"MLFLOW_OPS_GIT_TOKEN": "glpat-0123456789"}
    assert isinstance(connect(loaded("gitops: {repository: a/b}", **token)), GitHub)
    deep = connect(loaded("gitops: {repository: a/b/c, provider: gitlab}", **token))
    assert isinstance(deep, GitLab)
    assert "glpat" not in repr(deep) + str(deep)
    with pytest.raises(OperatorError, match="MLFLOW_OPS_GIT_TOKEN is not set"):
        connect(loaded("gitops: {repository: a/b}"))
    with pytest.raises(SettingsError, match=r"gitops\.repository must name a repository"):
        loaded("kubernetes: {gitops: propose}")
    for wrong in ("../x.yaml", "/x.yaml", "x.txt", "a//b.yaml"):
        with pytest.raises(SettingsError, match=r"gitops\.fields\.replicas\.file is wrong"):
            loaded(f"gitops: {{fields: {{replicas: {{file: {wrong}, path: spec.replicas}}}}}}")
    with pytest.raises(SettingsError, match=r"gitops\.branch is wrong"):
        loaded("gitops: {branch: a..b}")
