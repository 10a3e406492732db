"""The way of a write through the server: which verb and which subresource it is, and the answer with its warnings."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from mlflow_ops_sandbox.cluster.api.answers import json_answer, with_kind
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.requests import Target
from mlflow_ops_sandbox.cluster.api.resources import REVIEWS
from mlflow_ops_sandbox.cluster.api.status import method_not_allowed
from mlflow_ops_sandbox.cluster.apiserver import protobuf
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.apiserver.identity import Identities, User
from mlflow_ops_sandbox.cluster.apiserver.reading import Reader, selection_of
from mlflow_ops_sandbox.cluster.apiserver.reviews import Reviews
from mlflow_ops_sandbox.cluster.apiserver.writing.bodies import parse_body
from mlflow_ops_sandbox.cluster.apiserver.writing.deleting import Deleter, delete_options
from mlflow_ops_sandbox.cluster.apiserver.writing.garbage import Collector
from mlflow_ops_sandbox.cluster.apiserver.writing.options import WriteOptions, write_options
from mlflow_ops_sandbox.cluster.apiserver.writing.patching import APPLY, JSON_PATCH, MERGE, STRATEGIC, unsupported
from mlflow_ops_sandbox.cluster.apiserver.writing.subresources import Subresources
from mlflow_ops_sandbox.cluster.apiserver.writing.writer import Writer

_CREATED = 201
_OPTIONS = {"create": "Create", "update": "Update", "patch": "Patch"}


@dataclass(frozen=True, slots=True)
class Writes:
    """Answers requests that write."""

    reader: Reader
    reviews: Reviews
    writer: Writer
    deleter: Deleter
    subresources: Subresources
    collector: Collector

    async def answer(self, request: web.Request, target: Target, user: User) -> web.Response:
        """Answer one request. Raises ApiError."""
        body = await request.read()
        content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if target.resource in REVIEWS and target.verb == "create":
            found = self.reviews.answer(target, user, parse_body(body, content_type, target.resource.kind))
            return json_answer(found, code=_CREATED)
        below = target.resource.subresource(target.subresource) if target.subresource else None
        if target.verb not in (below.verbs if below else target.resource.verbs):
            raise method_not_allowed()
        if target.verb == "delete":
            return self._delete(request, target, body)
        if target.verb == "deletecollection":
            return self._delete_collection(request, target, body)
        applies = target.verb == "patch" and content_type in APPLY
        agent = request.headers.get("User-Agent", "")
        options = write_options(_OPTIONS[target.verb], request.query, agent, applies=applies)
        if target.verb == "patch" and content_type not in {JSON_PATCH, MERGE, STRATEGIC, *APPLY}:
            raise unsupported()
        if target.subresource:
            return _told(*self._subresource(target, body, content_type, options), options)
        return _told(*self._whole(target, body, content_type, options), options)

    def _whole(self, target: Target, body: bytes, content_type: str, options: WriteOptions) -> tuple[Object, int]:
        code = 200
        if target.verb == "create":
            item, code = (
                self.writer.create(target, parse_body(body, content_type, target.resource.kind), options),
                _CREATED,
            )
        elif target.verb == "update":
            item = self.writer.replace(target, parse_body(body, content_type, target.resource.kind), options)
        elif content_type in APPLY:
            item, code = self.writer.apply(target, body, options)
        else:
            item = self.writer.patch(target, body, content_type, options)
        return with_kind(target.resource, item), code

    def _subresource(self, target: Target, body: bytes, content_type: str, options: WriteOptions) -> tuple[Object, int]:
        content_type = MERGE if content_type in APPLY else content_type
        match target.subresource:
            case "scale":
                return self.subresources.scale(target, body, content_type, options), 200
            case "status":
                return self.subresources.status(target, body, content_type, options), 200
            case "eviction":
                return self.subresources.evict(target, body), _CREATED
            case "token":
                given = (
                    protobuf.decode(body)
                    if content_type == protobuf.MEDIA_TYPE
                    else parse_body(body, content_type, target.resource.kind)
                )
                return self.subresources.token(target, given), _CREATED
            case _:
                raise method_not_allowed()

    def _delete(self, request: web.Request, target: Target, body: bytes) -> web.Response:
        warnings: list[str] = []
        answer = self.deleter.delete(target, delete_options(request.query, body, request.content_type), warnings)
        return _told(answer, 200, WriteOptions(warnings=warnings))

    def _delete_collection(self, request: web.Request, target: Target, body: bytes) -> web.Response:
        options = delete_options(request.query, body, request.content_type)
        chosen = self.reader.page(target, request.query, "")
        selection = selection_of(target, request.query)
        if not options.dry_run:
            for item in self.reader.store.all(target.resource, target.namespace):
                if selection.matches(item):
                    self.deleter.remove(target.resource, item, options)
        return json_answer(chosen)


def writes_of(reader: Reader, reviews: Reviews, identities: Identities, admission: Admission) -> Writes:
    """Return what answers writes to the objects that a reader reads."""
    writer, deleter = Writer(reader.store, reader.clock, admission), Deleter(reader.store, reader.clock)
    subresources = Subresources(reader.store, reader.clock, writer, deleter, identities)
    collector = Collector(reader.store, reader.clock, deleter)
    return Writes(reader, reviews, writer, deleter, subresources, collector)


def _told(answer: Object, code: int, options: WriteOptions) -> web.Response:
    response = json_answer(answer, code=code)
    for warning in dict.fromkeys(options.warnings):
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response
