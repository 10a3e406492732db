"""Whether an S3 request is signed with a known key pair (AWS Signature Version 4, header and query form).

moto serves anybody; a real store does not. With this, a wrong key is refused here as it is there: InvalidAccessKeyId or
SignatureDoesNotMatch, status 403. Only the request's head is verified; the body's checksum is what the head says.
Source: "Signature Version 4 signing process", Amazon S3 API reference.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.types import WSGIEnvironment

_ALGORITHM = "AWS4-HMAC-SHA256"
_SCOPE_PARTS = 5  # key / day / region / service / aws4_request


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served."""

    code: str
    message: str

    def xml(self, resource: str) -> bytes:
        """The body of the answer."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{escape(self.message)}</Message>"
            f"<Resource>{escape(resource)}</Resource></Error>"
        ).encode()


_ANONYMOUS = Refusal("AccessDenied", "Access Denied")
_OLD = Refusal("InvalidRequest", "Please use AWS4-HMAC-SHA256.")
_EXPIRED = Refusal("AccessDenied", "Request has expired")
_UNKNOWN = Refusal("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
_WRONG = Refusal(
    "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."
)


def refusal(environ: WSGIEnvironment, secrets: Mapping[str, str], now: datetime) -> Refusal | None:
    """None where the request is signed with one of `secrets` (secret key by access key)."""
    raw_path, _, raw_query = str(environ.get("RAW_URI") or environ.get("REQUEST_URI", "")).partition("?")
    query = parse_qsl(raw_query, keep_blank_values=True)
    fields = dict(query)
    authorization = str(environ.get("HTTP_AUTHORIZATION", ""))
    if authorization.startswith(_ALGORITHM):
        pairs = (item.strip().partition("=") for item in authorization.removeprefix(_ALGORITHM).split(","))
        given = {name: value for name, _, value in pairs}
        stamp = str(environ.get("HTTP_X_AMZ_DATE", ""))
        payload = str(environ.get("HTTP_X_AMZ_CONTENT_SHA256", "UNSIGNED-PAYLOAD"))
    elif fields.get("X-Amz-Algorithm") == _ALGORITHM:
        given = {name: fields.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Signature")}
        stamp = fields.get("X-Amz-Date", "")
        payload = "UNSIGNED-PAYLOAD"
        query = [(name, value) for name, value in query if name != "X-Amz-Signature"]
        if _age(stamp, now) > float(fields.get("X-Amz-Expires", 0)):
            return _EXPIRED
    else:
        return _OLD if "AWSAccessKeyId" in fields or authorization.startswith("AWS ") else _ANONYMOUS
    scope = given.get("Credential", "").rsplit("/", _SCOPE_PARTS - 1)
    if len(scope) != _SCOPE_PARTS or scope[0] not in secrets:
        return _UNKNOWN
    canonical = "\n".join(
        (
            environ["REQUEST_METHOD"],
            raw_path or "/",
            "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in sorted(query)),
            *(f"{name}:{_header(environ, name)}" for name in given.get("SignedHeaders", "").split(";")),
            "",
            given.get("SignedHeaders", ""),
            payload,
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join((_ALGORITHM, stamp, "/".join(scope[1:]), digest))
    expected = hmac.new(_signing_key(secrets[scope[0]], *scope[1:]), text.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(expected, given.get("Signature", "")) else _WRONG


def _age(stamp: str, now: datetime) -> float:
    """Seconds since the time that a request bears; without end where it bears none."""
    try:
        return (now - datetime.strptime(stamp, "%Y%m%dT%H%M%S%z")).total_seconds()
    except ValueError:
        return math.inf


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _header(environ: WSGIEnvironment, name: str) -> str:
    key = name.upper().replace("-", "_")
    value = environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", "")
    return " ".join(str(value).split())


def _signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
