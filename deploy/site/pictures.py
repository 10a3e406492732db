"""Takes the pictures of README and site from the page of a sandbox of its own: python deploy/site/pictures.py [NAME…]

Each is what a reader of the repository would see if he typed the same: docs/pictures/NAME-light.png and NAME-dark.png.
It takes about two minutes, and needs Chromium and `pip install -e '.[test]'`.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright

from mlflow_ops_sandbox import fixtures, testing
from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL, PEOPLE
from mlflow_ops_sandbox.slack.client import SlackPerson, words
from mlflow_ops_sandbox.two_weeks import two_weeks
from workers import settings
from workers.operations.history.store import History, Sample
from workers.systems.redis import connect

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
THEMES: Final = ("light", "dark")
SIZE: Final = {"width": 1440, "height": 900}
SECONDS: Final = 90
OMAR, ADA = (next(person["id"] for person in PEOPLE if person["name"] == name) for name in ("omar", "ada"))


class Studio:
    """A sandbox, the people in it, and a page of Omar's in each theme."""

    def __init__(self, sandbox: testing.Sandbox, pages: dict[str, Page]) -> None:
        """Sit down before a sandbox that is ready."""
        self.sandbox, self.pages = sandbox, pages
        self.omar, self.ada = SlackPerson(sandbox.slack_url, OMAR), SlackPerson(sandbox.slack_url, ADA)

    def asked(self, command: str, said: str) -> str:
        """Type a command; the message's time once it says that."""
        known = {message["ts"] for message in self.omar.messages(OPS_CHANNEL)}
        outcome = self.omar.command(OPS_CHANNEL, f"/mlflow {command}")
        assert outcome.ok, outcome.message
        return self.new(known, said)

    def new(self, known: set[str], said: str) -> str:
        """The time of a message that was not known, once it says that."""

        def there() -> str | None:
            fresh = [each for each in self.omar.messages(OPS_CHANNEL) if each["ts"] not in known]
            return next((str(each["ts"]) for each in fresh if said in words(each)), None)

        return self.omar.wait_for(there, deadline=SECONDS)

    def says(self, ts: str, said: str) -> None:
        """Return once a message says that."""

        def there() -> bool:
            return any(each["ts"] == ts and said in words(each) for each in self.omar.messages(OPS_CHANNEL))

        self.omar.wait_for(there, deadline=SECONDS)

    def in_its_thread(self, ts: str, said: str) -> None:
        """Return once a thread says that."""
        self.omar.wait_for(lambda: self.omar.find_reply(OPS_CHANNEL, ts, said), deadline=SECONDS)

    def take(self, name: str, ts: str, *, thread: bool = False, until: Callable[[Page], None] | None = None) -> None:
        """Both pictures of a message, with its thread beside it."""
        for theme, page in self.pages.items():
            page.goto(f"{self.sandbox.slack_url}/?person={OMAR}&theme={theme}#{OPS_CHANNEL}")
            page.reload()
            page.wait_for_selector("html[data-ready=true]")
            message = page.locator(f"#main .message[data-ts='{ts}']").last
            message.wait_for()
            if thread:
                # What arrives meanwhile moves it, and a click of the mouse waits until nothing does.
                message.locator(".replies").evaluate("each => each.click()")
                reply = page.get_by_label("Thread", exact=True).locator(".message").nth(1)
                reply.wait_for()
                page.wait_for_timeout(600)
                _to_its_top(reply)
            if until is not None:
                until(page)
            _to_its_top(message)
            keep(page, f"{name}-{theme}")


def _to_its_top(message: Locator) -> None:
    message.evaluate("each => each.scrollIntoView({block: 'start'})")


def keep(page: Page, name: str) -> None:
    """Write what the page shows, in the 256 colors that a page of text has: a third of the bytes."""
    page.mouse.move(2, 2)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(600)
    seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    seen.quantize(256, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)
    print(FOLDER / f"{name}.png", (FOLDER / f"{name}.png").stat().st_size)  # noqa: T201 - the answer


def health(studio: Studio) -> None:
    """A pod that crashes, and what health says of it."""
    studio.sandbox.kubernetes_control({"pod": "mlflow/0", "state": "CrashLoopBackOff"})
    ts = studio.asked("health", "asked by")
    studio.take("health", ts, thread=True)
    studio.sandbox.kubernetes_control({"clear": True})


