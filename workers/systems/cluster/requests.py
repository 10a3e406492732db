"""Requests to the API server, through the official client's connection and credentials, but with plain JSON.

Traps this avoids: the client has no timeout of its own and repeats a timed-out GET three times (retries are off);
its typed models take ten times as long to parse and refuse answers that are merely unusual, so paths and
dictionaries are used instead; urllib3's exceptions come through unwrapped and are translated here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from workers.settings import SettingsError
from workers.systems import connections, fencing
from workers.systems.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterInvalid,
    ClusterNotFound,
    ClusterNotReady,
    ClusterUnavailable,
    ClusterUnreachable,
    Nonsense,
)

if TYPE_CHECKING:
    from workers.settings import Settings

PAGE = 500
"""Objects per page of a list, as kubectl asks for them."""
CONNECT_SECONDS = 3.0
CHANGE_SECONDS = 65.0
"""A change waits for what admits it, 30 s at most for each webhook; the server itself gives up after its own
--request-timeout, one minute (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/)."""
LONGEST_LINE = 16_384
"""Characters of one log line that are kept; the rest of the line is skipped."""
_CHUNK = 65_536
_LOOK = "It may have been done all the same: look before you ask again."

PROGRAM = "mlflow-ops/"
"""How requests begin to say who sends them; a cluster's audit log shows it."""

Json = dict[str, Any]


class _Configuration(Configuration):
    """The official client sets the address anew before each call, and reads all proxies of the environment for it."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Leave an address that is the same as it is."""
        if name != "host" or self.server_index is not None or self._base_path != value:
            super().__setattr__(name, value)


