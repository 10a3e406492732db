"""The site: built strictly, every page begins with what it is for, and its reference is of the code."""

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from mlflow_ops_sandbox.fixtures import browser

__all__ = ["browser"]

pytest.importorskip("mkdocs", reason="pip install '.[docs]'")


@pytest.fixture(scope="module")
def site(documents, tmp_path_factory):
    """Its folder, built as CI builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=documents.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(documents):
    """The hook that makes the reference."""
    spec = importlib.util.spec_from_file_location("pages", documents.ROOT / "deploy" / "site" / "pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_is_built_strictly_and_every_document_is_in_it(site, documents):
    for file in documents.DOCS.rglob("*.md"):
        assert (site / file.relative_to(documents.DOCS).with_suffix(".html")).exists(), file
    home = (site / "index.html").read_text()
    for file in documents.DOCS.rglob("*.md"):
        assert f'href="{file.relative_to(documents.DOCS).with_suffix(".html")}"' in home, "nothing leads there"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_search_needs_no_server_and_knows_every_page(site):
    (script,) = (site / "search").glob("search_index.js")
    index = json.loads(script.read_text().removeprefix("var __index = "))
    found = {each["location"].partition("#")[0] for each in index["docs"]}
    assert {"commands.html", "reference/metrics.html", "api/operation.html", "getting-started.html"} <= found
    assert any("restore database" in each["text"] for each in index["docs"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_word_is_found_on_a_page_that_is_read_from_a_folder(site, browser, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.route("http*://**", lambda route: route.abort())
    page.goto((site / "api" / "report.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("break-glass")
    page.wait_for_selector(".md-search-result__item")
    assert "Commands" in page.locator(".md-search-result__list").inner_text()
    assert page.locator("body").get_attribute("data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
    page.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_api_is_there_with_its_sentences(site):
    text = re.sub(r"<[^>]+>", "", (site / "api" / "operation.html").read_text())
    assert "What would happen, from facts read now" in text
    assert "SHA-256 over steps, changes, facts" in text


def test_the_first_lines_of_a_page_say_what_it_is_for(documents):
    for file in documents.DOCS.glob("*.md"):
        head = file.read_text().split("\n\n", 2)
        assert head[0].startswith("# "), file.name


def test_the_reference_is_of_the_code(pages, documents):
    metrics = set(re.findall(r"`(mlflow_ops_\w+)`", pages.metrics()))
    board = json.loads((documents.ROOT / "deploy" / "grafana" / "mlflow-ops.json").read_text())
    used = set(re.findall(r"mlflow_ops_[a-z_]+", json.dumps(board)))
    unknown = {each for each in used if not any(each == one or each.startswith(one) for one in metrics)}
    assert unknown == set()
    rules = (documents.ROOT / "deploy" / "prometheus" / "rules.yaml").read_text()
    assert set(re.findall(r"alert: (\w+)", rules)) == set(
        re.findall(r"^\| `(MLflow\w+)`", pages.alert_rules(), re.MULTILINE)
    )
    assert "| `restore-database` | destructive | operator |" in pages.operations()
    assert '"keep_aside_days"' in pages.ops_schema()
    assert "| `chat:write` | answers |" in pages.slack()


def test_what_is_named_becomes_a_link(pages):
    known = {"cli.md", "safety.md"}
    assert pages._linked("see cli.md, too", "", known) == "see [cli](cli.md), too"
    assert pages._linked("see cli.md", "../", known) == "see [cli](../cli.md)"
    assert pages._linked("see [it](cli.md)", "", known) == "see [it](cli.md)"
    assert pages._linked("`deploy/site/pages.py`", "", known) == (
        "[`deploy/site/pages.py`](https://github.com/mlflow-ops/mlflow-ops/blob/main/deploy/site/pages.py)"
    )
    assert pages._linked("`deploy/nowhere.py` nowhere.md", "", known) == "`deploy/nowhere.py` nowhere.md"