def restore(studio: Studio) -> None:
    """A table is lost; the plan, the approval, and each step as it was done."""
    studio.asked("backup", "read back and compared")
    with psycopg.connect(studio.sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("DROP TABLE metrics CASCADE")
    ts = studio.asked("restore database latest", "Waiting for approval")
    studio.take("restore-plan", ts)
    assert studio.ada.press(OPS_CHANNEL, ts, "approve").ok
    studio.says(ts, "ms of downtime")
    studio.take("restore", ts, thread=True)


def digest(studio: Studio) -> None:
    """The morning after two weeks, with something to do."""
    redis = connect(settings.load(studio.sandbox.process_env))
    for at, figures in two_weeks(datetime.now(UTC)):
        History(redis).keep(Sample(at, figures, {"mlflow.version": ("3.17.2",)}))
    redis.close()
    studio.sandbox.kubernetes_control({"certificate_days": 5})
    ts = studio.asked("digest", "Digest, ")

    def picture(page: Page) -> None:
        drawn = page.locator("#main .message img[alt^='MLflow over 14 days']").last
        drawn.wait_for(timeout=SECONDS * 1000)
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=drawn.element_handle())

    studio.take("digest", ts, until=picture)
    studio.sandbox.kubernetes_control({"certificate_days": 60})


def alert(studio: Studio) -> None:
    """What Alertmanager sends becomes a message, and the check that the alert names runs below it."""
    studio.sandbox.kubernetes_control({"pod": "mlflow/0", "state": "CrashLoopBackOff"})
    labels = {"alertname": "MLflowPodsNotReady", "severity": "critical", "namespace": "data-platform"}
    since = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
    fired = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": "1 of 2 pods of MLflow isn't ready.", "command": "/mlflow health pods logs"},
        "startsAt": since,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=up",
        "fingerprint": "3f2a9c01de",
    }
    body: dict[str, Any] = {
        "version": "4",
        "groupKey": '{}:{alertname="MLflowPodsNotReady"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "mlflow-ops",
        "groupLabels": {"alertname": "MLflowPodsNotReady"},
        "commonLabels": labels,
        "commonAnnotations": fired["annotations"],
        "externalURL": "http://alertmanager.example:9093",
        "alerts": [fired],
    }
    known = {message["ts"] for message in studio.omar.messages(OPS_CHANNEL)}
    request = urllib.request.Request(  # noqa: S310 - the sandbox's own port
        studio.sandbox.env["MLFLOW_OPS_SANDBOX_ALERTS"],
        json.dumps(body).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {studio.sandbox.env['MLFLOW_OPS_ALERTS_SECRET']}",
        },
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10):
        pass
    ts = studio.new(known, "MLflowPodsNotReady")
    studio.in_its_thread(ts, "Pods")
    studio.take("alert", ts, thread=True)
    studio.sandbox.kubernetes_control({"clear": True})


def compare(studio: Studio) -> None:
    """Ten runs of an experiment, the best of each metric marked."""
    ts = studio.asked("runs compare load-forecast-eu", "10 runs in load-forecast-eu")
    studio.in_its_thread(ts, "is better")
    studio.take("compare", ts, thread=True)


def home(studio: Studio) -> None:
    """The app's Home tab, where something waits for approval."""
    ts = studio.asked("scale 9", "Waiting for approval")
    studio.omar.open_home()
    for theme, page in studio.pages.items():
        page.goto(f"{studio.sandbox.slack_url}/?person={ADA}&theme={theme}#home")
        page.reload()
        page.wait_for_selector("html[data-ready=true]")
        page.get_by_text("scale 9").first.wait_for(timeout=SECONDS * 1000)
        keep(page, f"home-{theme}")
    assert studio.omar.press(OPS_CHANNEL, ts, "withdraw").ok


SCENES: Final = {
    "compare": compare,
    "restore": restore,
    "digest": digest,
    "home": home,
    "alert": alert,
    "health": health,
}
"""In the order in which they are played: what comes later stands below it in the channel, and has a backup."""


@contextmanager
def studio() -> Iterator[Studio]:
    """A sandbox and a browser, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="mlflow-ops-pictures-") as folder, sync_playwright() as playwright:
        sandbox = testing.start(Path(folder) / "data")
        browser = playwright.chromium.launch(executable_path=fixtures.CHROMIUM, args=fixtures.FLAGS)
        try:
            pages = {theme: browser.new_page(viewport=SIZE) for theme in THEMES}
            for page in pages.values():
                page.set_default_timeout(SECONDS * 1000)
            yield Studio(sandbox, pages)
        finally:
            browser.close()
            testing.remove(sandbox)


def main() -> None:
    """Take those that are named, or all."""
    FOLDER.mkdir(exist_ok=True)
    named = sys.argv[1:] or list(SCENES)
    with studio() as taken:
        for name, scene in SCENES.items():
            if name in named:
                scene(taken)


if __name__ == "__main__":
    main()