@dataclass(frozen=True)
class Requests:
    """One API server. Safe for threads. Methods raise ClusterError or Nonsense.

    answer_within_seconds: how long one call may be silent, but for those that change something.
    """

    api: ApiClient
    answer_within_seconds: float = 10.0
    change_within_seconds: float = CHANGE_SECONDS

    @classmethod
    def connect(cls, settings: Settings) -> Requests:
        """From KUBECONFIG, else the pod's service account. Raises SettingsError where there is neither."""
        configuration = _Configuration()
        kubeconfig = settings.environment.kubeconfig
        try:
            if kubeconfig:
                load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
            elif os.environ.get("KUBERNETES_SERVICE_HOST"):
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                msg = (
                    "KUBECONFIG is not set and this is not a pod: set it to the path of a kubeconfig, "
                    "or run with a service account."
                )
                raise SettingsError(msg)
        # The client trips over YAML that is no kubeconfig with the last two.
        except (ConfigException, OSError, yaml.YAMLError, TypeError, AttributeError) as error:
            source = f"KUBECONFIG {kubeconfig}" if kubeconfig else "The pod's service account"
            msg = f"{source} cannot be used: {_why(error)}."
            raise ClusterError(msg, "Check the file and its current context.") from None
        configuration.retries = False
        # The checks ask side by side with 24 threads; what goes beyond the pool is thrown away, with a warning each.
        configuration.connection_pool_maxsize = 32
        client = ApiClient(configuration)
        client.user_agent = PROGRAM + version("mlflow-ops")
        return cls(client)

    @property
    def address(self) -> str:
        """host:port of the API server."""
        return urlsplit(str(self.api.configuration.host)).netloc

    def get(self, path: str, **query: Any) -> Json:
        """GET a path of the API; the answer must be a JSON object."""
        return self._object(self._open(path, **query))

    def send(
        self,
        path: str,
        method: str,
        body: Json | Sequence[Json] | None = None,
        content_type: str = "application/json",
        **query: Any,
    ) -> Json:
        """A change, made while the command is ours; the answer must be a JSON object."""
        fencing.before_changing()
        return self._object(self._open(path, method, body, content_type, **query))

    def review(self, path: str, body: Json) -> Json:
        """A question that the API has as a POST, which changes nothing."""
        return self._object(self._open(path, "POST", body, patience=self.answer_within_seconds))

    def pages(self, path: str, **query: Any) -> list[Json]:
        """All items of a list, which is asked for page by page."""
        items: list[Json] = []
        onward: str = ""
        while True:
            page = self.get(path, limit=PAGE, **query, **({"continue": onward} if onward else {}))
            found, metadata = page.get("items"), page.get("metadata")
            # A Go server writes an empty list as null.
            if not isinstance(found, list | None) or not isinstance(metadata, dict | None):
                msg = f"Kubernetes at {self.address} answered a list without items."
                raise Nonsense(msg)
            items.extend(found or [])
            before, onward = onward, str((metadata or {}).get("continue") or "")
            if not onward:
                return items
            if onward == before:
                msg = f"Kubernetes at {self.address} answered the same page twice."
                raise Nonsense(msg)

    def lines(self, path: str, **query: Any) -> Iterator[str]:
        """The lines of a text, read as it arrives; of a very long line only the beginning."""
        yield from _lines(self.chunks(path, **query))

    def chunks(self, path: str, **query: Any) -> Iterator[bytes]:
        """The bytes of a text, read as it arrives."""
        response = self._open(path, **query)
        try:
            yield from response.stream(_CHUNK, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        finally:
            response.release_conn()

    def _object(self, response: urllib3.BaseHTTPResponse) -> Json:
        try:
            body = response.data
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from None
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            msg = f"Kubernetes at {self.address} answered something that is not JSON."
            raise Nonsense(msg, "Check that the address is an API server's and not a proxy's.")
        return answer

    def _open(
        self,
        path: str,
        method: str = "GET",
        sent: Json | Sequence[Json] | None = None,
        content_type: str = "application/json",
        patience: float = 0.0,
        **query: Any,
    ) -> urllib3.BaseHTTPResponse:
        """A response with status 2xx whose body has not been read. patience: in seconds, else the method's own."""
        changing = method != "GET" and not patience
        patience = patience or (self.change_within_seconds if changing else self.answer_within_seconds)
        try:
            accept = {"Accept": "application/json, */*"}
            method, url, headers, body, *_ = self.api.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params=accept | ({"Content-Type": content_type} if sent else {}),
                body=sent,
                auth_settings=["BearerToken"],
            )
            timeouts = (min(CONNECT_SECONDS, self.answer_within_seconds), patience)
            answer = self.api.call_api(method, url, header_params=headers, body=body, _request_timeout=timeouts)
            response: urllib3.BaseHTTPResponse = answer.response
            if response.status < 300:  # noqa: PLR2004 - HTTP's first status that is no success
                return response
            raise self._refusal(response.status, response.data)
        except urllib3.exceptions.HTTPError as error:
            if changing and isinstance(error, urllib3.exceptions.ReadTimeoutError | urllib3.exceptions.ProtocolError):
                raise ClusterUnreachable(self._silent(error, patience), _LOOK) from None
            raise self._unreachable(error) from None
        except ApiException:  # what the client makes of urllib3's SSLError, and of nothing else here
            raise self._unreachable(urllib3.exceptions.SSLError()) from None

    def _refusal(self, status: int, body: bytes) -> ClusterError:  # noqa: PLR0911 - one line per status
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        said = answer.get("message") if isinstance(answer, dict) else None
        words = str(said or f"HTTP {status}").splitlines()[0][:300]
        if status == 401:  # noqa: PLR2004
            return ClusterError(
                f"Kubernetes at {self.address} does not accept our credentials.",
                "Renew the kubeconfig or the service account's token.",
            )
        if status == 403:  # noqa: PLR2004
            _, _, lacks = words.partition(" cannot ")
            return ClusterForbidden(
                f"Our account may not {lacks or 'do this'}." if lacks else f"Kubernetes refuses: {words}.",
                "Give its Role that verb (deploy/kubernetes has the Role).",
            )
        if status == 404:  # noqa: PLR2004
            return ClusterNotFound(f"Kubernetes: {words}.")
        if status == 409:  # noqa: PLR2004
            return ClusterConflict(f"Kubernetes: {words}.", "Ask again.")
        if status == 422:  # noqa: PLR2004
            return ClusterInvalid(f"Kubernetes does not take it: {words}.")
        if status == 400:  # noqa: PLR2004
            return ClusterNotReady(f"Kubernetes: {words}.")
        if status == 504:  # noqa: PLR2004
            return ClusterError(f"Kubernetes at {self.address} answers 504: {words}.", _LOOK)
        kind = ClusterUnavailable if status == 503 else ClusterError  # noqa: PLR2004
        return kind(f"Kubernetes at {self.address} answers {status}: {words}.")

    def _unreachable(self, error: urllib3.exceptions.HTTPError) -> ClusterError:
        said = self._silent(error, self.answer_within_seconds)
        return ClusterUnreachable(said, "Check the API server and the network to it.")

    def _silent(self, error: urllib3.exceptions.HTTPError, patience: float) -> str:
        return f"Kubernetes at {self.address} {connections.words(error, patience)}."


def _why(error: Exception) -> str:
    match error:
        case OSError(strerror=str() as words):
            return words
        case ConfigException():
            return str(error).splitlines()[0].rstrip(".")
        case _:
            return "it is not a kubeconfig"


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Decoded lines; of a longer one only the beginning, so that memory is bounded whatever is logged."""
    held = b""
    skipping = False
    for chunk in chunks:
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            if not skipping:
                yield line[:LONGEST_LINE].decode("utf-8", "replace")
            skipping = False
        if len(held) > LONGEST_LINE:
            if not skipping:
                yield held[:LONGEST_LINE].decode("utf-8", "replace")
            skipping, held = True, b""
    if held and not skipping:
        yield held.decode("utf-8", "replace")
