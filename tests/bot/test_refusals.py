"""What Slack refuses is said in another way: who asked always learns what came of it, and nothing is tried for ever.

`test_each_documented_refusal` goes through each documented error of each method that a command's messages need, and
compares what its author saw with refusals.tsv. To write that file anew: REFUSALS_ANEW=1.
"""

import json
import os
from pathlib import Path

import pytest

from bot.slack_errors import KINDS, Kind
from mlflow_ops_sandbox.slack.client import actions, wait_for, words
from mlflow_ops_sandbox.slack.state.installation import Timings
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving
from tests.bot.sending import OPS, Sending, text
from workers.records.message import Message, draft
from workers.records.record import Ending, Phase, Record
from workers.rendering import message as render
from workers.settings import Ops

HERE = Path(__file__).parent
DOCUMENTED = json.loads((HERE / "slack_errors.json").read_text())
GOLDEN = HERE / "refusals.tsv"
END, DETAILS, FILE = "all is well with it", "what is behind it", "line 7 of the file"
BUTTON = {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Undo"}}]}
BUTTON["elements"][0] |= {"action_id": "undo", "value": "x"}
OF = {
    Kind.CLOSED: "channel",
    Kind.THREAD: "reply",
    Kind.NOBODY: "channel",
    Kind.CONTENT: "channel",
    Kind.UNKNOWN: "channel",
}
"""Of which calls an error of this kind is Slack's answer."""
OF_BLOCKS = ("blocks", "attachment", "markdown")
METHODS = (
    "chat.postMessage",
    "chat.update",
    "chat.getPermalink",
    "pins.add",
    "files.getUploadURLExternal",
    "files.completeUploadExternal",
)


@pytest.fixture(scope="module")
def slack(tmp_path_factory):
    with serving(Workspace.from_json(example()), tmp_path_factory.mktemp("slack"), timings=Timings(share=0)) as slack:
        yield slack


@pytest.fixture
def sending(slack, redis):
    slack.sandbox.clear_faults()
    yield Sending.to(slack, redis, Ops.model_validate({"roles": {"admin": {"users": ["U0ARUN"]}}}))
    slack.sandbox.clear_faults()


def of(method, error):
    if any(each in error for each in OF_BLOCKS) and "update" not in error:
        return "blocks"
    if "metadata" in error and method == "chat.postMessage":
        return "metadata"
    return OF.get(KINDS.get(error, Kind.UNKNOWN), "") if method == "chat.postMessage" else ""


def ended(sending, record):
    """The command ends with all that an end can have."""
    content = "\n".join(f"line {number} of the file" for number in range(400))
    messages = (
        draft("edit", text(f"*{END}*", BUTTON)),
        draft("pin", text(END)),
        draft("reply", text(DETAILS)),
        draft("file", Message("all of it", [], "all.txt", content)),
    )
    return sending.records.finish(record.id, Ending(Phase.DONE, END, messages))


def saw(sending, record):
    """Where its author read the end, the details and the file."""
    wait_for(lambda: not sending.left() or None)
    root, *replies = sending.thread(record) or [None]
    alone = [each for each in sending.in_channel() if root is None or each["ts"] != root["ts"]]
    in_person = sending.in_person()

    def where(said):
        found = []
        if root and said in words(root):
            found.append("its message" if actions(root) or said != END else "its message, no buttons")
        found += ["thread" for each in replies if said in words(each)][:1]
        found += ["channel" for each in alone if said in words(each) and each.get("subtype") != "thread_broadcast"][:1]
        found += ["in person" for each in in_person if said in each][:1]
        return " + ".join(found)

    files = [file["name"] for each in replies for file in each.get("files", ())]
    as_file = "thread, a file" if files else ""
    pinned = "pinned" if root and root.get("pinned_to") else "not pinned"
    if pinned == "pinned":  # a channel has room for a hundred, and they all are pinned in one
        sending.client.pins_remove(channel=OPS, timestamp=root["ts"])
    return where(END), where(DETAILS), as_file or where(FILE), pinned


def refused(sending, method, error, **more):
    """A command in whose course Slack refuses each call of a method with an error; what its author saw."""
    sending.slack.sandbox.refuse(error, method, of(method, error), **more)
    record = sending.asked()
    took = sending.drain(at_most=400, seconds=600)
    assert ended(sending, record)
    took += sending.drain(at_most=400, seconds=600)
    sending.slack.sandbox.clear_faults()
    known = sending.records.get(record.id)
    assert (known.phase, known.outcome) == (Phase.DONE, END), "what Slack refuses is no failure of what was asked"
    return record, saw(sending, record), took


def refusals(methods=METHODS):
    return [(method, error) for method in methods for error in DOCUMENTED[method]]


def one_of_each_kind():
    found = {}
    for method, error in refusals():
        found.setdefault((method, KINDS[error], of(method, error)), (method, error))
    slow = pytest.mark.slow
    return [each if each[0].startswith("chat.") else pytest.param(*each, marks=slow) for each in found.values()]


def check(sending, method, error):
    kind = KINDS[error]
    passing = {"count": 3} if kind in {Kind.WAIT, Kind.OURS} else {}
    _, (end, details, file, pinned), took = refused(sending, method, error, **passing)
    assert end, "its author never learned what came of it"
    assert details, "the details are lost"
    assert file, "the file is lost, as text too"
    assert took < 300
    return (method, error, str(kind), end, details, file, pinned)


def golden():
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()[1:]
    return {tuple(line.split("\t")[:2]): tuple(line.split("\t")) for line in lines}


@pytest.mark.parametrize(("method", "error"), one_of_each_kind())
def test_one_refusal_of_each_kind(sending, method, error):
    assert check(sending, method, error) == golden()[method, error]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", METHODS)
def test_each_documented_refusal(sending, method):
    found = []
    for error in DOCUMENTED[method]:
        sending.begin_anew()
        found.append(check(sending, method, error))
    if "REFUSALS_ANEW" in os.environ:
        head = ("method", "error", "kind", "the end", "the details", "the file", "the pin")
        known = (golden() if GOLDEN.exists() else {}) | {line[:2]: line for line in found}
        lines = [head, *(known[each] for each in refusals() if each in known)]
        GOLDEN.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    assert found == [golden()[method, error] for error in DOCUMENTED[method]]


# Each of the ways that a message takes instead.


def test_in_a_closed_channel_who_asked_is_told_in_person_why_and_what_came_of_it(sending):
    _, (end, details, _, _), _ = refused(sending, "chat.postMessage", "restricted_action_read_only_channel")
    assert (end, details) == ("in person", "in person")
    why, *rest = sending.in_person()
    assert "read-only" in why
    assert "restricted_action_read_only_channel" in why
    assert "what comes of `/mlflow health`" in why
    assert END in rest[0]


def test_what_nobody_has_begun_ends_where_its_channel_is_closed(sending):
    sending.slack.sandbox.refuse("not_in_channel", "chat.postMessage", "channel")
    record = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel=OPS)
    sending.records.accept(record, record.id, render.asked(record.words, record.requester))
    sending.drain()
    known = sending.records.get(record.id)
    assert known.phase is Phase.FAILED
    assert known.outcome.startswith("Nothing was done")
    (told,) = sending.in_person()
    assert "Nothing was done for `/mlflow health`" in told
    assert "/invite" in told


