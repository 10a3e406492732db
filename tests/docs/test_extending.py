"""docs/extending.md: its package is that of tests/extension, which is built, installed, tested, typed on the page."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from mlflow_ops_sandbox.fixtures import browser, open_page
from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL, PEOPLE
from mlflow_ops_sandbox.slack.client import SlackPerson, words

__all__ = ["browser", "open_page"]


@pytest.fixture(scope="module")
def sample(documents):
    return documents.ROOT / "tests" / "extension" / "mlflow-ops-hello"


def test_the_document_shows_the_package_as_it_is(documents, sample):
    text = (documents.DOCS / "extending.md").read_text()
    shown = dict(re.findall(r'^```(?:python|toml) title="(\S+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL))
    assert set(shown) == {
        "pyproject.toml", "mlflow_ops_hello/operations.py", "mlflow_ops_hello/commands.py", "tests/test_hello.py",
    }  # fmt: skip
    for name, content in shown.items():
        assert (sample / name).read_text() == content, name


def test_what_check_says_of_a_broken_one_is_in_the_document(documents):
    rules = (documents.ROOT / "workers" / "registry" / "extensions.py").read_text()
    rules += (documents.ROOT / "commands" / "grammar" / "installed.py").read_text()
    for said in (row[0] for row in documents.rows("extending.md", 2)):
        fixed = max(re.split(r"…|hello", said.strip("`")), key=len).strip()
        assert fixed in rules, said


@pytest.fixture(scope="module")
def installed(sample, tmp_path_factory):
    """Built as a wheel, and installed by pip into a folder."""
    pytest.importorskip("setuptools", reason="pip install setuptools: nothing is fetched here")
    folder = tmp_path_factory.mktemp("extension")
    shutil.copytree(sample, folder / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    # Without isolation pip fetches nothing: setuptools is here.
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "source"], check=True
    )
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", folder / "added", wheel], check=True)
    return folder / "added"


@pytest.fixture(scope="module")
def extended(installed, documents, start_sandbox_once, tmp_path_factory):
    """A sandbox whose processes have it."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(installed), before]))
    try:
        yield start_sandbox_once(tmp_path_factory.mktemp("extended"))
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_its_own_tests_pass_against_real_parts(extended, sample, installed, tmp_path):
    shutil.copytree(sample / "tests", tmp_path / "tests")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path, env={**os.environ, **extended.env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "3 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_is_typed_in_slack_planned_done_and_in_the_record(extended):
    people = {person["name"]: SlackPerson(extended.slack_url, person["id"]) for person in PEOPLE}
    omar = people["omar"]

    def answered(command, said):
        before = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
        assert omar.command(OPS_CHANNEL, command).ok

        def there():
            fresh = [message for message in omar.messages(OPS_CHANNEL) if message["ts"] not in before]
            return any(said in words(message) or omar.find_reply(OPS_CHANNEL, message["ts"], said) for message in fresh)

        omar.wait_for(there, deadline=180)

    answered("/mlflow hello", "Hello! MLflow has ")
    answered("/mlflow hello play omar --dry-run", "playground-omar")
    answered("/mlflow hello play omar", "playground-omar is there")
    answered("/mlflow audit", "hello play omar")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_page_offers_it(extended, open_page):
    page = open_page(extended.slack_url, f"?person={PEOPLE[0]['id']}", OPS_CHANNEL)
    page.fill("#composer", "/mlflow hello")
    page.wait_for_selector("[role=option]:has-text('Say how many experiments there are.')")
