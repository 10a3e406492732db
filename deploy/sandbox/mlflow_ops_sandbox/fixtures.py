"""What tests of the sandbox and tests on it share as pytest's fixtures: further sandboxes, a browser, the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlflow_ops_sandbox import testing

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser", "open_page", "start_sandbox", "start_sandbox_once"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu"),
    *("--disable-background-networking", "--disable-component-update"),
]


def _starting() -> Iterator[testing.StartSandbox]:
    started: list[testing.Sandbox] = []

    def start(path: Path, *arguments: str, ready: bool = True, like: Path | None = None) -> testing.Sandbox:
        started.append(testing.start(path, *arguments, ready=ready, like=like))
        return started[-1]

    yield start
    for item in started:
        testing.remove(item)


@pytest.fixture
def start_sandbox() -> Iterator[testing.StartSandbox]:
    """Starts further sandboxes, and ends them with the test."""
    yield from _starting()


@pytest.fixture(scope="module")
def start_sandbox_once() -> Iterator[testing.StartSandbox]:
    """Starts further sandboxes, and ends them with the module."""
    yield from _starting()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, driven by Playwright; its tests are skipped where it is not installed."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open the page of a local Slack; nothing may be logged as an error, and nothing fetched from elsewhere."""
    opened: list[Page] = []
    wrong: list[str] = []

    def visit(base_url: str, query: str, place: str, **options: Any) -> Page:
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