def test_a_channel_that_closes_under_way_has_the_end_told_in_person(sending):
    record = sending.asked()
    sending.drain()
    for method, error in (("chat.postMessage", "is_archived"), ("chat.update", "is_inactive")):
        sending.slack.sandbox.refuse(error, method, "channel")
    sending.outbox.push(record.id, draft("edit", text("half done")))
    sending.drain()
    assert ended(sending, record)
    sending.drain()
    told = sending.in_person()
    assert any(END in each for each in told)
    assert any(DETAILS in each for each in told)
    assert not any("half done" in each for each in told), "how far it is, is not told in person"


def test_what_nobody_asked_for_runs_all_the_same_and_an_admin_is_told_of_its_failure(sending):
    sending.slack.sandbox.refuse("is_archived", "chat.*", "channel")
    record = sending.asked(requester="schedule:backup")
    sending.drain()
    assert sending.records.get(record.id).phase is Phase.QUEUED
    failed = draft("edit", text("the backup failed"))
    sending.records.finish(record.id, Ending(Phase.FAILED, "failed", (failed,)))
    sending.drain()
    (told,) = sending.in_person("U0ARUN")
    assert "the backup failed" in told
    assert "archived" in told


def test_a_locked_thread_is_gone_on_with_in_the_channel(sending):
    _, (end, details, _, _), _ = refused(sending, "chat.postMessage", "restricted_action_thread_locked")
    assert (end, details) == ("its message", "channel")


