"""The line that does the same in a shell: what a report of the cluster ends with."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from workers.report import Text

if TYPE_CHECKING:
    from workers.settings import Settings


def kubectl(settings: Settings, *words: str) -> str:
    """A line for a shell, in MLflow's namespace, with quotes where a word needs them."""
    return shlex.join(("kubectl", *words[:1], "-n", settings.ops.kubernetes.namespace, *words[1:]))


def by_hand(*lines: str) -> Text:
    """The section that shows such lines."""
    return Text(title="By hand", text="\n".join(lines), literal=True)
