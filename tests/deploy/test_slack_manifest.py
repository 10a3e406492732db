"""The Slack app asks for the scopes of the methods that the code calls, and for no others."""

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml
from slack_sdk import WebClient

from bot import slash
from bot.process import check
from mlflow_ops_sandbox.parts import credentials, wiring
from mlflow_ops_sandbox.parts.folder import Folder
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example

ROOT = Path(__file__).parents[2]
HTTP_MANIFEST = yaml.safe_load((ROOT / "deploy" / "slack" / "manifest-http.yaml").read_text())
MANIFEST = yaml.safe_load((ROOT / "deploy" / "slack" / "manifest.yaml").read_text())
SCOPE_OF = {
    "apps_connections_open": [],
    "auth_test": [],
    "chat_delete": ["chat:write"],
    "chat_getPermalink": [],
    "chat_postEphemeral": ["chat:write"],
    "chat_postMessage": ["chat:write"],
    "chat_update": ["chat:write"],
    "conversations_history": ["channels:history", "groups:history"],
    "conversations_info": ["channels:read", "groups:read"],
    "conversations_members": ["channels:read", "groups:read"],
    "conversations_open": ["im:write", "im:history"],
    "conversations_replies": ["channels:history", "groups:history"],
    "files_completeUploadExternal": ["files:write"],
    "files_getUploadURLExternal": ["files:write"],
    "pins_add": ["pins:write"],
    "pins_remove": ["pins:write"],
    "reactions_add": ["reactions:write"],
    "usergroups_list": ["usergroups:read"],
    "usergroups_users_list": ["usergroups:read"],
    "users_info": ["users:read"],
    "views_open": [],
    "views_publish": [],
    "views_push": [],
    "views_update": [],
}
"""By method, what https://docs.slack.dev/reference/methods demands of a bot in public and private channels.

A direct message is chat.postMessage to a person's id, for which chat:write is enough; conversations.open is called to
read the history of one. apps.connections.open takes the
app-level token with connections:write, which no manifest can hold.
"""


def test_the_local_slack_escapes_what_slack_escapes(tmp_path):
    (registered,) = MANIFEST["features"]["slash_commands"]
    assert registered["should_escape"] is True
    (command,) = Workspace.from_json(example()).commands
    assert (command.command, command.should_escape) == (registered["command"], registered["should_escape"])
    (tmp_path / "slack").mkdir()
    wiring.write_workspace(Folder(tmp_path), credentials.load(tmp_path / "secrets.json"), [])
    (command,) = Workspace.load(tmp_path / "slack" / "workspace.json").commands
    assert (command.command, command.should_escape) == (registered["command"], registered["should_escape"])


METHODS = {name for name in dir(WebClient) if "_" in name.strip("_") and not name.startswith("_")} - {"api_call"}


def called(sources):
    """The Web API methods that the sources call."""
    return set().union(*map(called_in, sources))


@cache
def called_in(source):
    """Those that one source calls."""
    attributes = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert "api_call" not in attributes, "api_call hides which method is called: use the client's own method"
    return attributes & METHODS


def sources():
    return [file.read_text() for folder in ("bot", "commands", "workers") for file in (ROOT / folder).rglob("*.py")]


def needed(methods):
    return {scope for method in methods for scope in SCOPE_OF[method]} | {"commands"}


def test_the_scopes_are_those_of_the_methods_called():
    methods = called(sources())
    assert methods
    assert methods <= set(SCOPE_OF), "look the method's scopes up and add it to the table"
    assert set(MANIFEST["oauth_config"]["scopes"]["bot"]) == needed(methods)


def test_mlflow_ops_check_asks_for_the_same_scopes():
    assert set(check.SCOPES) == set(MANIFEST["oauth_config"]["scopes"]["bot"])


@pytest.mark.parametrize(
    ("source", "scopes"),
    [
        ("client.reactions_add(name='eyes')", {"reactions:write"}),
        ("self._client.conversations_info(channel=c)", {"channels:read", "groups:read"}),
    ],
)
def test_a_further_call_would_be_seen(source, scopes):
    more = needed(called([*sources(), source])) - set(MANIFEST["oauth_config"]["scopes"]["bot"])
    assert more == scopes


def test_a_scope_that_nothing_uses_would_be_seen():
    fewer = called(sources()) - {"pins_add", "pins_remove"}
    assert set(MANIFEST["oauth_config"]["scopes"]["bot"]) - needed(fewer) == {"pins:write"}


def test_the_manifest_for_http_has_the_bots_address_in_three_places_and_is_else_the_same():
    features, settings = HTTP_MANIFEST["features"], HTTP_MANIFEST["settings"]
    command, events, interactivity = (
        features["slash_commands"][0],
        settings["event_subscriptions"],
        settings["interactivity"],
    )
    addresses = {command.pop("url"), events.pop("request_url"), interactivity.pop("request_url")}
    assert len(addresses) == 1
    assert addresses.pop().endswith("/slack/events"), "where `mlflow-ops bot --http` listens"
    assert settings["socket_mode_enabled"] is False
    settings["socket_mode_enabled"] = True
    assert HTTP_MANIFEST == MANIFEST


def test_the_ways_in_are_on():
    settings, features = MANIFEST["settings"], MANIFEST["features"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"]["is_enabled"] is True
    assert settings["event_subscriptions"]["bot_events"] == ["app_home_opened"]
    assert features["app_home"]["home_tab_enabled"] is True
    assert features["app_home"]["messages_tab_enabled"] is True, "direct messages come there"
    assert [each["command"] for each in features["slash_commands"]] == [slash.COMMAND]
