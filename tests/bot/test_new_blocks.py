"""A workspace that lacks a block gets the same content in older ones, at once and for a day; another one does not."""

import pytest

from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.client import words
from mlflow_ops_sandbox.slack.testing import example, serving
from tests.bot.sending import OPS, Sending
from workers.records import lacking
from workers.records.message import draft
from workers.rendering import message as render
from workers.report import Chart, Line, Report, Status, Table
from workers.wording import size

SETS = Table(
    title="Sets",
    columns=("id", "size"),
    rows=tuple((f"set-{number}", size(number << 20)) for number in range(1, 31)),
)
GROWTH = Chart(title="Growth", labels=("Mon", "Tue"), lines=(Line(name="size", values=(1.0, 2.0)),))


@pytest.fixture(scope="module")
def slack(tmp_path_factory):
    with serving(Workspace.from_json(example()), tmp_path_factory.mktemp("slack")) as slack:
        yield slack


@pytest.fixture
def sending(slack, redis):
    slack.sandbox.clear_faults()
    yield Sending.to(slack, redis)
    slack.sandbox.clear_faults()


def said(sending, *sections):
    """Ask, answer with these sections in the thread, and read what stands there."""
    record = sending.asked()
    sending.drain()
    report = Report(title="Backups", status=Status.OK, summary="30 sets", sections=sections)
    sending.outbox.push(record.id, *(draft("reply", each) for each in render.details(report)))
    sending.drain()
    vera = sending.slack.person("vera")
    return vera.thread(OPS, sending.records.get(record.id).root_ts)[1:]


def kinds(messages):
    return [block["type"] for message in messages for block in message["blocks"]]


def test_a_workspace_that_has_them_gets_slacks_own(sending):
    assert kinds(said(sending, SETS, GROWTH)) == ["data_table", "data_visualization"]


def test_one_that_lacks_a_block_gets_all_of_it_in_older_ones_and_is_asked_once_a_day(sending, redis):
    sending.slack.sandbox.lacks("data_table")
    calls = sending.slack.sandbox.calls()
    messages = said(sending, SETS)
    assert "data_table" not in kinds(messages)
    whole = "\n".join(map(words, messages))
    assert all(f"set-{number} " in whole for number in range(1, 31))
    assert redis.ttl(f"{lacking._LACKS}data_table") == pytest.approx(24 * 3600, abs=60)
    assert not redis.exists(f"{lacking._LACKS}data_visualization")

    asked = sending.slack.sandbox.calls()
    assert said(sending, SETS)
    again = sending.slack.sandbox.calls()
    first, second = (b["chat.postMessage"] - a["chat.postMessage"] for a, b in ((calls, asked), (asked, again)))
    assert second == first - 1, "the second time it is not offered what it does not take"
    assert kinds(said(sending, GROWTH)) == ["data_visualization"], "what it has, it gets"

    sending.slack.sandbox.clear_faults()
    redis.delete(f"{lacking._LACKS}data_table")
    assert kinds(said(sending, SETS)) == ["data_table"], "a day later it is tried again"


def test_a_refusal_for_another_reason_is_not_remembered(sending, redis):
    sending.slack.sandbox.refuse("invalid_blocks", "chat.postMessage", of="blocks", count=1)
    record = sending.asked()
    sending.drain()
    assert sending.records.get(record.id).root_ts
    assert not redis.keys(f"{lacking._LACKS}*"), "there was none of the new blocks in it"
