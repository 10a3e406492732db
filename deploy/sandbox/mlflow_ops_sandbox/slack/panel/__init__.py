"""The "break something" panel: what can be broken around the bot, what is, and how it is healed.

`GET /sandbox/panel` tells every group with its things and their state; `POST /sandbox/panel` takes one order
`{"group", "thing", "action"}`; `POST /sandbox/panel/heal` mends all of it. Only what a group lists can be ordered: the
page names things and never addresses, so it reaches nothing that was not given to the server at its start.
"""

from mlflow_ops_sandbox.slack.panel.groups import Surroundings, groups
from mlflow_ops_sandbox.slack.panel.routes import routes

__all__ = ["Surroundings", "groups", "routes"]
