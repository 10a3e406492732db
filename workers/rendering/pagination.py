"""A long list by pages: what is on one, and the buttons to the next and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from workers.errors import OperatorError
from workers.report import Offer
from workers.wording import count

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """What is on one page. number: from 1. more: whether there is another behind it."""

    number: int
    size: int
    shown: list[T]
    more: bool

    @classmethod
    def of(cls, every: Iterable[T], number: int, size: int) -> Page[T]:
        """Reads no further than one beyond the page. Raises OperatorError for a page behind the last."""
        start = (number - 1) * size
        found = list(islice(every, start, start + size + 1))
        if not found and number > 1:
            raise OperatorError(f"There is no page {number}.", "Ask for an earlier one.")
        return cls(number, size, found[:size], more=len(found) > size)

    def summary(self, noun: str, about: str = "") -> str:
        """As in "7 experiments, all active." and "Experiments 21 to 40, all active; there are more."

        noun: of one. about: what is said of all of them.
        """
        if self.number == 1 and not self.more:
            return f"{count(len(self.shown), noun)}{about}."
        start = (self.number - 1) * self.size
        more = "; there are more" if self.more else "; these are the last"
        return f"{noun.capitalize()}s {start + 1:,} to {start + len(self.shown):,}{about}{more}."

    def hints(self, words: str) -> tuple[str, ...]:
        """The command of the next page, where there is one. words: the command of the first page."""
        return (f"{words} --page {self.number + 1}",) if self.more else ()

    def offers(self, words: str) -> tuple[Offer, ...]:
        """Buttons to the next page and back. words: the command of the first page."""
        offers = [Offer(sentence="There are more.", label="Next page", command=each) for each in self.hints(words)]
        if self.number > 1:
            back = f" --page {self.number - 1}" if self.number > 2 else ""  # noqa: PLR2004 - the first needs no number
            offers.append(Offer(sentence="The page before this one.", label="Previous page", command=f"{words}{back}"))
        return tuple(offers)