def test_a_message_that_cannot_be_edited_ends_in_its_thread_and_the_channel(sending):
    record, (end, *_), _ = refused(sending, "chat.update", "edit_window_closed")
    assert end == "thread"
    (reply,) = [each for each in sending.thread(record)[1:] if END in words(each)]
    assert reply["subtype"] == "thread_broadcast"
    assert actions(reply) == ["undo"]


def test_a_message_that_was_deleted_is_posted_anew(sending):
    record = sending.asked()
    sending.drain()
    root = sending.records.get(record.id).root_ts
    sending.slack.sandbox.refuse("message_not_found", "chat.update", count=1)
    ended(sending, record)
    sending.drain()
    assert sending.records.get(record.id).root_ts != root
    assert END in words(sending.thread(record)[0])


def many_blocks(number, size):
    return [{"type": "section", "text": {"type": "mrkdwn", "text": f"part {n} " + "x" * size}} for n in range(number)]


@pytest.mark.parametrize("size", [300, 2900])
def test_what_is_too_long_comes_in_pieces_and_keeps_its_buttons(sending, size):
    record = sending.asked()
    sending.drain()
    calls = sending.slack.sandbox.calls().get("chat.update", 0)
    end = draft("edit", Message("the end", [*many_blocks(45, size), BUTTON]))
    sending.records.finish(record.id, Ending(Phase.DONE, "the end", (end, draft("reply", text(DETAILS)))))
    sending.drain()
    root, *replies = sending.thread(record)
    assert "undo" in actions(root)
    assert sending.slack.sandbox.calls()["chat.update"] - calls == 1, "what is known to be too long is not tried"
    said = [line for each in (root, *replies) for line in words(each).splitlines() if line.startswith("part ")]
    numbers = list(dict.fromkeys(int(line.split()[1]) for line in said))
    assert numbers == list(range(45))
    assert DETAILS in words(replies[-1])


@pytest.mark.parametrize("error", ["invalid_blocks", "msg_blocks_too_long", "block_mismatch", "not_in_the_mood"])
@pytest.mark.parametrize("kind", ["root", "edit", "reply", "broadcast", "direct"])
def test_whatever_blocks_slack_refuses_all_of_the_words_arrive(sending, kind, error):
    record = sending.asked()
    if kind != "root":
        sending.drain()
    sending.slack.sandbox.refuse(error, "chat.*", "blocks")
    sending.outbox.push(record.id, draft("edit" if kind == "root" else kind, Message("short", many_blocks(5, 900))))
    sending.records.finish(record.id, Ending(Phase.DONE, "done"))
    sending.drain()
    seen = sending.thread(record) if kind != "direct" else []
    told = "\n".join([*map(words, seen), *(sending.in_person() if kind == "direct" else [])])
    assert all(f"part {number} " in told for number in range(5))


