"""Who asks where nobody whom Slack knows does: the clock, an alert, someone in a terminal."""

from __future__ import annotations

from typing import Final

BY_CLOCK: Final = "schedule:"
"""What such a requester begins with; then comes the schedule's entry."""
BY_TERMINAL: Final = "terminal:"
"""And then the name that was given."""
BY_ALERT: Final = "alert:"
"""And then the alert's name."""


def is_person(requester: str) -> bool:
    """Whether it is somebody whom Slack knows."""
    return not requester.startswith((BY_CLOCK, BY_TERMINAL, BY_ALERT))
