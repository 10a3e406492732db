"""Every way in asks the same who somebody is: guests, people from outside, bots and deactivated people get nothing."""

import uuid

import pytest
from slack_sdk import WebClient

from bot import slash
from bot.buttons import Buttons
from bot.directory import Directory
from bot.home import page
from bot.home.events import Home
from bot.modals import any_command, denial, restore
from bot.modals.asking import Asking
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving
from tests.bot.test_directory import OURS, STRANGERS
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.settings import Ops

OPS = Ops.model_validate({"channels": ["C0OPS"], "roles": {"viewer": {"users": ["*"]}, "admin": {"users": ["U0ADA"]}}})


@pytest.fixture(scope="module")
def slack(tmp_path_factory):
    people = [{"id": user, "name": user.lower(), "user": told} for user, told in (STRANGERS | OURS).items()]
    space = Workspace.from_json(example(people=[*example()["people"], *people]))
    with serving(space, tmp_path_factory.mktemp("slack")) as slack:
        yield slack


@pytest.fixture(scope="module")
def members(slack):
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api, retry_handlers=[])
    return Directory(client, []).members


class Ways:
    """What somebody is told who comes by each way; empty where they are let in."""

    def __init__(self, slack, redis, members):
        client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api, retry_handlers=[])
        self.records, self.members, self.said = Records(redis), members, []
        self.buttons = Buttons(OPS, redis, members, client)
        self.home = Home(OPS, redis, members, client)
        self.asking = Asking(OPS, self.records, members, client)
        about = {"operation": "health", "arguments": {}, "words": "health", "requester": "U0ADA", "channel": "C0OPS"}
        self.record = Record(**about)
        self.records.begin_here(self.record)
        self.records.finish(self.record.id, Ending(Phase.DONE, "well"))

    def ack(self, **told):
        self.said.append(str(told.get("errors") or ""))

    def a_command(self, user):
        asked = {"user_id": user, "channel_id": "C0OPS", "text": "health", "trigger_id": uuid.uuid4().hex}
        return slash.answer(asked, OPS, self.records, self.members)

    def a_button(self, user):
        action = {"action_id": "again", "value": self.record.id}
        body = {"user": {"id": user}, "channel": {"id": "C0OPS"}, "actions": [action], "trigger_id": uuid.uuid4().hex}
        return self.buttons._pressed(self.buttons.again, body)

    def a_button_at_home(self, user):
        return self.home._asked(user, "health", "", uuid.uuid4().hex)

    def a_window_at_home(self, user):
        values = {any_command.WORDS: {any_command.WORDS: {"value": "health"}}}
        view = {"id": uuid.uuid4().hex, "private_metadata": "C0OPS", "state": {"values": values}}
        self.home.submitted(self.ack, {"user": {"id": user}, "view": view})
        return self.said[-1]

    def the_window_of_restore(self, user):
        chosen = {"what": {"what": {"selected_option": {"value": "database"}}}}
        values = chosen | {"set": {"set": {"value": ""}}, "name": {"name": {"value": ""}}}
        view = {"id": uuid.uuid4().hex, "private_metadata": '{"channel": "C0OPS"}', "state": {"values": values}}
        self.asking.submitted(restore.FORM, self.ack, {"user": {"id": user}, "view": view})
        return self.said[-1]

    def the_home(self, user):
        return page.Person(user, OPS, self.members).stranger()


WAYS = [name for name in vars(Ways) if name.startswith(("a_", "the_"))]


@pytest.mark.parametrize("way", WAYS)
def test_who_is_nobody_gets_nothing(slack, redis, members, way):
    ways = Ways(slack, redis, members)
    for user in STRANGERS:
        assert "You have no role in ops.yaml" in getattr(ways, way)(user), user
    assert ways.records.open() == []


@pytest.mark.parametrize("way", WAYS)
def test_who_is_one_of_us_may_look_and_no_more(slack, redis, members, way):
    ways = Ways(slack, redis, members)
    for user in OURS:
        said = getattr(ways, way)(user)
        if way == "the_window_of_restore":
            assert "operator role" in said
        else:
            assert said == "", user


def test_a_denial_by_somebody_who_is_nobody_decides_nothing_and_says_so(slack, redis, members):
    ways = Ways(slack, redis, members)
    told = []
    ways.buttons._tell = lambda record, user, text: told.append((user, text))
    view = {"private_metadata": ways.record.id, "callback_id": denial.CALLBACK, "state": {"values": {}}}
    ways.buttons.denied(ways.ack, {"user": {"id": "U0MULTI"}, "view": view})
    ((user, text),) = told
    assert user == "U0MULTI"
    assert "You have no role" in text
