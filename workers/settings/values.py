"""The kinds of value that settings are made of, each with what it allows and a sentence for what it does not."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    UrlConstraints,
)

from workers.wording import nearest

RoleName = Literal["viewer", "operator", "approver", "admin"]
ROLES: tuple[RoleName, ...] = ("viewer", "operator", "approver", "admin")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Days = Annotated[int, Field(ge=0, le=3650)]
ChannelId = Annotated[str, Field(pattern=r"^[CDG][A-Z0-9]{2,}$")]
PersonId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,}$")]
UserId = Annotated[str, Field(pattern=r"^([UW][A-Z0-9]{2,}|\*)$")]
GroupId = Annotated[str, Field(pattern=r"^S[A-Z0-9]{2,}$")]
CheckName = Annotated[str, Field(pattern=r"^[a-z]+$")]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
SHAPES: dict[str, str] = {
    r"^[CDG][A-Z0-9]{2,}$": "a channel's id, such as C012AB3CD: the last part of the channel's link in Slack",
    r"^[UW][A-Z0-9]{2,}$": "a person's id, such as U012AB3CD: Copy member ID in their profile in Slack",
    r"^([UW][A-Z0-9]{2,}|\*)$": "a person's id, such as U012AB3CD: Copy member ID in their profile in Slack",
    r"^S[A-Z0-9]{2,}$": "a user group's id, such as S012AB3CD: the last part of its link in Slack",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": "a time of day such as 08:00",
}
"""What is meant by a pattern, for whoever has typed something else."""
HttpUrl = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http", "https"])]


class Section(BaseModel):
    """A part of ops.yaml: a key that it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        near = nearest(name, available_timezones())
        suggestion = f"; did you mean {near}?" if near else ""
        msg = f"{name!r} is not an IANA time zone such as Europe/Berlin{suggestion}"
        raise ValueError(msg)
    return name


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        msg = f"must be a regular expression ({error})"
        raise ValueError(msg) from None
    return value


def _cron(value: str) -> str:
    try:
        CronSim(value, datetime.now(UTC))
        if len(value.split()) == 5:  # noqa: PLR2004 - minute hour day month weekday
            return value
    except CronSimError:
        pass
    msg = "must be a cron expression of five fields, such as '0 8 * * 1-5'"
    raise ValueError(msg)


_SIZE = r"^(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|Pi)$"


def _amount(value: object) -> object:
    """1.5, 50Gi and 2Ti alike."""
    found = re.fullmatch(_SIZE, value) if isinstance(value, str) else None
    return float(found[1]) * 1024 ** (1 + "KMGTP".index(found[2][0])) if found else value


def _target_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,40}", name):
        msg = f"{name!r} is not a name of up to 40 lower-case letters, digits and hyphens"
        raise ValueError(msg)
    return name


TargetName = Annotated[str, AfterValidator(_target_name)]


def starting_with(*prefixes: str) -> AfterValidator:
    """A secret is checked by how it begins, so that the message need not show the rest."""

    def check(value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(prefixes):
            msg = f"it must start with {' or '.join(prefixes)}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def keys(*, several: bool) -> AfterValidator:
    """A key of 32 bytes in base64, or `several` with commas between them."""

    def check(value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        for each in text.split(",") if several else [text]:
            try:
                raw = base64.b64decode(each.strip(), validate=True)
            except binascii.Error:
                raw = b""
            if len(raw) != 32:  # noqa: PLR2004 - AES-256
                msg = "it must be 32 random bytes in base64, as openssl rand -base64 32 prints them"
                raise ValueError(msg)
        return value

    return AfterValidator(check)


TimeZone = Annotated[str, AfterValidator(_time_zone)]
RegularExpression = Annotated[str, AfterValidator(_regular_expression)]
Cron = Annotated[str, AfterValidator(_cron)]
_Written = Annotated[float, Field(gt=0)] | Annotated[str, Field(pattern=_SIZE)]
Amount = Annotated[float, Field(gt=0), BeforeValidator(_amount, json_schema_input_type=_Written)]
