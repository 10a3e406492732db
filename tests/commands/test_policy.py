"""Roles: deny by default, and each refusal says who may."""

import re

import pytest

from commands import grammar, policy
from workers import registry
from workers.operation import Operation, Risk
from workers.settings import Ops, SettingsError

OPS = Ops.model_validate(
    {
        "channels": ["C0OPS"],
        "roles": {
            "viewer": {"users": ["U0VERA"]},
            "operator": {"users": ["U0OLA"]},
            "approver": {"groups": ["S0APPROVERS"]},
            "admin": {"users": ["U0ADA"]},
        },
    }
)


class Look(Operation):
    name = "test-look"
    risk = Risk.READ


class Turn(Operation):
    name = "test-turn"
    risk = Risk.CHANGE


class Destroy(Operation):
    name = "test-destroy"
    risk = Risk.DESTRUCTIVE


def members(group):
    return frozenset({"U0ANN", "U0BEN"}) if group == "S0APPROVERS" else frozenset()


def refused(user, operation, channel="C0OPS", ops=OPS):
    answer = policy.refusal(user, channel, operation, ops, members)
    return answer.sentence if answer else None


@pytest.mark.parametrize(
    ("user", "role"),
    [("U0VERA", "viewer"), ("U0OLA", "operator"), ("U0ANN", "approver"), ("U0ADA", "admin"), ("U0EVE", None)],
)
def test_the_highest_role_counts(user, role):
    assert policy.role_of(user, OPS, members) == role


def everybody_but(*others):
    class FullMembers:
        def __contains__(self, user):
            if user == "U0UNSURE":
                raise policy.Unsure("missing_scope")
            return user not in others

    return lambda group: FullMembers() if group == policy.EVERYBODY else members(group)


def test_everybody_means_the_workspaces_own_people_unless_somebody_is_named():
    ops = Ops.model_validate({"channels": ["C0OPS"], "roles": {"viewer": {"users": ["*", "U0GUEST"]}}})
    known = everybody_but("U0GUEST", "U0OTHER")
    roles = {user: policy.role_of(user, ops, known) for user in ("U0SOME", "U0GUEST", "U0OTHER")}
    assert roles == {"U0SOME": "viewer", "U0GUEST": "viewer", "U0OTHER": None}
    assert "no role" in policy.refusal_here("U0OTHER", "C0OPS", ops, known).sentence
    assert "users:read" in policy.refusal_here("U0UNSURE", "C0OPS", ops, known).sentence


@pytest.mark.parametrize(
    ("requester", "role"),
    [
        ("schedule:backup", "operator"),
        ("schedule:backup, due 01 Jan 03:00, late", "operator"),
        ("schedule:backup, try 2 of 3", "operator"),
        ("schedule:report", "viewer"),
        ("schedule:unheard-of", None),
        ("alert:MLflowDown", "viewer"),
        ("terminal:Ada", "admin"),
    ],
)
def test_who_stands_behind_what_no_person_asks_for(requester, role):
    told = {"channels": ["C0OPS"], "schedule": {"report": {"cron": "0 9 * * *", "command": "status", "role": "viewer"}}}
    assert policy.role_of(requester, Ops.model_validate(told), members) == role


def test_an_alert_may_ask_for_no_more_than_a_viewer():
    assert policy.lacks("alert:MLflowDown", Look(), OPS, members) is None
    for more in (Turn(), Destroy()):
        assert policy.lacks("alert:MLflowDown", more, OPS, members) is not None


@pytest.mark.parametrize("user", ["U0VERA", "U0OLA", "U0ANN", "U0ADA"])
def test_every_role_may_read(user):
    assert refused(user, Look()) is None


def test_a_viewer_may_not_change_and_is_told_who_may():
    assert refused("U0VERA", Turn()) == (
        "You need the operator role for Test turn. You're a viewer. "
        "Who has it: <@U0OLA>, <!subteam^S0APPROVERS>, <@U0ADA>."
    )


def test_an_operator_may_change_but_not_destroy():
    assert refused("U0OLA", Turn()) is None
    # May be asked for, and needs somebody else's approval then.
    assert refused("U0OLA", Destroy()) is None
    assert policy.approval(Destroy(), OPS).approvers == 1
    assert "need the operator role" in refused("U0VERA", Destroy())


def test_an_unknown_user_is_told_the_id_to_add():
    sentence = refused("U0EVE", Look())
    assert "You have no role" in sentence
    assert "U0EVE" in sentence


