"""A command's text arrives as Slack sends it where the app's manifest says should_escape."""

from __future__ import annotations

import pytest

from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.delivery.escaping import escaped
from mlflow_ops_sandbox.slack.testing import bolt_app, connected, example, serving


@pytest.mark.parametrize(
    ("typed", "delivered"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("<http://x>", "&lt;<http://x>&gt;"),
        ("k=http://minio:9000/a?b=1&c=2, so", "k=<http://minio:9000/a?b=1&amp;c=2>, so"),
        ("see example.com/a now", "see <http://example.com/a|example.com/a> now"),
        ("ops@example.com", "<mailto:ops@example.com|ops@example.com>"),
        ("--by @anna and @nobody", "--by <@U0ANNA|anna> and @nobody"),
        ("in #mlflow-ops, #none", "in <#C0OPS|mlflow-ops>, #none"),
        ("@mlflow-approvers @here", "<!subteam^S0APPROVE|@mlflow-approvers> <!here>"),
        ("v3.18.0 metrics.auc it's", "v3.18.0 metrics.auc it's"),
    ],
)
def test_what_is_typed_becomes_what_slack_sends(typed, delivered):
    assert escaped(typed, Workspace.from_json(example())) == delivered


@pytest.mark.parametrize("should_escape", [True, False])
def test_only_a_command_that_asks_for_it_is_escaped(tmp_path, should_escape):
    workspace = example()
    workspace["commands"][0]["should_escape"] = should_escape
    seen = []
    with serving(Workspace.from_json(workspace), tmp_path) as slack:
        app = bolt_app(slack)

        @app.command("/mlflow")
        def listen(ack, command):
            seen.append(command["text"])
            ack()

        with connected(slack, app):
            slack.person("oleg").command("C0OPS", "/mlflow tell @anna a < b")
    assert seen == ["tell <@U0ANNA|anna> a &lt; b" if should_escape else "tell @anna a < b"]
