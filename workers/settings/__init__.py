"""Settings: the environment and `ops.yaml`, read and validated once, before anything else starts.

Secrets come from the environment only; `ops.yaml` holds what may be read by everybody: channels, roles, names in
the cluster, buckets, thresholds.
"""

from workers.settings.environment import Environment, SettingsError
from workers.settings.loading import Settings, load
from workers.settings.ops import (
    DEFAULT_ENTRIES,
    PER_PERSON,
    Configuration,
    ConfigurationKey,
    KubernetesNames,
    Ops,
    Retention,
    Slack,
)
from workers.settings.people import Approval
from workers.settings.recovery import Recovery
from workers.settings.schedule import ScheduleEntry
from workers.settings.thresholds import Health, Thresholds
from workers.settings.values import ROLES, RoleName, Weekday

__all__ = [
    "DEFAULT_ENTRIES",
    "PER_PERSON",
    "ROLES",
    "Approval",
    "Configuration",
    "ConfigurationKey",
    "Environment",
    "Health",
    "KubernetesNames",
    "Ops",
    "Recovery",
    "Retention",
    "RoleName",
    "ScheduleEntry",
    "Settings",
    "SettingsError",
    "Slack",
    "Thresholds",
    "Weekday",
    "load",
]
