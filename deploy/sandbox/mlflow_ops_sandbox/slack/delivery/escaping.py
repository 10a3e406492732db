"""What Slack makes of the text after a slash command whose `should_escape` is set, before the app gets it.

Known people, channels and groups become <@U…|name>, <#C…|name> and <!subteam^S…|@handle>, addresses <https://…> (also
such as have no scheme: <http://example.com|example.com>), and all other &, < and > entities
(https://docs.slack.dev/interactivity/implementing-slash-commands).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.workspace import Workspace

_FOUND = re.compile(
    r"(?P<address>https?://[^\s<>|\"'`]*[^\s<>|\"'`.,;:!?])"
    r"|(?P<mail>(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<domain>(?<![\w@/.:-])(?:[a-z0-9-]+\.)+(?:com|org|net|io|dev|ai)(?![\w-])(?:[:/][^\s<>|\"'`]*)?)"
    r"|(?P<name>(?<!\w)[@#][\w.-]*\w)"
    r"|(?P<sign>[&<>])"
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: str, workspace: Workspace) -> str:
    """Return the text as Slack would send it to the app."""

    def written(found: re.Match[str]) -> str:
        match found.lastgroup:
            case "address":
                return f"<{_signs(found[0])}>"
            case "mail":
                return f"<mailto:{found[0]}|{found[0]}>"
            case "domain":
                return f"<http://{_signs(found[0])}|{_signs(found[0])}>"
            case "name":
                return _mention(found[0], workspace)
        return _ENTITIES[found[0]]

    return _FOUND.sub(written, text)


def _signs(text: str) -> str:
    return re.sub("[&<>]", lambda found: _ENTITIES[found[0]], text)


def _mention(typed: str, workspace: Workspace) -> str:
    name = typed[1:]
    if typed.startswith("#"):
        return next((f"<#{each.id}|{each.name}>" for each in workspace.channels if each.name == name), typed)
    person = next((f"<@{each.id}|{each.name}>" for each in workspace.people if each.name == name), "")
    group = next((f"<!subteam^{each.id}|@{name}>" for each in workspace.usergroups if each.handle == name), "")
    everybody = f"<!{name}>" if name in {"here", "channel", "everyone"} else ""
    return person or group or everybody or typed
