"""A real browser for the page, and a table that a backup has to wait for."""

import shutil

import psycopg
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright; its tests are skipped where it is not installed."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def open_page(browser):
    """Open the page of a local Slack; nothing may be logged as an error, and nothing fetched from elsewhere."""
    opened, wrong = [], []

    def visit(base_url, query, place, **options):
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 800}, **options})
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        local = (base_url, base_url.replace("http", "ws"), "data:")
        page.on("request", lambda request: None if request.url.startswith(local) else wrong.append(request.url))
        page.goto(f"{base_url}/{query}#{place}")
        page.wait_for_selector("html[data-ready=true]")
        opened.append(page)
        return page

    yield visit
    for page in opened:
        page.close()
    assert not wrong


@pytest.fixture
def locked_table(sandbox):
    """A table that pg_dump has to wait for; gone with the test, or when told."""
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute("LOCK TABLE registered_model_aliases IN ACCESS EXCLUSIVE MODE")
        yield connection