def test_another_channel_is_refused_and_the_right_one_named():
    sentence = refused("U0ADA", Look(), channel="C0RANDOM")
    assert sentence == "/mlflow is not allowed in this channel; use it in <#C0OPS>."


def test_without_settings_nobody_may_do_anything_anywhere():
    assert "not allowed in any channel" in refused("U0ADA", Look(), ops=Ops())


def test_everybody_may_view_where_ops_yaml_says_so():
    ops = Ops.model_validate({"channels": ["C0OPS"], "roles": {"viewer": {"users": ["*"]}}})
    known = everybody_but("U0GUEST")
    assert policy.refusal("U0EVE", "C0OPS", Look(), ops, known) is None
    assert "no one yet" in policy.refusal("U0EVE", "C0OPS", Turn(), ops, known).sentence
    guest = policy.refusal("U0GUEST", "C0OPS", Look(), ops, known).sentence
    assert "Who can read: every full member of this workspace." in guest


@pytest.mark.parametrize(
    ("ops", "said"),
    [
        ({"approvals": {"restrt": {}}}, "approvals.restrt is no operation; did you mean restart?"),
        ({"approvals": {"restore-databse": {}}}, "did you mean restore-database?"),
        ({"approvals": {"restor": {}}}, "did you mean restore?"),
        ({"approvals": {"wxyz": {}}}, "approvals.wxyz is no operation; known are "),
        (
            {"channels": ["C0OPS"], "approvals": {"restart": {"channel": "C0OSP"}}},
            "approvals.restart.channel is wrong: C0OSP is not listed under channels",
        ),
        ({"schedule": {"bakup": None}}, "did you mean backup?"),
        ({"limits": {"databse": "50Gi"}}, "limits.databse is no figure; did you mean database?"),
    ],
)
def test_a_name_that_there_is_not_stops_the_start(ops, said):
    with pytest.raises(SettingsError, match=re.escape(said)):
        policy.check(Ops.model_validate(ops))


def test_every_operation_and_chapter_may_be_named_and_what_the_documents_show_is_right():
    names = {name for name, kind in registry.operations().items() if kind.risk is not Risk.READ}
    chapters = {
        "restore",
        "runs",
        "experiments",
        "db",
        "cert",
        "config",
        "incident",
        "maintenance",
        "alerts",
        "schedule",
    }
    policy.check(Ops.model_validate({"approvals": {name: {"approvers": 2} for name in names | chapters}}))
    policy.check(Ops.model_validate({"schedule": {"backup": None}, "limits": {"database": "50Gi", "my.figure": 5}}))


def test_a_chapters_name_stands_for_all_its_operations():
    ops = Ops.model_validate(
        {"approvals": {"restore": {"approvers": 3}, "restore-run": {"approvers": 2}, "runs": {"approvers": 1}}}
    )

    def approvers(text):
        return policy.approval(grammar.parse(text), ops).approvers

    assert approvers("restore database") == approvers("restore undo") == approvers("restore all") == 3
    assert approvers("restore run 0b41f7d2") == 2
    assert approvers("runs tag 0b41 a=b") == 1
    assert approvers("runs search churn") == 0
    assert approvers("backup prune") == policy.approval(grammar.parse("backup prune"), Ops()).approvers


def test_an_operations_own_name_is_no_chapters():
    ops = Ops.model_validate({"approvals": {"backup": {"approvers": 0}}})
    assert policy.approval(grammar.parse("backup"), ops).approvers == 0
    assert policy.approval(grammar.parse("backup prune"), ops).approvers == 1


class Believing(Operation):
    name = "test-believing"
    risk = Risk.DESTRUCTIVE
    unsigned: bool = False


def test_what_is_not_signed_is_for_an_admin_who_breaks_the_glass():
    wanted = Believing(unsigned=True)
    for user in ("U0OLA", "U0ANN", "U0ADA"):
        assert "You need the admin role and --break-glass REASON for --unsigned" in refused(user, wanted)
    assert policy.refusal("U0OLA", "C0OPS", wanted, OPS, members, break_glass=True)
    assert policy.refusal("U0ADA", "C0OPS", wanted, OPS, members, break_glass=True) is None
    assert refused("U0OLA", Believing()) is None


def test_every_operation_that_believes_what_is_not_signed_asks_for_it_by_that_name():
    from workers import registry

    believing = {name for name, kind in registry.operations().items() if "unsigned" in kind.model_fields}
    assert {"drill", "recover", "restore-all", "restore-artifacts", "restore-config", "restore-database"} <= believing
