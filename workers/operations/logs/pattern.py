"""A regular expression that somebody typed, which cannot hang the worker.

Python's `re` holds the interpreter until it has an answer, and for "(a+)+$" that may be never: no signal and no other
thread gets in. The `regex` package looks at the clock while it searches (`timeout=`,
https://pypi.org/project/regex/); a line gets LINE_SECONDS and all lines together ALL_SECONDS.
"""

from __future__ import annotations

import threading
import time
from typing import Final

import regex

from workers.errors import OperatorError

LINE_SECONDS: Final = 0.25
ALL_SECONDS: Final = 30.0
CHARACTERS: Final = 500
"""A longer expression is a paste by mistake."""


class Pattern:
    """Finds itself in lines, without regard to case unless it holds a capital letter. Safe for threads."""

    def __init__(self, expression: str, *, all_seconds: float = ALL_SECONDS) -> None:
        """Raises OperatorError where it is no regular expression."""
        if len(expression) > CHARACTERS:
            message = f"The regular expression is {len(expression):,} characters long; the limit is {CHARACTERS}."
            raise OperatorError(message, "Search for a shorter one.")
        ignore = 0 if any(letter.isupper() for letter in expression) else regex.IGNORECASE
        try:
            self._compiled = regex.compile(expression, ignore)
        except (regex.error, RecursionError, OverflowError, ValueError) as error:
            reason = str(error).split(" at position")[0] or "it is nested too deeply"
            message = f"“{expression[:60]}” is not a regular expression: {reason}."
            raise OperatorError(
                message, r"Put a backslash before ( ) [ ] { } * + ? . ^ $ | where you mean them."
            ) from None
        self._expression = expression
        self._left = all_seconds
        self._lock = threading.Lock()

    def found(self, text: str) -> bool:
        """True where it is in the text. Raises OperatorError where that takes too long to find out."""
        if self._left <= 0:
            raise self._too_long()
        # Its own time only: other threads hold the interpreter in between.
        began = time.thread_time()
        try:
            return self._compiled.search(text, timeout=LINE_SECONDS) is not None
        except TimeoutError:
            raise self._too_long() from None
        except MemoryError:
            message = f"“{self._expression[:60]}” takes too much memory to search for."
            raise OperatorError(message, "Write it without a repetition within a repetition.") from None
        finally:
            with self._lock:
                self._left -= time.thread_time() - began

    def _too_long(self) -> OperatorError:
        return OperatorError(
            f"“{self._expression[:60]}” takes too long to search for.",
            "Write it without a repetition within a repetition, such as (a+)+, or narrow --since or --pod.",
        )
