"""views.*: modals, and each person's App Home tab."""

from __future__ import annotations

from mlflow_ops_sandbox.slack.delivery import interactivity
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.web_api.call import Call, method


@method("views.open", tier="4")
def opening(call: Call) -> Json:
    """Open a modal for whoever caused the trigger."""
    user = call.slack.triggers.exchange(call.text("trigger_id"))
    view = call.slack.modals.open(user, call.json("view"))
    interactivity.tell_modal(call.slack, user)
    return {"view": view}


@method("views.push", tier="4")
def push(call: Call) -> Json:
    """Open a modal on top of the open one."""
    user = call.slack.triggers.exchange(call.text("trigger_id"))
    view = call.slack.modals.push(user, call.json("view"))
    interactivity.tell_modal(call.slack, user)
    return {"view": view}


@method("views.update", tier="4")
def update(call: Call) -> Json:
    """Change an open modal."""
    view_id, external_id = call.optional("view_id"), call.optional("external_id")
    if not view_id and not external_id:
        raise InvalidArgumentsError("either `view_id` or `external_id` must be provided")
    user, view = call.slack.modals.update(
        call.json("view"),
        view_id=view_id,
        external_id=external_id,
        expected=call.optional("hash"),
    )
    interactivity.tell_modal(call.slack, user)
    return {"view": view}


@method("views.publish", tier="4")
def publish(call: Call) -> Json:
    """Publish a person's App Home tab; its view id stays the same for ever."""
    user = call.text("user_id")
    if call.slack.workspace.person(user) is None:
        raise InvalidArgumentsError("user_id is not a user of this workspace")
    before, expected = call.slack.store.home(user), call.optional("hash")
    if before and expected and expected != before["hash"]:
        raise SlackError("hash_conflict")
    view = call.slack.modals.made(call.json("view"), "home")
    if before:
        view["id"] = before["id"]
    view["root_view_id"] = view["id"]
    call.slack.store.put_home(user, view)
    call.slack.live.tell({"type": "home", "view": view}, only=user)
    return {"view": view}
