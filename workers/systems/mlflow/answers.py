"""Who has answered in MLflow's place, or MLflow itself with what: one sentence for each, for every command alike.

MLflow is told by its own words and by nothing less: its 401 bears the realm "mlflow", its errors are JSON with an
`error_code`, its host check has a sentence of its own (mlflow/server/auth/__init__.py, server/security_utils.py).
Whatever else says 401 or 403, redirects, or sends a page is not MLflow, and another password for MLflow would not help.
Bodies of others are not shown: they may hold addresses and tokens.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from urllib3 import exceptions

from workers.systems import connections
from workers.systems.errors import (
    GatewayError,
    Nonsense,
    TrackingBehindProxy,
    TrackingBusy,
    TrackingError,
    TrackingForbidden,
    TrackingGuarded,
    TrackingHostRefused,
    TrackingInvalid,
    TrackingLate,
    TrackingMissing,
    TrackingTaken,
    TrackingTimeout,
    TrackingTooLarge,
    TrackingUnauthorized,
    TrackingUnavailable,
    TrackingUnreachable,
)
from workers.systems.mlflow.access import Access
from workers.wording import size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

OK: Final = 200
BUSY: Final = 429
_SENTENCE: Final = 300
_BAD_HOST: Final = "Invalid Host header"
_OTHER_ORIGIN: Final = "Cross-origin request blocked"
_NOT_SIGNED_IN: Final = "You are not authenticated"
_MAY_NOT: Final = "Permission denied"
_INSIDE: Final = "Or set MLFLOW_TRACKING_URI to MLflow's address inside the cluster, without the sign-in proxy."
_WAY: Final = "Check the Service, its endpoints and MLFLOW_TRACKING_URI."
_REFUSALS: Final[dict[str, type[TrackingError]]] = {
    "RESOURCE_DOES_NOT_EXIST": TrackingMissing,
    "NOT_FOUND": TrackingMissing,
    "RESOURCE_ALREADY_EXISTS": TrackingTaken,
    "INVALID_PARAMETER_VALUE": TrackingInvalid,
    "INVALID_STATE": TrackingInvalid,
    "BAD_REQUEST": TrackingInvalid,
}


@dataclass(frozen=True)
class Answer:
    """What came back from a call. sent: the bytes of its body. seconds: how long it was tried."""

    path: str
    status: int
    headers: Mapping[str, str]
    body: str
    sent: int = 0
    seconds: float = 0.0

    @property
    def is_page(self) -> bool:
        """Whether it is HTML."""
        return "html" in self.headers.get("Content-Type", "").lower() or self.body.lstrip()[:1] == "<"

    @property
    def code(self) -> str:
        """MLflow's error code; empty where MLflow has not made this answer, or not by that way."""
        try:
            code = json.loads(self.body)["error_code"]
        except (ValueError, KeyError, TypeError):
            return ""
        return str(code)[:60]

    @property
    def said(self) -> str:
        """MLflow's own sentence beside its code."""
        message = " ".join(str(json.loads(self.body).get("message", "")).split())
        return message if len(message) <= _SENTENCE else message[: _SENTENCE - 1] + "…"


def refusal(access: Access, answer: Answer) -> GatewayError:
    """What an answer that is none to the question means."""
    status = answer.status
    if told := _BY_STATUS.get(status):
        return told(access, answer)
    if 300 <= status < 400:  # noqa: PLR2004
        return _redirected(access, answer)
    at = f"MLflow at {access.address}"
    if status >= 500:  # noqa: PLR2004
        return TrackingUnavailable(f"{at} answers {status}: {answer.code or 'an error page'}.")
    kind = _REFUSALS.get(answer.code)
    if kind is not None:
        return kind(f"MLflow refuses: {answer.said}", "Nothing was changed by this.")
    return TrackingError(
        f"{at} answers {status} to a question that every MLflow knows.",
        "Check the address, and the path in it: MLflow's --static-prefix, or the one that a proxy adds.",
    )


def nonsense(access: Access, *, page: bool = False) -> Nonsense:
    """MLflow would not have said that, although the status is 200."""
    if page:
        return Nonsense(
            f"A web page came in place of the answer of MLflow at {access.address} (200, HTML).",
            "It is a sign-in page, or another program's: check MLFLOW_TRACKING_URI, and MLFLOW_TRACKING_TOKEN.",
        )
    return Nonsense(
        f"MLflow at {access.address} answered something that is not MLflow's.",
        "Check MLFLOW_TRACKING_URI: a proxy or another program may answer there.",
    )


