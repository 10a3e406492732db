"""What Slack made of what was typed is turned back, once, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.unescaping import unescaped
from mlflow_ops_sandbox.slack.delivery.escaping import escaped
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example

WORKSPACE = Workspace.from_json(example())


@pytest.mark.parametrize(
    ("delivered", "typed"),
    [
        ("see <http://minio:9000>", "see http://minio:9000"),
        ("see <https://x.example/a?b=1&amp;c=2|x.example>", "see https://x.example/a?b=1&c=2"),
        ("to <mailto:ops@example.com|ops@example.com>", "to ops@example.com"),
        ("call <tel:+4930123|+4930123>", "call +4930123"),
        ("ask <@U0ANNA|anna> now", "ask @anna now"),
        ("ask <@U0ANNA>", "ask @U0ANNA"),
        ("ask <@W0ANNA|anna>,", "ask @anna,"),
        ("audit --by <@U0ANNA|anna>", "audit --by U0ANNA"),
        ("audit --by=<@U0ANNA|anna>", "audit --by=U0ANNA"),
        ("audit \u2014by  <@U0ANNA|anna> --since 1d", "audit \u2014by  U0ANNA --since 1d"),
        ("in <#C0OPS|mlflow-ops>", "in #mlflow-ops"),
        ("in <#C0OPS|> and <#G0OPS>", "in #C0OPS and #G0OPS"),
        ("<!subteam^S0APPROVE|@mlflow-approvers> and <!subteam^S0APPROVE>", "@mlflow-approvers and @S0APPROVE"),
        ("<!here> <!channel|channel> <!everyone>", "@here @channel @everyone"),
        ("<!date^1392734382^{date}|18 Feb>", "18 Feb"),
        ("a &amp;lt; b", "a &lt; b"),
        ("a &lt; b &gt; c &amp; d", "a < b > c & d"),
        ("metrics.auc < 0.5 and metrics.f1 > 0.3", "metrics.auc < 0.5 and metrics.f1 > 0.3"),
        ("a <b> <c|d> <@anna> <#ops> <!x>", "a <b> <c|d> <@anna> <#ops> <!x>"),
        ("&nbsp; &amp &copy;", "&nbsp; &amp &copy;"),
    ],
)
def test_what_was_typed_comes_back(delivered, typed):
    assert unescaped(delivered) == typed


# What people type, without what Slack makes more of than it was: a bare domain gets a scheme.
typed = st.lists(
    st.sampled_from(
        ["a", "<", ">", "&", "&amp;", "&lt;", "<b>", "@anna", "@nobody", "#mlflow-ops", "#none", "http://x:1/a?b=1&c=<",
         "https://x.example/y", "ops@example.com", "@here", "<@U0ANNA>", "|", "it's", '"', " ", "=", "<http://x>"]
    ),
    max_size=12,
).map(" ".join)  # fmt: skip


@given(typed)
def test_whatever_is_typed_survives_the_way_through_slack(text):
    assert unescaped(escaped(text, WORKSPACE)) == text
