"""Buttons from one page of a list to the next and back."""

from __future__ import annotations

from workers.report import Offer


def turns(words: str, page: int, *, more: bool) -> tuple[Offer, ...]:
    """words: the command of the first page. page: that is shown, from 1. more: whether there is another behind it."""
    offers = []
    if more:
        offers.append(Offer(sentence="There are more.", label="Next page", command=f"{words} --page {page + 1}"))
    if page > 1:
        back = f" --page {page - 1}" if page > 2 else ""  # noqa: PLR2004 - the first page needs no number
        offers.append(Offer(sentence="Back to what came before.", label="Page before", command=f"{words}{back}"))
    return tuple(offers)
