"""What Alertmanager's webhook sends, read strictly, bounded, and without secrets.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; Grafana's contact point sends the same, as
version 1. Go writes null for a map in which nothing was ever put, so null is nothing. Whoever may write a rule or a
label decides what stands in it, so every text is cut, every number of things is limited, and what looks like a secret
is blotted out before anything is kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from datetime import UTC, datetime
from typing import Any, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workers.operations.alerts import stream
from workers.redaction import redacted, without_secrets
from workers.wording import count, size

NAME_CHARACTERS: Final = 100
VALUE_CHARACTERS: Final = 300
ADDRESS_CHARACTERS: Final = 1000
FIRST_YEAR, LAST_YEAR = 1970, 2999
LABELS: Final = 40
SHOWN: Final = 5
"""Alerts of a group that are told one by one."""
FINGERPRINTS: Final = stream.KEPT
"""Alerts of a group that are known one by one; more are counted."""

_SEVERITIES: Final = ("critical", "error", "warning", "info")
_DATE: Final = re.compile(r"(\.\d{6})\d+")
"""Go writes nanoseconds."""


_FIELDS: Final = frozenset(
    {"version", "groupKey", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "alerts"}
    | {"truncatedAlerts"}
)

_log = structlog.get_logger(__name__)


class NotificationError(Exception):
    """What was sent is no notification of Alertmanager's; the message says in which way."""


class Alert(BaseModel):
    """One alert of a notification. Times are aware."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: datetime | None = Field(None, alias="startsAt")
    ends_at: datetime | None = Field(None, alias="endsAt")
    fingerprint: str = Field("", pattern=r"^[0-9a-f]{0,32}$")
    source: str = Field("", alias="generatorURL")

    @model_validator(mode="before")
    @classmethod
    def _null_is_nothing(cls, value: Any) -> Any:
        return _without_nulls(value, "labels", "annotations")

    @field_validator("starts_at", "ends_at", mode="before")
    @classmethod
    def _moment(cls, value: Any) -> datetime:
        if not isinstance(value, str):
            msg = "must be a moment such as 2026-01-01T00:00:00Z"
            raise ValueError(msg)  # noqa: TRY004 - pydantic's way to refuse
        moment = datetime.fromisoformat(_DATE.sub(r"\1", value))
        if moment.year > LAST_YEAR:
            msg = "lies too far ahead"
            raise ValueError(msg)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    @field_validator("labels", "annotations")
    @classmethod
    def _harmless(cls, value: dict[str, str]) -> dict[str, str]:
        return harmless(value)

    @field_validator("source")
    @classmethod
    def _whole(cls, value: str) -> str:
        return without_secrets(value) if len(value) <= ADDRESS_CHARACTERS else ""

    @property
    def known_as(self) -> str:
        """Its fingerprint; where an old Alertmanager sends none, one over its labels."""
        return self.fingerprint or hashlib.sha256(json.dumps(sorted(self.labels.items())).encode()).hexdigest()[:16]

    @property
    def began(self) -> float:
        """When it began, seconds since the epoch; 0 where it does not say."""
        return _seconds(self.starts_at)

    @property
    def over(self) -> float:
        """When it ended; 0 where it does not say."""
        return _seconds(self.ends_at)


class Notification(BaseModel):
    """One call: the alerts of one group that fire, and those that have ended since it was last told of.

    truncated, more_resolved: how many besides that fire, and that have ended.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    version: Literal["4", "1"] = "4"
    group_key: str = Field(alias="groupKey", min_length=1, max_length=20_000)
    status: Literal["firing", "resolved"]
    group_labels: dict[str, str] = Field(alias="groupLabels", default_factory=dict)
    common_labels: dict[str, str] = Field(alias="commonLabels", default_factory=dict)
    common_annotations: dict[str, str] = Field(alias="commonAnnotations", default_factory=dict)
    alerts: tuple[Alert, ...] = Field(min_length=1, max_length=20_000, strict=False)
    truncated: int = Field(0, alias="truncatedAlerts", ge=0, le=1_000_000_000)
    more_resolved: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _null_is_nothing(cls, value: Any) -> Any:
        return _without_nulls(value, "groupLabels", "commonLabels", "commonAnnotations")

    @field_validator("group_labels", "common_labels", "common_annotations")
    @classmethod
    def _harmless(cls, value: dict[str, str]) -> dict[str, str]:
        return harmless(value)

    @property
    def firing(self) -> list[Alert]:
        """Those that fire."""
        return [alert for alert in self.alerts if alert.status == "firing"]

    @property
    def name(self) -> str:
        """What the group is called: the alert's name, where all bear the same."""
        names = dict.fromkeys(alert.labels.get("alertname", "") for alert in self.firing or self.alerts)
        first = next(iter(names), "")
        if len(names) > 1:
            return self.group_labels.get("alertname") or f"{first} and {len(names) - 1} more"
        return first or "An alert without a name"

    @property
    def severity(self) -> str:
        """The most severe of its alerts'; empty where they have none."""
        found = {alert.labels.get("severity", "").lower() for alert in self.firing or self.alerts}
        return next((each for each in _SEVERITIES if each in found), min(found))

    def annotation(self, name: str) -> str:
        """Of all of them, or else of the first."""
        return self.common_annotations.get(name) or (self.firing or self.alerts)[0].annotations.get(name, "")