def unanswered(access: Access, error: exceptions.HTTPError, patience: float) -> GatewayError:
    """What it means that no answer came. patience: seconds that it was given."""
    at = f"MLflow at {access.address}"
    if isinstance(error, exceptions.ProxyError):
        behind = error.original_error
        if isinstance(behind, exceptions.HTTPError):
            how = connections.words(behind, patience)
        else:
            how = "does not let us through" if "Tunnel connection failed" in str(behind) else "cannot be reached"
        return TrackingUnreachable(
            f"The proxy {urlsplit(access.proxy).netloc} on the way to {at} {how}.",
            "Check HTTP_PROXY and HTTPS_PROXY, or name MLflow's host in NO_PROXY.",
        )
    broken = _tls_of(error)
    if broken is not None:
        return _untrusted(at, broken)
    refused = isinstance(error, exceptions.NewConnectionError)
    late = isinstance(error, exceptions.TimeoutError) and not refused
    kind = TrackingTimeout if late else TrackingUnreachable
    return kind(f"{at} {connections.words(error, patience)}.", _WAY)


def pause_seconds(headers: Mapping[str, str], tried: int, now: datetime) -> float:
    """How long to wait after a 429: as it says (RFC 9110: seconds, or a date), else twice as long each time."""
    wanted = headers.get("Retry-After", "").strip()
    if wanted.isdigit():
        return float(wanted)
    try:
        return max(0.0, (parsedate_to_datetime(wanted) - now).total_seconds())
    except (ValueError, TypeError):
        return min(8.0, 0.5 * 2.0**tried)


def _redirected(access: Access, answer: Answer) -> TrackingGuarded:
    asked = urlsplit(access.base + answer.path)
    to = urlsplit(urljoin(asked.geturl(), answer.headers.get("Location", "")))
    at = f"MLflow at {access.address}"
    if (to.hostname, to.path) == (asked.hostname, asked.path) and to.scheme == "https" != asked.scheme:
        return TrackingGuarded(
            f"{at} is served with TLS only: it redirects to https.", "Write https:// in MLFLOW_TRACKING_URI."
        )
    if to.path == asked.path and to.hostname:
        return TrackingGuarded(
            f"{at} redirects to {to.scheme}://{to.netloc.rpartition('@')[2]}.", "Set MLFLOW_TRACKING_URI to that."
        )
    where = f"{to.hostname}{to.path}" if to.hostname != asked.hostname else to.path
    return TrackingGuarded(
        f"A sign-in proxy answered for {at}: {answer.status}, to {where[:80]}.",
        f"Set MLFLOW_TRACKING_TOKEN to a token that it takes. {_INSIDE}",
    )


def _page(access: Access, answer: Answer) -> GatewayError:
    return nonsense(access, page=answer.is_page)


def _locked_proxy(access: Access, _answer: Answer) -> GatewayError:
    return TrackingGuarded(
        f"The proxy {urlsplit(access.proxy).netloc} asks for a user and password on the way to MLflow at "
        f"{access.address}.",
        "Put them into HTTP_PROXY or HTTPS_PROXY, or name MLflow's host in NO_PROXY.",
    )


def _too_large(access: Access, answer: Answer) -> GatewayError:
    return TrackingTooLarge(
        f"What stands before MLflow at {access.address} takes no request of {size(answer.sent)} (413).",
        "Raise its limit: proxy-body-size in an Ingress of nginx's.",
    )


def _too_often(access: Access, answer: Answer) -> GatewayError:
    waited = f" for {answer.seconds:.0f} s" if answer.seconds >= 1 else ""
    return TrackingBusy(
        f"MLflow at {access.address} answers 429{waited}: too many requests.",
        "Ask again later; a proxy before it may limit the rate.",
    )


