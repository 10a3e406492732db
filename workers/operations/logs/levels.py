"""How severe a log line is, whoever wrote it: MLflow, gunicorn, uvicorn, PostgreSQL, MinIO, klog.

A line without a level (of a traceback, of a statement over several lines) is as severe as the one before it.
"""

from __future__ import annotations

import json
import re
from typing import Final

from workers.operations.health.log_errors import READ_CHARACTERS, is_error

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_DEBUG, _INFO, _WARNING, _ERROR, _CRITICAL = range(5)

_RANKS: Final = {
    **dict.fromkeys(("TRACE", "DEBUG"), _DEBUG),
    **dict.fromkeys(("INFO", "NOTICE", "LOG"), _INFO),
    **dict.fromkeys(("WARN", "WARNING"), _WARNING),
    **dict.fromkeys(("ERROR", "ERR", "SEVERE"), _ERROR),
    **dict.fromkeys(("CRITICAL", "FATAL", "PANIC", "ALERT", "EMERG", "EMERGENCY"), _CRITICAL),
}
_WORD: Final = re.compile(r"(?<![\w.=/-])(" + "|".join(_RANKS) + r")(?![\w.=/-])")
_KEYED: Final = re.compile(r"""\b(?:level|lvl|severity)["']?\s*[=:]\s*["']?(\w+)""", re.IGNORECASE)
_GLOG: Final = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d")
_GLOG_RANKS: Final = {"I": _INFO, "W": _WARNING, "E": _ERROR, "F": _CRITICAL}
_TRACEBACK: Final = "Traceback (most recent call last):"


def rank(level: str) -> int:
    """0 for debug to 4 for critical. Raises KeyError."""
    return LEVELS.index(level)


def rank_of(text: str) -> int | None:
    """The rank of one line; None where it bears none."""
    looked_at = text[:READ_CHARACTERS]
    said = _said(looked_at)
    if is_error(looked_at) or looked_at.endswith(_TRACEBACK):
        return max(said or _ERROR, _ERROR)
    return said


def _said(text: str) -> int | None:
    if text.startswith("{"):
        rank = _in_json(text)
        if rank is not None:
            return rank
    glog = _GLOG.match(text)
    if glog:
        return _GLOG_RANKS[glog[1]]
    keyed = _KEYED.search(text)
    if keyed and keyed[1].upper() in _RANKS:
        return _RANKS[keyed[1].upper()]
    word = _WORD.search(text)
    return _RANKS[word[1]] if word else None


def _in_json(text: str) -> int | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    found = (document.get(key) for key in ("level", "levelname", "severity", "lvl"))
    return next((_RANKS[each.upper()] for each in found if isinstance(each, str) and each.upper() in _RANKS), None)
