"""The way of one request: trouble on purpose, who sends it, what it asks for, whether that is allowed, the answer.

Every refusal is an ApiError, turned into a Status in one place. Verbs that write end in ``_write``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web

from mlflow_ops_sandbox.cluster.api.answers import (
    JSON,
    as_yaml,
    error_answer,
    json_answer,
    page_not_found,
    standard_headers,
)
from mlflow_ops_sandbox.cluster.api.features import Features
from mlflow_ops_sandbox.cluster.api.label_selectors import parse_label_selector
from mlflow_ops_sandbox.cluster.api.negotiation import negotiate, wants_yaml
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.requests import Target, parse_target
from mlflow_ops_sandbox.cluster.api.resources import CERT_MANAGER_GROUP, METRICS_GROUP, POD_METRICS
from mlflow_ops_sandbox.cluster.api.status import ApiError, bad_request, method_not_allowed, no_such_path
from mlflow_ops_sandbox.cluster.apiserver import discovery
from mlflow_ops_sandbox.cluster.apiserver.access import Attributes, Authorizer, attributes_of
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.apiserver.faults import Faults
from mlflow_ops_sandbox.cluster.apiserver.identity import Identities, User
from mlflow_ops_sandbox.cluster.apiserver.impersonation import acting_user
from mlflow_ops_sandbox.cluster.apiserver.least_privilege import Used
from mlflow_ops_sandbox.cluster.apiserver.reading import LIST_SHAPES, Reader
from mlflow_ops_sandbox.cluster.apiserver.reviews import Reviews
from mlflow_ops_sandbox.cluster.apiserver.scale import scale_of
from mlflow_ops_sandbox.cluster.apiserver.schema import openapi
from mlflow_ops_sandbox.cluster.apiserver.watching import Watcher
from mlflow_ops_sandbox.cluster.apiserver.writing.handling import Writes, writes_of
from mlflow_ops_sandbox.cluster.kubelet.exec import Executor
from mlflow_ops_sandbox.cluster.kubelet.log_requests import LogReader
from mlflow_ops_sandbox.cluster.kubelet.metrics import Metrics

_HEALTH = frozenset({"healthz", "livez", "readyz"})


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Answers the API's requests."""

    address: str
    identities: Identities
    authorizer: Authorizer
    reader: Reader
    watcher: Watcher
    log_reader: LogReader
    executor: Executor
    metrics: Metrics
    reviews: Reviews
    faults: Faults
    features: Features
    admission: Admission
    used: Used = field(default_factory=Used.here)
    writes: Writes = field(init=False)

    def __post_init__(self) -> None:
        # The way around frozen: what writes is made of the parts above.
        object.__setattr__(self, "writes", writes_of(self.reader, self.reviews, self.identities, self.admission))

    def application(self) -> web.Application:
        """Return what listens."""
        application = web.Application(client_max_size=3 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self.handle)
        application.cleanup_ctx.append(self._collect_garbage)
        return application

    async def _collect_garbage(self, _application: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self.writes.collector.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        accept = request.headers.get("Accept", "")
        disturbed = await self.faults.apply(request)
        if disturbed is not None:
            return disturbed
        try:
            user = acting_user(self.identities.authenticate(request.headers), request.headers, self.authorizer)
            answer = await self._route(request, user)
            if isinstance(answer, web.Response) and answer.content_type == JSON and wants_yaml(accept):
                answer = as_yaml(answer)
        except ApiError as error:
            answer = error_answer(error)
        except ConnectionResetError:
            # The client of a stream has gone while we wrote to it; nobody reads an answer.
            raise asyncio.CancelledError from None
        return web.Response() if self.faults.cut_answer(request) else answer

    async def _route(self, request: web.Request, user: User) -> web.StreamResponse:
        path = request.path
        target = parse_target(request.method, path, request.query)
        if target is None:
            self.authorizer.require(user, Attributes(request.method.lower(), path=path))
            parts = [part for part in path.split("/") if part]
            if parts[:2] == ["openapi", "v3"]:
                document = openapi.answer(parts[2:])
                return json_answer(document) if document is not None else page_not_found()
            if not self._is_below_a_version(parts):
                return self._about_itself(request, parts)
            raise no_such_path()
        if not self._is_installed(target.resource.group):
            return page_not_found()
        wanted = attributes_of(target)
        program = request.headers.get("User-Agent", "")
        try:
            self.authorizer.require(user, wanted)
        except ApiError:
            self.used.note(user, wanted, program, allowed=False)
            raise
        if not _has_place(target):
            raise method_not_allowed()
        self.used.note(user, wanted, program)
        if target.verb not in {"get", "list", "watch"} or target.subresource == "exec":
            return await self._write(request, target, user)
        if target.subresource:
            return await self._read_subresource(request, target)
        return await self._read(request, target)

    async def _read(self, request: web.Request, target: Target) -> web.StreamResponse:
        if target.verb not in target.resource.verbs:
            raise method_not_allowed()
        if target.resource.group == METRICS_GROUP:
            return json_answer(self._measured(request, target))
        if target.verb == "watch":
            return await self.watcher.stream(request, target)
        accept = request.headers.get("Accept", "")
        if target.verb == "list":
            return json_answer(self.reader.page(target, request.query, accept))
        return json_answer(self.reader.get(target, request.query, accept))

    async def _read_subresource(self, request: web.Request, target: Target) -> web.StreamResponse:
        if target.subresource == "log":
            return await self.log_reader.stream(request, target)
        if target.subresource == "scale":
            return json_answer(scale_of(self.reader.store.get(target.resource, target.namespace, target.name)))
        if target.subresource in {"attach", "portforward"}:
            self.reader.store.get(target.resource, target.namespace, target.name)
            message = "Upgrade request required"
            raise bad_request(message)
        if target.subresource == "status":
            return json_answer(self.reader.get(target, request.query, request.headers.get("Accept", "")))
        raise method_not_allowed()

    async def _write(self, request: web.Request, target: Target, user: User) -> web.StreamResponse:
        if target.subresource == "exec":
            return await self.executor.stream(request, target)
        return await self.writes.answer(request, target, user)

    def _measured(self, request: web.Request, target: Target) -> Object:
        negotiate(request.headers.get("Accept", ""), LIST_SHAPES)
        selector = parse_label_selector(request.query.get("labelSelector", ""))
        kind: Object = {"kind": target.resource.kind, "apiVersion": target.resource.api_version}
        if target.resource == POD_METRICS:
            if target.name:
                return kind | self.metrics.pod(target.namespace, target.name)
            items = self.metrics.pods(target.namespace, selector)
        else:
            if target.name:
                return kind | self.metrics.node(target.name)
            items = self.metrics.nodes(selector)
        return {**kind, "kind": target.resource.list_kind, "metadata": {}, "items": items}

    def _is_below_a_version(self, parts: list[str]) -> bool:
        """Say whether a path goes on behind a group and version that there are."""
        match parts:
            case ["api", version, _, *_]:
                return discovery.resource_list("", version, self.features) is not None
            case ["apis", group, version, _, *_]:
                return discovery.resource_list(group, version, self.features) is not None
        return False

    def _is_installed(self, group: str) -> bool:
        return {METRICS_GROUP: self.features.metrics, CERT_MANAGER_GROUP: self.features.cert_manager}.get(group, True)

    def _about_itself(self, request: web.Request, parts: list[str]) -> web.Response:
        if len(parts) >= 1 and parts[0] in _HEALTH:
            return web.Response(text="ok", headers=standard_headers())
        if request.method not in {"GET", "HEAD"} and parts[:1] in (["api"], ["apis"], ["version"]):
            raise method_not_allowed()
        wants_all = discovery.wants_aggregated(request.headers.get("Accept", ""))
        body: Object | None = None
        match parts:
            case ["version"]:
                body = discovery.VERSION
            case ["api" | "apis" as root] if wants_all:
                body = discovery.aggregated(self.features, core=root == "api")
                return json_answer(body, content_type=discovery.AGGREGATED)
            case ["api"]:
                body = discovery.api_versions(self.address)
            case ["apis"]:
                body = discovery.group_list(self.features)
            case ["api", version]:
                body = discovery.resource_list("", version, self.features)
            case ["apis", group]:
                body = discovery.group(group, self.features)
            case ["apis", group, version]:
                body = discovery.resource_list(group, version, self.features)
        return json_answer(body) if body is not None else page_not_found()


def _has_place(target: Target) -> bool:
    """Say whether the verb belongs to this kind of path: a collection is posted to, an object is put and patched."""
    if target.resource.namespaced and not target.namespace:
        return target.verb in {"list", "watch"}
    if target.verb == "create" and not target.subresource:
        return not target.name
    return bool(target.name) or target.verb not in {"update", "patch"}