def test_pins_and_files_hold_up_no_words(sending):
    record = sending.asked()
    sending.drain()
    for method in ("pins.*", "files.*"):
        sending.slack.sandbox.fault("ratelimited", method, probability=1, retry_after=900)
    sending.outbox.push(record.id, draft("pin", text("x")), draft("file", Message("a file", [], "a.txt", "a")))
    sending.outbox.push(record.id, draft("reply", text("after the file")), draft("edit", text(END)))
    took = 0.0
    while not sending.slack.person("vera").find_reply(OPS, sending.records.get(record.id).root_ts, "after the file"):
        wait = sending.sender.step()
        sending.clock.now += wait
        took += wait
        assert took < 10, "the words wait for the file"
    sending.outbox.push(record.id, draft("reply", text("much later")))
    while not sending.slack.person("vera").find_reply(OPS, sending.records.get(record.id).root_ts, "much later"):
        wait = sending.sender.step()
        sending.clock.now += wait
        took += wait
        assert took < 10, "later words wait for the file"
    sending.slack.sandbox.clear_faults()
    sending.drain()
    root = sending.thread(record)[0]
    assert root["pinned_to"]
    person = sending.slack.person("vera")
    person.wait_for(lambda: [f for each in person.thread(OPS, root["ts"]) for f in each.get("files", ())] or None)


def test_a_pin_never_comes_after_the_end_of_what_it_pins(sending):
    record = sending.asked()
    sending.drain()
    sending.slack.sandbox.fault("ratelimited", "pins.add", count=1, retry_after=60)
    sending.outbox.push(record.id, draft("pin", text("x")))
    for _ in range(3):
        sending.clock.now += min(1.0, sending.sender.step())
    sending.outbox.push(record.id, draft("unpin", text("x")), draft("reply", text("over")))
    sending.drain()
    root, reply = sending.thread(record)
    assert not root.get("pinned_to")
    assert "over" in words(reply)


def test_a_file_without_a_clear_answer_is_there_once_though_slack_shares_it_late(sending):
    record = sending.asked()
    sending.drain()
    sending.outbox.push(record.id, draft("file", Message("the details", [], "details.txt", "line\n" * 100)))
    sending.slack.sandbox.fault("reset_after", method="files.completeUploadExternal", count=1)
    sending.drain()
    person, root = sending.slack.person("vera"), sending.records.get(record.id).root_ts
    found = person.wait_for(lambda: [each for each in person.thread(OPS, root) if each.get("files")] or None)
    assert len(found) == 1
    assert len([each for each in person.thread(OPS, root) if "details" in words(each)]) == 1


@pytest.mark.parametrize("fault", ["reset_after", "error_after"])
def test_a_direct_message_without_a_clear_answer_is_there_once(sending, fault):
    record = sending.asked()
    sending.drain()
    sending.slack.sandbox.fault(fault, method="chat.postMessage", count=1)
    sending.outbox.push(record.id, draft("direct", text("for you alone")))
    sending.drain()
    assert [each for each in sending.in_person() if "for you alone" in each] == sending.in_person()
    assert len(sending.in_person()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["conversations.replies", "conversations.history"])
def test_where_slack_does_not_let_us_look_a_message_is_posted_all_the_same(sending, method):
    for error in DOCUMENTED[method]:
        sending.begin_anew()
        record = sending.asked()
        if method == "conversations.replies":
            sending.drain()
            sending.outbox.push(record.id, draft("reply", text("a reply")))
        passing = {"count": 2} if KINDS[error] is Kind.WAIT else {}
        sending.slack.sandbox.refuse(error, method, **passing)
        sending.slack.sandbox.fault("reset_before", method="chat.postMessage", count=1)
        sending.drain(seconds=600)
        sending.slack.sandbox.clear_faults()
        said = "a reply" if method == "conversations.replies" else "asked by"
        assert [each for each in sending.thread(record) if said in words(each)], error


def test_a_message_to_a_group_reaches_each_member_but_who_asked(slack, redis):
    sending = Sending.to(slack, redis, members=lambda _group: frozenset({"U0ANNA", "U0ARUN", "U0OLEG"}))
    record = sending.asked(requester="U0OLEG")
    sending.outbox.push(record.id, draft("direct", text("please decide"), to="S0APPROVE"))
    sending.drain()
    got = {user: len(sending.in_person(user)) for user in ("U0ANNA", "U0ARUN", "U0OLEG")}
    assert got == {"U0ANNA": 1, "U0ARUN": 1, "U0OLEG": 0}
