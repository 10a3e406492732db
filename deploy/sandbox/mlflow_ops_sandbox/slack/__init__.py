"""A Slack on this machine: Slack's protocols for apps, and a page for people.

`python -m mlflow_ops_sandbox.slack --port N --data DIR --workspace FILE` serves it; `create_app` gives the
same as an aiohttp application. Apps connect with Socket Mode or listen for HTTP requests, and use the
Web API under `/api/`; slack_sdk and slack_bolt work unchanged with `base_url="http://127.0.0.1:N/api/"`.
"""

from mlflow_ops_sandbox.slack.server import create_app
from mlflow_ops_sandbox.slack.state.installation import Timings
from mlflow_ops_sandbox.slack.state.workspace import Workspace, WorkspaceError

__all__ = ["Timings", "Workspace", "WorkspaceError", "create_app"]
