"""One grammar for Slack, the terminal and the clock: what a command is made with, and what reads it.

`words` splits a line as people type it, `arranging` tells options from free text, `kinds` are what they may hold,
`making` makes commands, `tree` finds them, `reading` reads a line, `mistakes` says what is wrong with it. A command is
a click command made with `command(...)`, in any module of `commands`, whose function returns an Operation.
"""

from commands.grammar.kinds import Duration, FreePairs, FreeText, NameOf, OneOf, Whole
from commands.grammar.making import REASON_CHARACTERS, BreakGlass, change, command, group, group_that_acts
from commands.grammar.mistakes import UsageError
from commands.grammar.reading import MAX_CHARACTERS, Help, parse, recorded
from commands.grammar.tree import CHAPTERS, load, suggestions

__all__ = [
    "CHAPTERS",
    "MAX_CHARACTERS",
    "REASON_CHARACTERS",
    "BreakGlass",
    "Duration",
    "FreePairs",
    "FreeText",
    "Help",
    "NameOf",
    "OneOf",
    "UsageError",
    "Whole",
    "change",
    "command",
    "group",
    "group_that_acts",
    "load",
    "parse",
    "recorded",
    "suggestions",
]
