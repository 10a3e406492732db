"""The pods of a system that is asked over its own protocol, where it runs in the cluster.

They help to explain a failure and never are one: Kubernetes may be away, or the system may run elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workers.errors import OperatorError
from workers.operations.health import pods
from workers.report import Facts, Section
from workers.settings import SettingsError

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking

Beside = Callable[[], tuple[tuple[Section, ...], str]]


def look(asking: Asking, selector: str) -> Beside:
    """Start to ask for the pods; the result gives their table, and what is wrong with them in a few words."""
    future = asking.aside(lambda: asking.cluster.pods(selector))

    def result() -> tuple[tuple[Section, ...], str]:
        try:
            states = [pods.read(pod, asking.now) for pod in future.result(timeout=asking.left)]
        except (OperatorError, SettingsError) as error:
            return (Facts(items=(("pods", str(error)),)),), ""
        except TimeoutError:
            return (Facts(items=(("pods", "Kubernetes did not answer in time."),)),), ""
        if not states:
            return (Facts(items=(("pods", f"outside the cluster (none with {selector})"),)),), ""
        bad = [f"its pod {state.name} is {state.state}" for state in states if not state.is_ready]
        return pods.table(states), "; ".join(bad[:2])

    return result
