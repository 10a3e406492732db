"""How a group of alerts, and a crowd of them, reads in Slack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.records.message import Message
from workers.rendering import buttons
from workers.rendering.blocks import at, code, context, paragraphs, plain, short, whom
from workers.rendering.message import blocks_of
from workers.report import Links
from workers.wording import count, duration

if TYPE_CHECKING:
    from workers.operations.alerts.group import Crowd, Group, Silence
    from workers.records.record import Record

NAMES: Final = 8
_LABELS: Final = 12
_WHEN: Final = "{date_short_pretty} {time}"
_BELLS: Final = {"critical": ":rotating_light:", "error": ":rotating_light:", "info": ":information_source:"}


def group(told: Group, record: Record) -> Message:
    """The message of a group, as it is now. record: the message's, whose buttons it bears."""
    if told.over is not None:
        return _over(told)
    severity = f" · {plain(told.severity)}" if told.severity else ""
    bell = ":no_bell:" if told.silence else _BELLS.get(told.severity, ":warning:")
    lines = [f"{bell} *{plain(told.name)}*{severity} · {_counts(told)} since {at(told.began)}{_again(told)}"]
    lines += [plain(text) for text in (told.summary, told.description) if text]
    if told.silence:
        lines.append(_silenced(told.silence))
    if told.unheard_since is not None:
        lines.append(
            f":grey_question: Alertmanager has told nothing of it since {at(told.unheard_since, _WHEN)}: it may be "
            "over. With `send_resolved: false` its end isn't reported."
        )
    if told.labels:
        pairs = [(name, value) for name, value in told.labels.items() if name not in {"alertname", "severity"}]
        lines += [" ".join(code(f"{name}={value}") for name, value in pairs[:_LABELS])] if pairs else []
    lines += [f"• {code(what)} since {at(began)}" for what, began in told.shown if what]
    left = told.fires - len(told.shown)
    if left > 0 and any(what for what, _ in told.shown):
        lines.append(f"• and {left:,} more")
    blocks = paragraphs("\n".join(lines))
    links = tuple((label, url) for label, url in (("Runbook", told.runbook), ("Its query", told.source)) if _web(url))
    if links:
        blocks += blocks_of(Links(items=links))
    offered = [buttons.Button(buttons.offered(number), each.label) for number, each in enumerate(told.offers)]
    blocks.append(buttons.row(record, *offered, buttons.UNSILENCE if told.silence else buttons.SILENCE))
    blocks.append(context(f"alert group {code(told.id)} · {code(f'/mlflow alerts silence {told.id} --for 2h')}"))
    spoken = f"{told.name}{f' ({told.severity})' if told.severity else ''}: {_plain_counts(told)}. {told.summary}"
    return Message(text=short(spoken), blocks=blocks)


def _over(told: Group) -> Message:
    lasted = duration((told.over or told.began) - told.began)
    number = f" · {count(told.has_ended, 'alert')}" if told.has_ended > 1 else ""
    lines = [f":white_check_mark: *{plain(told.name)}* is resolved after {lasted}{number}"]
    lines += [plain(told.summary)] if told.summary else []
    lines.append(f"from {at(told.began)} to {at(told.over)}{_again(told)}")
    return Message(
        text=short(f"{told.name} is resolved after {lasted}"),
        blocks=[*paragraphs("\n".join(lines)), context(f"alert group {code(told.id)}")],
    )


def ended(told: Group) -> Message:
    """That it is over, for its thread."""
    lasted = duration((told.over or told.began) - told.began)
    return _reply(f":white_check_mark: Resolved after {lasted}.")


def again(told: Group) -> Message:
    """That it fires once more, for its thread."""
    return _reply(f":repeat: It fires again, for the {_ordinal(told.times)} time.")


def silenced(silence: Silence) -> Message:
    """That it was silenced, for its thread."""
    return _reply(f":no_bell: {_silenced(silence)}")


def unsilenced(by: str) -> Message:
    """That its silence was ended, for its thread."""
    return _reply(f":bell: The silence was ended{f' by {whom(by)}' if by else ''}.")


def crowd(told: Crowd) -> Message:
    """The message of a crowd, as it is now."""
    fires, groups = told.fires, count(told.groups, "group")
    names = sorted(told.names.items(), key=lambda each: (-each[1], each[0]))
    listed = ", ".join(f"{number:,} {code(name)}" for name, number in names[:NAMES])
    rest = f" and {len(names) - NAMES:,} more names" if len(names) > NAMES else ""
    if told.kind == "held":
        head = f":no_bell: Alarms held during this maintenance: {groups}, {count(fires, 'alert')} firing"
        foot = "What still fires when it ends gets a message of its own then."
    elif fires:
        head = f":cyclone: *Storm of alerts*: {count(fires, 'alert')} firing in {groups}"
        foot = "So many groups at once share this message; /mlflow health shows what they have in common."
    else:
        head = f":white_check_mark: The storm of alerts is over: all of {groups} resolved"
        foot = ""
    lines = [head, f"since {at(told.began)}, the latest at {at(told.latest)}", f"{listed}{rest}"]
    blocks = paragraphs("\n".join(lines))
    return Message(text=short(head.replace("*", "")), blocks=[*blocks, context(foot)] if foot else blocks)


def _reply(text: str) -> Message:
    return Message(text=short(text), blocks=paragraphs(text))


def _silenced(silence: Silence) -> str:
    why = f": {plain(silence.why)}" if silence.why else ""
    return f"Silenced until {at(silence.until)} by {whom(silence.by)}{why}"


def _counts(told: Group) -> str:
    return f"*{told.fires:,} firing*{f', {told.has_ended:,} resolved' if told.has_ended else ''}"


def _plain_counts(told: Group) -> str:
    return _counts(told).replace("*", "")


def _again(told: Group) -> str:
    return f" · for the {_ordinal(told.times)} time" if told.times > 1 else ""


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    teens = number % 100 in {11, 12, 13}
    return f"{number}{'th' if teens else endings.get(number % 10, 'th')}"


def _web(url: str) -> bool:
    return url.startswith(("https://", "http://"))
