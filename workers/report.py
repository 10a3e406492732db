"""What an operation found, as data: Report and what it is made of.

A report knows neither Slack nor a terminal; how it looks is `workers.rendering`'s.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WrapValidator, model_validator

from workers.wording import Figure, Linked, Unit


class Status(StrEnum):
    """The answer to one health question, and the verdict over several."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"

    @property
    def severity(self) -> int:
        """0 for ok, rising to 3 for fail; reports show the highest first."""
        return _SEVERITY[self]


_SEVERITY = {Status.OK: 0, Status.UNKNOWN: 1, Status.WARN: 2, Status.FAIL: 3}


class Data(BaseModel):
    """A value that does not change and has no field that it was not given."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _as_it_is(said: Any, read: Any) -> Any:
    """A Figure stays one, and what leads somewhere: pydantic would make a plain text of it."""
    return said if isinstance(said, (Figure, Linked)) else read(said)


Said = Annotated[str, WrapValidator(_as_it_is)]
"""What a person reads. A Figure (`workers.wording`) keeps what it stands for, for those who read data; a plan that was
kept in Redis has its words alone.
"""


class Facts(Data):
    """Names and values, in the order in which they are to be read."""

    kind: Literal["facts"] = "facts"
    title: str = ""
    items: tuple[tuple[str, Said], ...]


class Table(Data):
    """Rows of equal length under their columns. `numeric` names the columns to align right.

    by: the column whose cells are what a row is called by elsewhere; by default `id`, else the first one. spare: the
    columns that a narrow window does without, the first one first; then go those on the right. screenful: as many rows
    are enough for a message, because a file has all; 0: all of them.
    """

    kind: Literal["table"] = "table"
    title: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[Said, ...], ...]
    numeric: tuple[str, ...] = ()
    by: str = ""
    spare: tuple[str, ...] = ()
    screenful: int = 0

    @property
    def identity(self) -> int:
        """The place of the column that says which row it is."""
        named = self.by or "id"
        return self.columns.index(named) if named in self.columns else 0


class Text(Data):
    """A paragraph, or with `literal` a block of output that keeps its line breaks (a log, a traceback)."""

    kind: Literal["text"] = "text"
    title: str = ""
    text: str
    literal: bool = False


class Links(Data):
    """Places to go to: what each is called, and its address."""

    kind: Literal["links"] = "links"
    title: str = ""
    items: tuple[tuple[str, str], ...]


class Line(Data):
    """Values of a chart, one for each of its labels. None: there is none."""

    name: str
    values: tuple[float | None, ...]


class Chart(Data):
    """Figures to be seen. shape: a pie has one line. labels: what the values are of, in order. unit: what they are
    counted in. note: what a value stands for, where that is not what was measured itself. in_sight: it stands in the
    channel, with the answer.
    """

    kind: Literal["chart"] = "chart"
    title: str
    shape: Literal["line", "area", "bar", "pie"] = "line"
    labels: tuple[str, ...]
    lines: tuple[Line, ...]
    unit: Unit = "number"
    note: str = ""
    in_sight: bool = False


Section = Facts | Table | Text | Links | Chart


PICTURE_CHARACTERS = 1 << 20
"""A picture's base64 waits in Redis until Slack has it."""


class Attachment(Data):
    """A file that goes with a report or a plan. filename: with its ending; content: text, or with `alt`, the words for
    who does not see it, a picture in base64. in_sight: it stands in the channel below the report, not in its thread.
    printed: it is what was asked for, so a terminal prints it.
    """

    filename: str
    content: str
    alt: str = ""
    in_sight: bool = False
    printed: bool = False

    @model_validator(mode="after")
    def _picture_is_bounded(self) -> Attachment:
        if self.alt and len(self.content) > PICTURE_CHARACTERS:
            msg = f"{self.filename} is larger than a picture may be"
            raise ValueError(msg)
        return self


class Check(Data):
    """One health question and its answer.

    figure: the number that matters, ready to read ("2/2 ready"). sentence: what it means. look_further: the command
    for a shell that a person would type next; command: what to ask us, after /mlflow. figures: the same numbers for
    machines, base units (seconds, bytes). notes: what else is compared with yesterday and is no number: versions, kinds
    of errors.
    """

    name: str
    title: str
    status: Status
    figure: str = ""
    sentence: str
    look_further: str = ""
    command: str = ""
    details: tuple[Section, ...] = ()
    figures: dict[str, float] = Field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    took_seconds: float = 0.0


class Offer(Data):
    """Something for a person to do, with a button. sentence: what and why; label: the button's; command: what it asks
    for, as it would be typed after `/mlflow`, in the name of whoever presses it; or url: where it leads.
    """

    sentence: str
    label: str
    command: str = ""
    url: str = ""


class Lead(Data):
    """A line of a report that is read as one message: its name, what it says, and who did it (as in a record).

    called: what those people are called, for where nobody can be mentioned.
    """

    name: str = ""
    text: str = ""
    by: tuple[str, ...] = ()
    called: tuple[str, ...] = ()


class Report(Data):
    """The result of an operation as data.

    status: the verdict. summary: the one sentence that stands alone. checks and sections: what it rests on.
    hints: commands that make sense next, as they would be typed after `/mlflow`. undo: the one that goes back.
    attachments: files for its thread.
    lead: lines under the headline, for a report that is read as one message.
    offers: what a person may do now, with a button each.
    pinned: it is to stay in sight, as a pin of its channel.
    """

    title: str
    status: Status
    summary: str
    checks: tuple[Check, ...] = ()
    sections: tuple[Section, ...] = ()
    hints: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    lead: tuple[Lead, ...] = ()
    offers: tuple[Offer, ...] = ()
    undo: str = ""
    pinned: bool = False
    took_seconds: float = 0.0


def verdict(checks: tuple[Check, ...]) -> Status:
    """The most severe status among checks; unknown where there are none."""
    return max((check.status for check in checks), key=lambda s: s.severity, default=Status.UNKNOWN)
