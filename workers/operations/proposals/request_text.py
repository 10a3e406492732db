"""What a pull request says: what would change, who asked for it and who approved, and with which command.

It is read by people who know nothing of Slack's thread, and it is Markdown: what comes from outside stands in code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workers.records.requester import BY_ALERT, BY_CLOCK, BY_TERMINAL

if TYPE_CHECKING:
    from workers.operation import Caller
    from workers.operations.deployment.proposal import Proposal

_TITLE: Final = 120


def title(what: Proposal) -> str:
    """The request's headline, and the commit's first line."""
    flat = " ".join(what.title.split())
    return flat if len(flat) <= _TITLE else f"{flat[: _TITLE - 1]}…"


def body(what: Proposal, caller: Caller | None, target: str) -> str:
    """The request's text. target: namespace and name of what is changed."""
    approved = ", ".join(f"Slack user `{user}`" for user in caller.approvers) if caller else ""
    then = (
        f"Once this is merged and {what.owner} has applied it, the thread in Slack says how the pods took it. "
        "Closing it changes nothing."
    )
    lines = [
        f"Changes `{what.path}` in `{what.file}` for `{target}`.",
        "",
        "**Plan**",
        *(f"- {_code(each)}" for each in what.told),
        "",
        f"**Asked for by** {_who(caller.requester) if caller else 'nobody who is known'}",
        f"**Approved by** {approved or 'nobody: it needed no approval'}",
        *(
            (f"**Operation** {_code(f'/mlflow {caller.words}')}, record `{caller.record_id}`",)
            if caller and caller.words
            else ()
        ),
        "",
        then,
    ]
    return "\n".join(lines).replace("\n**", "  \n**")


def commit(what: Proposal, caller: Caller | None) -> str:
    """The commit's message."""
    words = f"\n\nOperation: /mlflow {caller.words}\nRecord: {caller.record_id}" if caller and caller.words else ""
    return f"{title(what)}{words}"


def _who(requester: str) -> str:
    for prefix, kind in ((BY_ALERT, "the alert"), (BY_CLOCK, "the schedule"), (BY_TERMINAL, "in a terminal:")):
        if requester.startswith(prefix):
            return f"{kind} {_code(requester.removeprefix(prefix))}"
    return f"Slack user `{requester}`"


def _code(text: str) -> str:
    return f"`{re.sub(r'[`]', chr(39), ' '.join(text.split()))}`"
