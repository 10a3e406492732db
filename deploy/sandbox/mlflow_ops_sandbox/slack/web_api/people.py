"""users.* and usergroups.*: who somebody is, and who belongs together."""

from __future__ import annotations

from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.web_api.call import Call, method

_NOTHING_OF = (
    *("deleted", "is_admin", "is_owner", "is_primary_owner", "is_restricted", "is_ultra_restricted"),
    *("is_bot", "is_app_user"),
)


@method("users.info", tier="4", scope="users:read")
def user_info(call: Call) -> Json:
    """Tell of one person: a member, a guest, somebody from outside."""
    workspace = call.slack.workspace
    person = workspace.person(call.text("user"))
    if person is None:
        raise SlackError("user_not_found")
    user: Json = {
        "id": person.id,
        "team_id": workspace.team.id,
        "name": person.name,
        "real_name": person.real_name,
        **dict.fromkeys(_NOTHING_OF, False),
        "profile": {"real_name": person.real_name, "team": workspace.team.id},
    }
    if workspace.team.enterprise_id:
        user["enterprise_user"] = {
            "id": person.id,
            "enterprise_id": workspace.team.enterprise_id,
            "teams": [workspace.team.id],
        }
    told = {**user, **person.user}
    return {"user": {name: value for name, value in told.items() if value is not None}}


@method("usergroups.users.list", tier="2", scope="usergroups:read")
def group_users(call: Call) -> Json:
    """List the members of a user group."""
    wanted = call.text("usergroup")
    for group in call.slack.workspace.usergroups:
        if group.id == wanted:
            return {"users": list(group.users)}
    raise SlackError("no_such_subteam")