def _gateway(access: Access, answer: Answer) -> GatewayError:
    at = f"MLflow at {access.address}"
    if answer.code:
        return TrackingUnavailable(f"{at} answers {answer.status}: {answer.code}.")
    late = answer.status == 504  # noqa: PLR2004
    how = "does not get its answer in time" if late else "does not reach it"
    return (TrackingLate if late else TrackingBehindProxy)(
        f"A proxy answered for {at}: {answer.status}, it {how}.", "See whether MLflow's pods are ready: /mlflow health."
    )


def _unauthorized(access: Access, answer: Answer) -> GatewayError:
    if not _is_mlflows(answer):
        return _guarded(access, answer)
    at = f"MLflow at {access.address}"
    ours = "token" if access.by_token else "user and password"
    known = access.user or access.by_token
    return TrackingUnauthorized(
        f"{at} does not accept our {ours}." if known else f"{at} asks for a user and password.",
        "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user of its basic auth.",
    )


def _forbidden(access: Access, answer: Answer) -> GatewayError:
    at, text = f"MLflow at {access.address}", answer.body.strip()
    if text.startswith(_BAD_HOST):
        return TrackingHostRefused(
            f"{at} rejects requests for the host {access.host}.",
            f"Start the server with --allowed-hosts '{access.host},{access.host}:*' added.",
        )
    if text.startswith(_OTHER_ORIGIN):
        return TrackingForbidden(f"{at} refuses requests from other web pages.", "Check what changes our requests.")
    if not _is_mlflows(answer):
        return _guarded(access, answer)
    return TrackingForbidden(
        f"{at} does not let {f'our user {access.user}' if access.user else 'us'} do that.",
        "Give that user the permission in MLflow, or set MLFLOW_TRACKING_USERNAME to one who has it.",
    )


def _guarded(access: Access, answer: Answer) -> TrackingGuarded:
    if answer.is_page or "WWW-Authenticate" in answer.headers:
        ours = "does not take our credentials" if access.user or access.by_token else "asks for a sign-in"
        return TrackingGuarded(
            f"A sign-in proxy answered for MLflow at {access.address}: {answer.status}, it {ours}.",
            f"Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, to what it takes. {_INSIDE}",
        )
    return TrackingGuarded(
        f"Not MLflow but what stands before it at {access.address} turned us away ({answer.status}).",
        f"Let the workers through there: a network policy, a service mesh or a firewall. {_INSIDE}",
    )


_BY_STATUS: Final[dict[int, Callable[[Access, Answer], GatewayError]]] = {
    OK: _page,
    401: _unauthorized,
    403: _forbidden,
    407: _locked_proxy,
    413: _too_large,
    BUSY: _too_often,
    502: _gateway,
    503: _gateway,
    504: _gateway,
}


def _is_mlflows(answer: Answer) -> bool:
    text = answer.body.strip()
    challenge = answer.headers.get("WWW-Authenticate", "").lower()
    return bool(answer.code) or 'realm="mlflow"' in challenge or text.startswith((_NOT_SIGNED_IN, _MAY_NOT))


def _tls_of(error: BaseException | None) -> ssl.SSLError | None:
    """The system's own error behind the libraries'."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        behind = (error.__cause__, error.__context__, *error.args)
        error = next((each for each in behind if isinstance(each, BaseException)), None)
    return None


def _untrusted(at: str, error: ssl.SSLError) -> TrackingUnreachable:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = str(error.verify_message).rstrip(".")
        return TrackingUnreachable(
            f"{at} does not present a certificate that we trust: {why}.",
            "Set MLFLOW_TRACKING_SERVER_CERT_PATH, or REQUESTS_CA_BUNDLE, to the CA that signed it.",
        )
    reason = error.reason or ""
    if "CERTIFICATE_REQUIRED" in reason or "BAD_CERTIFICATE" in reason or "HANDSHAKE_FAILURE" in reason:
        return TrackingUnreachable(
            f"{at} asks for a client certificate and does not accept ours.",
            "Set MLFLOW_TRACKING_CLIENT_CERT_PATH to a PEM file with a certificate and its key.",
        )
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return TrackingUnreachable(f"{at} does not speak TLS.", "Write http:// in MLFLOW_TRACKING_URI.")
    return TrackingUnreachable(
        f"{at} broke off the TLS connection{f' ({reason})' if reason else ''}.",
        f"It may ask for a client certificate: MLFLOW_TRACKING_CLIENT_CERT_PATH. {_WAY}",
    )
