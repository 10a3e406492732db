"""Who is in a group and who is one of ours, as Slack says it; an error gives nobody a right and takes none for long."""

import pytest
from slack_sdk import WebClient

from bot.directory import FRESH_SECONDS, KEPT_SECONDS, Directory
from bot.slack_errors import KINDS, Kind
from commands import policy
from mlflow_ops_sandbox.slack.testing import example
from tests.bot.test_slack_errors import DOCUMENTED
from workers.settings import Ops

TEAM = example()["team"]["id"]
STRANGERS = {
    "U0MULTI": {"is_restricted": True},
    "U0SINGLE": {"is_restricted": True, "is_ultra_restricted": True},
    "U0CONNECT": {"team_id": "T0OTHER", "is_stranger": False},
    "U0STRANGER": {"team_id": "T0OTHER", "is_stranger": True},
    "U0ROBOT": {"is_bot": True},
    "U0WORKFLOW": {"is_workflow_bot": True},
    "U0GONE": {"deleted": True},
    "U0ORG": {"team_id": "E0ORG", "enterprise_user": {"enterprise_id": "E0ORG", "teams": ["T0SISTER"]}},
    "U0NOTEAM": {"team_id": None},
}
"""Guests, people of other workspaces and organizations, bots, deactivated people: by the fields of
https://docs.slack.dev/reference/objects/user-object.
"""
OURS = {
    "U0MEMBER": {},
    "U0OWNER": {"is_owner": True, "is_admin": True},
    "U0ORGMEMBER": {"team_id": "E0ORG", "enterprise_user": {"enterprise_id": "E0ORG", "teams": ["T0SISTER", TEAM]}},
    "U0ORGALONE": {"team_id": None, "enterprise_user": {"enterprise_id": "E0ORG", "teams": [TEAM]}},
}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def slack(local_slack):
    people = [{"id": user, "name": user.lower(), "user": told} for user, told in (STRANGERS | OURS).items()]
    with local_slack(people=[*example()["people"], *people]) as slack:
        yield slack


@pytest.fixture
def directory(slack, clock):
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api, retry_handlers=[], timeout=2)
    return Directory(client, ["S0APPROVE"], clock=clock)


def everybody(directory):
    return directory.members(policy.EVERYBODY)


@pytest.mark.parametrize("user", [*STRANGERS, "U0NOBODY"])
def test_who_is_nobody_unless_named(directory, user):
    assert user not in everybody(directory)


@pytest.mark.parametrize("user", OURS)
def test_who_is_a_full_member(directory, user):
    assert user in everybody(directory)


def test_slack_is_asked_once_for_a_while(directory, slack, clock):
    for _ in range(3):
        assert "U0MEMBER" in everybody(directory)
    assert slack.sandbox.calls()["users.info"] == 1
    clock.now += FRESH_SECONDS + 1
    assert "U0MEMBER" in everybody(directory)
    assert slack.sandbox.calls()["users.info"] == 2


@pytest.mark.parametrize("error", sorted(set(DOCUMENTED["users.info"])))
def test_no_error_makes_somebody_a_member(directory, slack, error):
    slack.sandbox.refuse(error, "users.info")
    if KINDS[error] is Kind.NOBODY:
        assert "U0MEMBER" not in everybody(directory)
        return
    with pytest.raises(policy.Unsure):
        assert "U0MEMBER" in everybody(directory)
    ops = Ops.model_validate({"channels": ["C0OPS"], "roles": {"viewer": {"users": ["*"]}}})
    assert error in policy.refusal_here("U0MEMBER", "C0OPS", ops, directory.members).sentence


def test_who_is_known_stays_known_while_slack_is_away_but_not_for_ever(directory, slack, clock):
    assert "U0MEMBER" in everybody(directory)
    slack.sandbox.away()
    clock.now += KEPT_SECONDS / 2
    assert "U0MEMBER" in everybody(directory)
    clock.now += KEPT_SECONDS
    with pytest.raises(policy.Unsure):
        assert "U0MEMBER" in everybody(directory)


@pytest.mark.parametrize("error", sorted(set(DOCUMENTED["usergroups.users.list"])))
def test_a_group_that_slack_refuses_to_tell_loses_its_members(directory, slack, clock, error):
    directory.refresh()
    assert directory.members("S0APPROVE") == {"U0ANNA", "U0ARUN"}
    slack.sandbox.refuse(error, "usergroups.users.list")
    clock.now += 600
    directory.refresh()
    kept = KINDS[error] in {Kind.WAIT, Kind.UNKNOWN}
    assert directory.members("S0APPROVE") == ({"U0ANNA", "U0ARUN"} if kept else frozenset())
    clock.now += KEPT_SECONDS
    directory.refresh()
    assert directory.members("S0APPROVE") == frozenset()
    slack.sandbox.clear_faults()
    directory.refresh()
    assert directory.members("S0APPROVE") == {"U0ANNA", "U0ARUN"}


def test_a_group_that_was_never_read_has_nobody(directory):
    assert "U0ANNA" not in directory.members("S0APPROVE")
    assert "U0ANNA" not in directory.members("S0UNHEARDOF")
