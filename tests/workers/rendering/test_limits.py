"""Whatever a report holds, Slack takes its messages, and each of its words is found in them: in blocks or in a file."""

import json
import re

import pytest

from mlflow_ops_sandbox.slack.blocks import content
from mlflow_ops_sandbox.slack.errors import SlackError
from tests.workers.rendering.random_reports import Made
from workers.rendering import forms, limits
from workers.rendering import message as render

FEW, MANY = range(100), 10_000


def said(messages):
    """Everything that can be read, without blanks."""
    whole = "".join(json.dumps(message.blocks, ensure_ascii=False) + message.content for message in messages)
    return re.sub(r"\s|```|\\n", "", whole)


def not_taken(blocks):
    """By a workspace that has none of the new blocks."""
    return [*limits.refused(blocks), *(limits.NEW & {block["type"] for block in blocks})]


def looked_at(seeds):
    refused, lost, words = [], [], 0
    for seed in seeds:
        made = Made(seed)
        messages = [render.root(made.report, "health", "U0VERA"), *render.details(made.report)]
        for message in messages:
            wrong = limits.refused(message.blocks)
            try:
                content.read({"text": message.text, "blocks": message.blocks or None}, weighed=True)
            except SlackError as error:
                wrong.append(f"the local Slack: {error.error} {error.extra}")
            if wrong:
                refused.append((seed, wrong[:3]))
            for form in range(forms.OLDER, forms.ONE_LINE):
                others = forms.in_form(form, message.text, message.blocks)
                refused += [(seed, form, wrong) for other in others if (wrong := not_taken(other.blocks))]
        found = set(re.findall(r"w\d+w", said(messages)))
        words += len(made.words)
        lost += [(seed, word) for word in made.words if word not in found]
        older = set(re.findall(r"w\d+w", said(_older(messages))))
        lost += [(seed, "older", word) for word in found if word not in older]
    return refused, lost, words


def _older(messages):
    for message in messages:
        yield from [message] if message.filename else forms.in_form(forms.OLDER, message.text, message.blocks)


def test_random_reports_are_taken_whole():
    refused, lost, words = looked_at(FEW)
    assert words > len(FEW) * 10
    assert not refused, refused[:5]
    assert not lost, lost[:5]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("begin", range(0, MANY, 1000))
def test_ten_thousand_random_reports_are_taken_whole(begin):
    refused, lost, words = looked_at(range(begin, begin + 1000))
    assert words > 10_000
    assert not refused, refused[:5]
    assert not lost, lost[:5]
