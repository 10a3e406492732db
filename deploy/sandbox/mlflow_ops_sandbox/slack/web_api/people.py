"""usergroups.*: who belongs together."""

from __future__ import annotations

from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.web_api.call import Call, method


@method("usergroups.users.list", tier="2", scope="usergroups:read")
def group_users(call: Call) -> Json:
    """List the members of a user group."""
    wanted = call.text("usergroup")
    for group in call.slack.workspace.usergroups:
        if group.id == wanted:
            return {"users": list(group.users)}
    raise SlackError("no_such_subteam")
