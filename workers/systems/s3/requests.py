"""S3 requests that are wholly in memory, signed and sent without the weight of a client library's model.

boto3 spends about 2 ms of CPU on a call (validation, endpoint rules, serialising, parsing), and Python does so for one
call at a time: some 500 calls a second, whatever the number of threads. Bulk work is one call for each object, so
those calls are made here: botocore signs and its HTTP session sends (TLS, proxies and connections are as for every
other call), and nothing else is done. Only calls that may be repeated belong here.

Traps this avoids: CopyObject may answer 200 and hold an error (API_CopyObject: "the error response might be embedded
in the 200 OK response"); an answer that was cut short is not noticed by botocore's session.
"""

from __future__ import annotations

import html
import os
import random
import re
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from botocore import exceptions as boto
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.systems.s3.objects import Objects

FIRST_WAIT_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 10.0
_PASSING: Final = {
    "SlowDown",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "Throttling",
    "OperationAborted",
}
_PASSING_STATUS: Final = {429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Answer:
    """What the store said: header names in lower case, and the body."""

    headers: Mapping[str, str]
    content: bytes

    @cached_property
    def body(self) -> str:
        """As text."""
        return self.content.decode("utf-8", "replace")

    def named(self, element: str) -> str:
        """The text of the first XML element of that name; empty where there is none."""
        found = re.search(f"<{element}>([^<]*)</{element}>", self.body)
        return html.unescape(found[1]) if found else ""


class SignedCalls:
    """Sends signed requests to one store, again where a failure may pass. Safe for threads."""

    def __init__(self, objects: Objects, *, at_once: int, attempts: int, stopping: threading.Event) -> None:
        """objects: the store. at_once: how many threads call. stopping: set to end waits between attempts."""
        meta = objects.client.meta
        self._endpoint: str = meta.endpoint_url.rstrip("/")
        self._virtual = bool((meta.config.s3 or {}).get("addressing_style") == "virtual") or (
            (meta.config.s3 or {}).get("addressing_style") != "path"
            and str(urlsplit(self._endpoint).hostname).endswith((".amazonaws.com", ".amazonaws.com.cn"))
        )
        self._region: str = meta.region_name
        self._credentials = objects.session.get_credentials()
        self._attempts = attempts
        self._stopping = stopping
        self._http = URLLib3Session(
            verify=objects.session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True,
            proxies=get_environ_proxies(self._endpoint),
            timeout=(meta.config.connect_timeout, meta.config.read_timeout),
            max_pool_connections=at_once,
        )

    def send(  # noqa: PLR0913 - a request
        self,
        operation: str,
        method: str,
        bucket: str,
        key: str,
        headers: Mapping[str, str],
        *,
        query: str = "",
        content: bytes = b"",
    ) -> Answer:
        """The answer to one request. query: what follows the question mark, quoted already. content: what is sent.

        Raises what botocore's client would raise: ClientError for a refusal, BotoCoreError for the rest.
        """
        url = self._url(bucket, key) + (f"?{query}" if query else "")
        for attempt in range(1, self._attempts + 1):
            try:
                return self._once(operation, method, url, headers, content)
            except (boto.ClientError, boto.HTTPClientError) as error:
                if attempt == self._attempts or not _may_pass(error):
                    raise
            longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**attempt)
            if self._stopping.wait(random.uniform(0.5, 1) * longest):  # noqa: S311 - spreads attempts in time
                break
        raise boto.ConnectionClosedError(endpoint_url=url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _once(self, operation: str, method: str, url: str, headers: Mapping[str, str], sent: bytes) -> Answer:
        if self._credentials is None:
            raise boto.NoCredentialsError
        request = AWSRequest(method, url, headers=dict(headers), data=sent)
        S3SigV4Auth(self._credentials.get_frozen_credentials(), "s3", self._region).add_auth(request)
        answer: Any = self._http.send(request.prepare())
        content: bytes = answer.content
        promised = answer.headers.get("Content-Length")
        if promised is not None and len(content) != int(promised):
            raise boto.ConnectionClosedError(endpoint_url=url)
        found = Answer({name.lower(): value for name, value in answer.headers.items()}, content)
        # What an object holds is no answer to us, whatever it says.
        refused = operation != "GetObject" and b"<Error>" in content
        if refused or answer.status_code >= 300:  # noqa: PLR2004 - redirects are not followed
            code = found.named("Code") or str(answer.status_code)
            raise boto.ClientError(
                {
                    "Error": {
                        "Code": code,
                        "Message": found.named("Message"),
                        "BucketName": found.named("BucketName"),
                    },
                    "ResponseMetadata": {"HTTPStatusCode": answer.status_code, "HTTPHeaders": found.headers},
                },
                operation,
            )
        return found

    def _url(self, bucket: str, key: str) -> str:
        path = quote(key, safe="/~")
        if self._virtual and "." not in bucket:
            scheme, rest = self._endpoint.split("://", 1)
            return f"{scheme}://{bucket}.{rest}/{path}"
        return f"{self._endpoint}/{bucket}/{path}"


def _may_pass(error: Exception) -> bool:
    if isinstance(error, boto.SSLError):
        return False
    if not isinstance(error, boto.ClientError):
        return True
    code = error.response["Error"]["Code"]
    return code in _PASSING or error.response["ResponseMetadata"]["HTTPStatusCode"] in _PASSING_STATUS
