"""The Web API: `POST /api/METHOD`, one module a family of methods.

`routes` makes the HTTP side; importing the family modules fills the table of methods.
"""

from mlflow_ops_sandbox.slack.web_api import app, chat, conversations, files, marks, people, views
from mlflow_ops_sandbox.slack.web_api.dispatch import routes

__all__ = ["app", "chat", "conversations", "files", "marks", "people", "routes", "views"]
