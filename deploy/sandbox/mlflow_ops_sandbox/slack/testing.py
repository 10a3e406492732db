"""A local Slack inside a test: in a thread of its own, on a free port, gone at the end.

with serving(Workspace.from_json(example()), tmp_path) as slack:
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mlflow_ops_sandbox.slack.client import Sandbox, SlackPerson
from mlflow_ops_sandbox.slack.server import INSTALLATION, create_app
from mlflow_ops_sandbox.slack.state.installation import Timings

if TYPE_CHECKING:
    from pathlib import Path

    from slack_bolt import App

    from mlflow_ops_sandbox.slack.panel import Surroundings
    from mlflow_ops_sandbox.slack.state.workspace import Workspace

START = 10.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A local Slack that runs."""

    base_url: str
    workspace: Workspace
    sandbox: Sandbox

    @property
    def api(self) -> str:
        """Return the `base_url` for slack_sdk's WebClient."""
        return f"{self.base_url}/api/"

    def person(self, name: str) -> SlackPerson:
        """Return the client of the person with this name."""
        found = next(person for person in self.workspace.people if person.name == name)
        return SlackPerson(self.base_url, found.id)


@contextlib.contextmanager
def serving(  # noqa: PLR0913 - each is of use to some test
    workspace: Workspace,
    data: Path,
    *,
    port: int = 0,
    clock: Callable[[], float] = time.time,
    timings: Timings | None = None,
    surroundings: Surroundings | None = None,
) -> Iterator[Serving]:
    """Serve a local Slack until the block ends."""
    loop = asyncio.new_event_loop()
    app = create_app(workspace, data, clock=clock, timings=timings, surroundings=surroundings)
    runner = web.AppRunner(app, shutdown_timeout=0.2)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound: int = runner.addresses[0][1]
        runner.app[INSTALLATION].base_url = f"http://127.0.0.1:{bound}"
        return bound

    thread = threading.Thread(target=loop.run_forever, name="local Slack", daemon=True)
    thread.start()
    try:
        bound = asyncio.run_coroutine_threadsafe(start(), loop).result(START)
        base_url = f"http://127.0.0.1:{bound}"
        yield Serving(base_url, workspace, Sandbox(base_url))
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(START)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START)
        loop.close()


def bolt_app(slack: Serving) -> App:
    """Return a Bolt app that talks to the local Slack and has no listeners yet."""
    from slack_bolt import App
    from slack_sdk import WebClient

    tokens = slack.workspace.tokens
    return App(
        client=WebClient(token=tokens.bot, base_url=slack.api),
        signing_secret=tokens.signing_secret,
        token_verification_enabled=False,
    )


@contextlib.contextmanager
def connected(slack: Serving, app: App, *, ping_interval: float = 10) -> Iterator[None]:
    """Keep a Bolt app connected in Socket Mode until the block ends; it looks after its socket each interval."""
    from slack_bolt.adapter.socket_mode import SocketModeHandler

    handler = SocketModeHandler(app, slack.workspace.tokens.app, ping_interval=ping_interval)
    handler.connect()  # type: ignore[no-untyped-call]
    try:
        slack.sandbox.wait_until_connected()
        yield
    finally:
        # Its reader sits in recv() for up to three seconds; waking it spares each test that wait.
        session = handler.client.current_session
        if session is not None and session.sock is not None:
            with contextlib.suppress(OSError):
                session.sock.shutdown(socket.SHUT_RDWR)
        handler.close()  # type: ignore[no-untyped-call]


def example(**changed: Any) -> dict[str, Any]:
    """Return a small workspace as the JSON of a workspace file, with some fields changed."""
    people = (
        ("U0VERA", "vera", "Vera Lindqvist", "viewer"),
        ("U0OLEG", "oleg", "Oleg Brandt", "operator"),
        ("U0ANNA", "anna", "Anna Moreau", "approver"),
        ("U0ARUN", "arun", "Arun Mehta", "approver"),
    )
    suggestions = (
        ("health", "Is everything well?"),
        ("health database", "The database alone"),
        ("backup database", "Take a backup of the database now"),
        ("restore database latest", "Put the last backup in place, after approval"),
        ("scale 4", "Run four replicas"),
        ("help", "Everything that can be asked"),
    )
    return {
        "team": {"id": "T0SANDBOX", "name": "Example Data Platform"},
        "bot": {
            "user_id": "U0BOT",
            "bot_id": "B0BOT",
            "name": "mlflow_ops",
            "display": "mlflow-ops",
        },
        "tokens": {"bot": "xoxb-sandbox", "app": "xapp-sandbox", "signing_secret": "sandbox-secret"},
        "people": [
            {
                "id": user_id,
                "name": name,
                "real_name": real_name,
                "role_label": role,
                "email": f"{name}@example.com",
            }
            for user_id, name, real_name, role in people
        ],
        "channels": [
            {"id": "C0OPS", "name": "mlflow-ops", "topic": "Operating MLflow: ask with /mlflow"},
            {"id": "C0ALERTS", "name": "mlflow-alerts", "topic": "What Alertmanager has to say"},
            {"id": "C0GENERAL", "name": "general", "topic": "", "members": ["U0VERA", "U0OLEG"]},
        ],
        "usergroups": [
            {
                "id": "S0APPROVE",
                "handle": "mlflow-approvers",
                "name": "MLflow approvers",
                "users": ["U0ANNA", "U0ARUN"],
            }
        ],
        "commands": [
            {
                "command": "/mlflow",
                "description": "Operate MLflow",
                "usage_hint": "health | backup | restore | scale | help",
                "should_escape": True,
                "suggestions": [{"text": text, "help": helped} for text, helped in suggestions],
            }
        ],
        "mode": "socket",
        **changed,
    }
