"""users.* and usergroups.*: who there is, and who belongs together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.web_api.call import Call, method

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.workspace import Person, UserGroup


def described(call: Call, person: Person) -> Json:
    """Return a person as Slack describes them."""
    first, _, last = person.real_name.partition(" ")
    return {
        "id": person.id,
        "team_id": call.slack.workspace.team.id,
        "name": person.name,
        "deleted": False,
        "color": person.color.removeprefix("#"),
        "real_name": person.real_name,
        "tz": "Etc/UTC",
        "tz_label": "Coordinated Universal Time",
        "tz_offset": 0,
        "profile": {
            "title": person.role_label,
            "real_name": person.real_name,
            "real_name_normalized": person.real_name,
            "display_name": person.name,
            "display_name_normalized": person.name,
            "first_name": first,
            "last_name": last,
            "email": person.email,
            "team": call.slack.workspace.team.id,
        },
        "is_admin": False,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "is_bot": False,
        "is_app_user": False,
        "updated": 0,
    }


def bot_user(call: Call) -> Json:
    """Return the bot user as Slack describes it."""
    bot, team = call.slack.workspace.bot, call.slack.workspace.team
    return {
        "id": bot.user_id,
        "team_id": team.id,
        "name": bot.name,
        "deleted": False,
        "real_name": bot.display,
        "profile": {
            "real_name": bot.display,
            "display_name": bot.display,
            "api_app_id": bot.app_id,
            "bot_id": bot.bot_id,
            "team": team.id,
        },
        "is_bot": True,
        "is_app_user": False,
        "updated": 0,
    }


@method("users.info", tier="4", scope="users:read")
def info(call: Call) -> Json:
    """Describe one person, or the bot."""
    user = call.text("user")
    if user == call.slack.workspace.bot.user_id:
        return {"user": bot_user(call)}
    person = call.slack.workspace.person(user)
    if person is None:
        raise SlackError("user_not_found")
    return {"user": described(call, person)}


@method("users.list", tier="2", scope="users:read")
def listing(call: Call) -> Json:
    """Describe everybody, the bot last."""
    people = [described(call, person) for person in call.slack.workspace.people]
    return {
        "members": [*people, bot_user(call)],
        "cache_ts": int(call.slack.clock()),
        "response_metadata": {"next_cursor": ""},
    }


@method("users.lookupByEmail", scope="users:read.email")
def by_email(call: Call) -> Json:
    """Describe the person with an e-mail address."""
    email = call.text("email").lower()
    for person in call.slack.workspace.people:
        if person.email.lower() == email:
            return {"user": described(call, person)}
    raise SlackError("users_not_found")


@method("usergroups.list", tier="2", scope="usergroups:read")
def groups(call: Call) -> Json:
    """Describe every user group."""
    whole = call.flag("include_users")
    found = [_group(call, group, whole=whole) for group in call.slack.workspace.usergroups]
    return {"usergroups": found}


@method("usergroups.users.list", tier="2", scope="usergroups:read")
def group_users(call: Call) -> Json:
    """List the members of a user group."""
    wanted = call.text("usergroup")
    for group in call.slack.workspace.usergroups:
        if group.id == wanted:
            return {"users": list(group.users)}
    raise SlackError("no_such_subteam")


def _group(call: Call, group: UserGroup, *, whole: bool) -> Json:
    described_group: Json = {
        "id": group.id,
        "team_id": call.slack.workspace.team.id,
        "is_usergroup": True,
        "name": group.name,
        "handle": group.handle,
        "description": "",
        "is_external": False,
        "date_create": 0,
        "date_delete": 0,
        "user_count": len(group.users),
    }
    if whole:
        described_group["users"] = list(group.users)
    return described_group