def read(body: bytes | stream.Source, most: int = stream.READ_BYTES) -> Notification:
    """The notification in a request's body. What is larger than `most` bytes comes to one that says so, with how many
    alerts were read. Raises NotificationError.
    """
    source: stream.Source = io.BytesIO(body) if isinstance(body, bytes) else body
    try:
        told = stream.read(source, _FIELDS, most)
    except stream.NotReadableError as error:
        raise NotificationError(str(error)) from None
    document = told.fields | {"alerts": told.alerts if told.fields.get("alerts") == [] else told.fields.get("alerts")}
    document = _counted(document, told) if told.whole else _cut_off(told, most)
    try:
        return Notification.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:4])[:NAME_CHARACTERS]
        raise NotificationError(f"{where or 'it'}: {first['msg']}"[:VALUE_CHARACTERS]) from None
    except (RecursionError, OverflowError):
        raise NotificationError("it holds what no Alertmanager sends") from None


def _counted(document: dict[str, Any], told: stream.Told) -> dict[str, Any]:
    truncated = document.get("truncatedAlerts") or 0
    more = truncated + told.more_firing if isinstance(truncated, int) else truncated
    return document | {"truncatedAlerts": more, "more_resolved": told.more_resolved}


def _cut_off(told: stream.Told, most: int) -> dict[str, Any]:
    """What can be said of a notification that was not read to its end: the key of its group stands there."""
    read = count(told.count, "alert", "were")
    said = f"It is larger than {size(most)}: {read} read, the rest was not. See Alertmanager."
    _log.warning("a notification is too large to be read whole", alerts=told.count, limit_bytes=most)
    receiver = told.fields.get("receiver")
    labels = {"alertname": "A notification too large to read", "severity": "warning"}
    placeholder = {"status": "firing", "labels": labels}
    return {
        "groupKey": f"too large: {receiver if isinstance(receiver, str) else ''}"[:NAME_CHARACTERS],
        "status": "firing",
        "groupLabels": labels,
        "commonLabels": labels,
        "commonAnnotations": {"summary": said},
        "alerts": [placeholder],
        "truncatedAlerts": max(0, told.count - 1),
    }


def _without_nulls(value: Any, *maps: str) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {key: each for key, each in value.items() if each is not None}
    for name in maps:
        if isinstance(kept.get(name), dict):
            kept[name] = {key: each for key, each in kept[name].items() if each is not None}
    return kept


def harmless(pairs: dict[str, str]) -> dict[str, str]:
    """So many of them, cut, and without what looks like a secret by its shape or by its name."""
    kept = list(pairs.items())[:LABELS]
    return {_cut(name, NAME_CHARACTERS): _value(name, value) for name, value in kept}


def _seconds(moment: datetime | None) -> float:
    """Go's "no time" is the year 1."""
    return moment.timestamp() if moment is not None and moment.year > FIRST_YEAR else 0.0


def _value(name: str, value: str) -> str:
    blotted = redacted(f"{name}={value}").removeprefix(f"{name}=")
    return _cut(blotted, VALUE_CHARACTERS)


def _cut(text: str, limit: int) -> str:
    # JSON can carry half a surrogate pair, which no UTF-8 holds.
    flat = " ".join(text.encode("utf-8", "replace").decode().split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
