"""Random reports by a seed, as nasty as what operations may find, in which every cell bears a word of its own."""

import random
from itertools import count

from workers.report import Chart, Check, Facts, Line, Links, Report, Status, Table, Text
from workers.wording import NOTHING, Figure, Linked, duration, size

NASTY = (
    "<!channel>", "<@U012AB3CD>", "`rm -rf`", "*bold* _it_ ~no~", "```", "<https://x|y>", "é😀\u202e", "&lt;!here&gt;",
    "漢字" * 20, "line\nbreak\ttab", "\x00\x1b[31m", "", "-", "1,234", "nan", "1e400", "a" * 300,
)  # fmt: skip


class Made:
    """A report, and the words that must be found in what is said of it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self._number = count(1)
        self.words = []
        self.report = self._report()

    def _word(self):
        word = f"w{next(self._number)}w"
        self.words.append(word)
        return word

    def _text(self, longest=3):
        chosen = self.random.choices(NASTY, k=self.random.randint(0, longest))
        return " ".join([*chosen, self._word()])

    def _cell(self, kind):  # noqa: PLR0911 - a kind each
        value = self.random.choice([0, 1, -3, 10**15, 2.5, 1e-9, float("inf"), 123456])
        match kind:
            case "size":
                return size(abs(value) if value != float("inf") else 7)
            case "duration":
                return duration(self.random.random() * 10 ** self.random.randint(0, 6))
            case "figure":
                return Figure(self._word(), value)
            case "link":
                return Linked(self._word(), "https://mlflow.example.com/#/experiments/1")
            case "nothing":
                return self.random.choice(["", NOTHING, " "])
            case "huge":
                return self._text() + " x" * self.random.randint(0, 6000)
            case _:
                return self._text()

    def _table(self):
        roll = self.random.random()
        rows = self.random.choice([0, 1, 3, 9, 12]) if roll < 0.98 else self.random.choice([40, 101, 250, 900])
        width = self.random.choice([1, 2, 4, 7]) if self.random.random() < 0.95 else self.random.choice([20, 21])
        kinds = self.random.choices(["text", "size", "duration", "figure", "link", "nothing"], k=width)
        if rows < 10 and self.random.random() < 0.05:
            kinds[0] = "huge"
        return Table(
            title=self._text(1) if self.random.random() < 0.5 else "",
            columns=tuple(self._word() if self.random.random() < 0.9 else " " for _ in range(width)),
            rows=tuple(tuple(self._cell(kind) for kind in kinds) for _ in range(rows)),
        )

    def _chart(self):
        shape = self.random.choice(["line", "bar", "area", "pie"])
        points = self.random.choice([1, 2, 5, 20, 21, 60])
        labels = tuple(f"{self.random.choice(NASTY)}{at}" for at in range(points))
        lines = tuple(
            Line(name=self.random.choice(NASTY), values=tuple(self._value() for _ in range(points)))
            for _ in range(self.random.choice([1, 1, 2, 6, 7]))
        )
        unit = self.random.choice(["number", "bytes", "seconds", "share"])
        title = " ".join(self.random.choices(NASTY, k=2))
        sight = self.random.random() < 0.2
        return Chart(title=title, shape=shape, labels=labels, lines=lines, unit=unit, in_sight=sight)

    def _value(self):
        return self.random.choice([None, 0.0, 1.5, -2.0, 1e12, self.random.random()])

    def _section(self):
        match self.random.randint(0, 5):
            case 0:
                return Facts(items=tuple((self._word(), self._text()) for _ in range(self.random.randint(0, 12))))
            case 1:
                return Links(items=((self._word(), f"https://x.example/{self._word()}"),))
            case 2:
                return Text(text=self._text(12), literal=self.random.random() < 0.5)
            case 3:
                return self._chart()
            case _:
                return self._table()

    def _check(self):
        return Check(
            name="a",
            title=self._word(),
            status=self.random.choice(list(Status)),
            figure=self._text(1),
            sentence=self._text(),
            look_further=self.random.choice(["", "kubectl get pods"]),
            details=tuple(self._section() for _ in range(self.random.randint(0, 2))),
        )

    def _report(self):
        return Report(
            title="Title",
            status=self.random.choice(list(Status)),
            summary="A summary",
            checks=tuple(self._check() for _ in range(self.random.choice([0, 0, 0, 1, 2, 12]))),
            sections=tuple(self._section() for _ in range(self.random.choice([0, 1, 1, 2, 3, 6]))),
            hints=tuple("health" for _ in range(self.random.randint(0, 2))),
        )
