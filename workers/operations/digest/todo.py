"""What needs a person today, with the command that a button asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.operations.choices import RECOVERY
from workers.report import Check, Offer, Status

if TYPE_CHECKING:
    from workers.settings import Settings

COMMANDS: Final = {
    "pods": ("Look at the pods", "health pods"),
    "deployment": ("See the rollout", "rollout"),
    "service": ("Ask again", "health service pods"),
    "ingress": ("Ask again", "health ingress"),
    "resources": ("Draw the memory", "trend memory --days 7"),
    "postgres": ("Ask again", "health postgres"),
    "storage": ("Ask again", "health storage"),
    "mlflow": ("Draw the latency", "trend latency --days 7"),
    "logs": ("See the errors", "health logs"),
    "queues": ("See the jobs", "jobs"),
    "backup": ("Back up now", "backup"),
}
"""By the name of a check that is not well: a button's label, and its command."""
CERTIFICATE: Final = ("Renew it …", "cert renew")


def offers(checks: tuple[Check, ...], settings: Settings) -> list[Offer]:
    """One for each check that is red or yellow, the worst first."""
    bad = [check for check in checks if check.status in {Status.FAIL, Status.WARN}]
    bad.sort(key=lambda check: -check.status.severity)
    return [_offer(check, settings) for check in bad if check.name in {*COMMANDS, RECOVERY}]


def _offer(check: Check, settings: Settings) -> Offer:
    label, command = COMMANDS.get(check.name, ("Ask again", "health recovery"))
    days = check.figures.get("certificate_days")
    if days is not None and days <= settings.ops.health.thresholds.certificate_warn_days:
        label, command = CERTIFICATE
    return Offer(sentence=f"{check.title}: {check.sentence}", label=label, command=command)
