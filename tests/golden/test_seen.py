"""What people see of each command, in Slack, in older blocks and in a terminal: a file each, read in review.

After a change of words that is meant: pytest tests/golden/test_seen.py --renew-golden (see test_said.py, too).
"""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from bot import slash
from commands import grammar, policy
from tests.golden import kept
from tests.golden.cases import MISTYPED
from workers.operation import Plan
from workers.records.record import Phase, Record
from workers.rendering import dry_run, forms, limits, proposals
from workers.rendering import message as render
from workers.rendering.terminal import to_terminal
from workers.report import Report
from workers.settings import Ops

SEEN = Path(__file__).parent / "seen"
OLGA = "U07OLGA0001"
AT = 1_796_000_000.0
PEOPLE = {"viewer": "U07VERA0004", "operator": OLGA, "approver": "U07ADA00003"}
ROLES = {role: {"users": [user]} for role, user in PEOPLE.items()}
OPS = Ops.model_validate({"channels": ["C07OPS00001"], "roles": ROLES})
NOT_ALLOWED = {
    "not-allowed-viewer": (PEOPLE["viewer"], "C07OPS00001", "scale 3"),
    "not-allowed-stranger": ("U07EVE00009", "C07OPS00001", "health"),
    "not-allowed-here": (OLGA, "C07RANDOM01", "health"),
    "not-allowed-break-glass": (OLGA, "C07OPS00001", 'restore database latest --break-glass "no one is awake"'),
}
SAID = sorted(file.stem for file in kept.SAID.glob("*.json"))


def slug(words):
    return "mistyped-" + re.sub(r"\W+", "-", words).strip("-").lower()


@pytest.fixture
def golden(golden_in):
    """Compare with a file; with the flag, write it."""
    return golden_in(SEEN)


def as_seen(message):
    assert not limits.refused(message.blocks)
    if message.filename:
        return {"file": message.filename, "text": message.text, "content": message.content.splitlines()[: kept.LINES]}
    older = [each.blocks for each in forms.in_form(forms.OLDER, message.text, message.blocks)]
    return {"text": message.text, "blocks": message.blocks} | ({"older": older} if older != [message.blocks] else {})


def in_a_terminal(report):
    page = Console(file=io.StringIO(), width=100, color_system=None, highlight=False)
    to_terminal(report, page)
    return page.file.getvalue().splitlines()


def planned(plan, words):
    """Its proposal to approvers; where nobody is asked, as it starts."""
    asked = grammar.parse(words)
    about = {"operation": asked.name, "arguments": {}, "words": words, "requester": OLGA, "channel": "C07OPS00001"}
    if asked.gated(OPS):
        waits = {"phase": Phase.PENDING, "approvals": asked.approvers, "approvers": "<!subteam^S07APPROVERS>"}
    else:
        waits = {"phase": Phase.QUEUED}
    return proposals.proposal(plan, Record(**about, **waits, id="924942c97f", expires_at=AT + 1800, accepted_at=AT))


@pytest.mark.parametrize("name", SAID)
def test_what_a_command_says(golden, name):
    words, said = kept.read(name)
    if isinstance(said, Report):
        messages = [render.root(said, words, OLGA), *render.details(said)]
        terminal = in_a_terminal(said)
    elif isinstance(said, Plan):
        messages = [planned(said, words)]
        terminal = in_a_terminal(dry_run.report(said, do=f"mlflow-ops run '{words}' --yes-by NAME"))
    else:
        messages, terminal = [render.failed(words, OLGA, said.message, said.hint)], [str(said)]
    golden(name, {"slack": [as_seen(each) for each in messages], "terminal": terminal})


@pytest.mark.parametrize("words", MISTYPED)
def test_what_was_mistyped(golden, words):
    payload = {"user_id": OLGA, "channel_id": "C07OPS00001", "trigger_id": "1", "text": words}
    with pytest.raises(grammar.UsageError) as error:
        grammar.parse(words, program="mlflow-ops run")
    told = {"slack": slash.answer(payload, OPS, None, lambda _: frozenset())}
    golden(slug(words), told | {"terminal": f"{error.value}\n{error.value.usage}".splitlines()})


@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_who_may_not_is_told_who_may(golden, name):
    user, channel, words = NOT_ALLOWED[name]
    payload = {"user_id": user, "channel_id": channel, "trigger_id": "1", "text": words}
    refusal = slash.answer(payload, OPS, None, lambda _: frozenset())
    assert refusal
    assert policy.role_of(user, OPS, lambda _: frozenset()) in {None, *PEOPLE}
    golden(name, {"slack": refusal})


def test_no_file_is_left_over():
    assert {file.stem for file in SEEN.iterdir()} == {*SAID, *map(slug, MISTYPED), *NOT_ALLOWED}
