"""The site: built strictly, every page begins with what it is for, and its reference is of the code."""

import importlib.util
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest

from commands import grammar
from mlflow_ops_sandbox.fixtures import browser
from workers.operation import Operation, Risk

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


def hook(documents, name):
    spec = importlib.util.spec_from_file_location(name, documents.ROOT / "deploy" / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(documents):
    """The hook that makes the reference."""
    return hook(documents, "pages")


@pytest.fixture(scope="module")
def handbook(documents):
    """The hook that makes the runbook's chapters."""
    return hook(documents, "handbook")


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


def test_the_first_paragraph_of_a_page_says_whom_or_what_it_is_for(documents, pages, handbook):
    """A reader at 3 a.m. decides by it: prose, short, and no table, list or remark about how the page is made."""
    texts = {file.name: file.read_text() for file in documents.DOCS.glob("*.md")}
    texts |= {name: make() for name, make in pages.PAGES.items()}
    texts |= {title: handbook.page(title) for title in handbook.chapters()}
    wrong = []
    for name, text in texts.items():
        title, first, *_ = text.split("\n\n")
        prose = re.match(r"[A-Z`]", first) and not first.startswith("Made by") and len(first) < 450
        wrong += [] if title.startswith("# ") and "\n" not in title and prose and first[-1] in ".?:" else [name]
    assert wrong == []


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


def test_the_chapters_say_of_each_command_what_goes_wrong_and_how_to_undo_it(handbook):
    chapters = handbook.chapters()
    said = handbook.SAID
    assert set(said["chapters"]) == set(chapters)
    commands = dict(each for found in chapters.values() for each in found)
    assert set(said["commands"]) == set(commands)
    for path, command in commands.items():
        risks = {operation.risk for operation in asked(command)}
        own = said["commands"][path]
        assert own["wrong"].endswith("."), path
        assert own.get("undo", "").endswith(".") is ("undo" in own), path
        assert "undo" in own or risks <= {Risk.READ}, f"{path} changes something"
    for title in chapters:
        page = handbook.page(title)
        for path, _ in chapters[title]:
            section = page.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
            for part in ("Who may: ", "```text\n/mlflow ", "**What can go wrong.** ", "**How to undo it.** "):
                assert part in section, (title, path, part)


def asked(command):
    """The operations of a command's examples."""
    found = [grammar.parse(example) for example in getattr(command, "examples", ())]
    return [each for each in found if isinstance(each, Operation) and each.name != "dry-run"]


def test_every_command_that_the_chapters_name_is_one(handbook):
    root = grammar.load()
    for path, own in handbook.SAID["commands"].items():
        for typed in re.findall(r"`/mlflow ([a-z ]+?)(?: [A-Z-].*?)?`", f"{own['wrong']} {own.get('undo', '')}"):
            command = root
            for word in typed.split():
                command = command.get_command(click.Context(command), word) if hasattr(command, "commands") else command
                assert command is not None, f"{path}: {typed}"


def test_every_picture_is_there_in_both_themes_small_and_shown(handbook, documents):
    there = {file.stem: file for file in (documents.DOCS / "pictures").glob("*.png")}
    shown = {name for chapter in handbook.SAID["chapters"].values() for name in chapter.get("pictures", ())}
    for file in [*documents.DOCS.glob("*.md"), documents.ROOT / "README.md"]:
        shown |= set(re.findall(r"pictures/([a-z-]+)-(?:light|dark)\.png", file.read_text()))
    assert set(there) == {f"{name}-{theme}" for name in shown for theme in ("light", "dark")}
    for file in there.values():
        assert file.read_bytes()[:4] == b"\x89PNG"
        assert file.stat().st_size < 200_000, file.name


def test_a_picture_is_that_of_the_theme(pages):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="runbook/alerts.md"))
    files = SimpleNamespace(documentation_pages=tuple)
    made = pages.on_page_markdown("![An alert](../pictures/alert-light.png)", page, None, files)
    assert made == (
        "![An alert](../pictures/alert-light.png#only-light)![An alert](../pictures/alert-dark.png#only-dark)"
    )


def test_every_fence_begins_as_the_site_reads_it(documents):
    """One word, and a title in quotes: what else stands there makes text of the code."""
    for file in documents.DOCS.rglob("*.md"):
        for fence in re.findall(r"^ *```(.+)$", file.read_text(), re.MULTILINE):
            assert re.fullmatch(r'\w+( title="[^"]+")?', fence), (file.name, fence)
