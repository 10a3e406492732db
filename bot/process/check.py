"""Slack: are the tokens good, and has the app the scopes that it uses. Packages that add commands: are they whole."""

from __future__ import annotations

from typing import Any, Final

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.client import web_client
from commands import grammar
from workers.operations.health import root_cause
from workers.report import Check, Facts, Report, Status, verdict
from workers.settings import Settings, SettingsError
from workers.wording import count

SCOPES: Final = {
    "commands": "/mlflow",
    "chat:write": "answers",
    "pins:write": "maintenance: its notice",
    "channels:history": "finding out whether a message arrived",
    "groups:history": "the same in private channels",
    "files:write": "long details as files",
    "im:history": "finding out whether a direct message arrived",
    "im:write": "the same",
    "usergroups:read": "roles by user group",
    "users:read": "telling guests and people from outside from full members",
}
"""Bot token scopes (https://docs.slack.dev/reference/scopes), and what each is for."""
_LOOK: Final = "https://api.slack.com/apps"


def added(report: Report, settings: Settings) -> Report:
    """The report with Slack's check in its place, and that of added commands if there are any, worst first."""
    ours = (ask(settings), *extensions())
    checks = tuple(sorted((*report.checks, *ours), key=lambda check: -check.status.severity))
    return report.model_copy(
        update={"checks": checks, "status": verdict(checks), "summary": root_cause.summary(checks)}
    )


def extensions() -> tuple[Check, ...]:
    """Whether each installed package that adds commands could be loaded; nothing if there is none."""
    found = grammar.load().extensions
    if not found:
        return ()
    broken = [f"{each.word} of {each.source} is left out. {each.problem}" for each in found if each.problem]
    sound = [f"{each.word} ({each.source})" for each in found if not each.problem]
    whole = f"Added: {', '.join(sound)}." if sound else "None of them is added."
    return (
        Check(
            name="extensions",
            title="Added commands",
            status=Status.FAIL if broken else Status.OK,
            figure=f"{len(broken)} broken" if broken else count(len(sound), "package"),
            sentence=" ".join([*broken, whole]),
        ),
    )


def ask(settings: Settings) -> Check:
    """Ask Slack who we are and what we may."""
    try:
        client = web_client(settings)
    except SettingsError as error:
        return _check(Status.UNKNOWN, str(error), "not configured")
    try:
        answer: Any = client.auth_test()
        scopes = {scope.strip() for scope in str(answer.headers.get("x-oauth-scopes", "")).split(",")} - {""}
        socket = _socket_mode(client, settings)
    except SlackApiError as error:
        why = error.response.get("error")
        return _check(Status.FAIL, f"Slack refuses the token: {why}. Install the app again and copy its tokens.")
    except OSError as error:
        return _check(Status.FAIL, f"Slack cannot be reached: {type(error).__name__}. Check the way out to slack.com.")
    details = Facts(
        items=(
            ("workspace", str(answer["team"])),
            ("bot", str(answer["user"])),
            ("Socket Mode", socket),
            ("scopes", ", ".join(sorted(scopes)) or "not told"),
        )
    )
    missing = [scope for scope in SCOPES if scope not in scopes] if scopes else []
    if missing:
        named = ", ".join(f"{scope} (for {SCOPES[scope]})" for scope in missing)
        sentence = f"The app lacks {named}: add them under OAuth & Permissions and install it again."
        return _check(Status.FAIL, sentence, f"{len(missing)} missing", details)
    return _check(Status.OK, f"The tokens are good; the app has every scope that it uses ({len(SCOPES)}).", "", details)


def _socket_mode(client: WebClient, settings: Settings) -> str:
    token = settings.environment.slack_app_token
    if token is None:
        return "SLACK_APP_TOKEN is not set"
    client.apps_connections_open(app_token=token.get_secret_value())
    return "the app-level token opens connections"


def _check(status: Status, sentence: str, figure: str = "", details: Facts | None = None) -> Check:
    return Check(
        name="slack",
        title="Slack",
        status=status,
        figure=figure,
        sentence=sentence,
        look_further=_LOOK,
        details=(details,) if details else (),
    )
