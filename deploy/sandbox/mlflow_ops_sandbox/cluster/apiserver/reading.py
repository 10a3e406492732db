"""GET of one object and of lists, for every kind: selectors, paging, tables, metadata only.

A continue token names the revision of the first page, and every page shows the list as it was then, whatever was
written in between. When that revision has left the log, the answer is 410 with a token for going on inconsistently.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api import field_selectors, label_selectors
from mlflow_ops_sandbox.cluster.api.answers import with_kind
from mlflow_ops_sandbox.cluster.api.negotiation import negotiate
from mlflow_ops_sandbox.cluster.api.objects import Object, labels_of, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.requests import Target
from mlflow_ops_sandbox.cluster.api.status import (
    ApiError,
    Cause,
    bad_request,
    expired,
    invalid,
    version_from_the_future,
)
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.apiserver.go_json import go_json_error
from mlflow_ops_sandbox.cluster.apiserver.tables.rendering import partial_metadata, render_table

LIST_SHAPES = frozenset({"Table", "PartialObjectMetadataList"})
OBJECT_SHAPES = frozenset({"Table", "PartialObjectMetadata"})

_CONTINUE_FORM = "meta.k8s.io/v1"
_CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects a request is about."""

    labels: label_selectors.LabelSelector
    fields: field_selectors.FieldSelector

    def matches(self, item: Object) -> bool:
        """Say whether an object is among them."""
        return label_selectors.matches(self.labels, labels_of(item)) and field_selectors.matches(self.fields, item)

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)


def selection_of(target: Target, query: Mapping[str, str]) -> Selection:
    """Read both selectors. Raises ApiError 400."""
    labels = label_selectors.parse_label_selector(query.get("labelSelector", ""))
    fields = field_selectors.parse_field_selector(query.get("fieldSelector", ""), target.resource)
    if target.name:
        fields = (*fields, field_selectors.FieldRequirement("metadata.name", target.name, equal=True))
    return Selection(labels, fields)


@dataclass(frozen=True, slots=True)
class Reader:
    """Answers get and list."""

    store: Store
    clock: Clock

    def get(self, target: Target, query: Mapping[str, str], accept: str) -> Object:
        """Return one object in the form that the client takes. Raises ApiError."""
        shape = negotiate(accept, OBJECT_SHAPES)
        item = self.store.get(target.resource, target.namespace, target.name)
        if shape == "Table":
            version = {"resourceVersion": item["metadata"]["resourceVersion"]}
            return render_table(target.resource, [item], version, self.clock(), include_of(query))
        if shape:
            return partial_metadata(item)
        return with_kind(target.resource, item)

    def page(self, target: Target, query: Mapping[str, str], accept: str) -> Object:
        """Return a list in the form that the client takes. Raises ApiError."""
        shape = negotiate(accept, LIST_SHAPES)
        selection = selection_of(target, query)
        items, metadata = self._select(target, query, selection)
        resource = target.resource
        if shape == "Table":
            return render_table(resource, items, metadata, self.clock(), include_of(query))
        if shape:
            partial = [partial_metadata(item) for item in items]
            kind: Object = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
            return kind | {"metadata": metadata, "items": partial}
        return {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata, "items": items}

    def _select(self, target: Target, query: Mapping[str, str], selection: Selection) -> tuple[list[Object], Object]:
        limit = _limit(query)
        _check_match(query)
        token = query.get("continue", "")
        revision, start = self._position(query, token)
        if token and revision >= 0 and revision < self.store.compacted:
            raise expired(_CONTINUE_TOO_OLD, continue_token=_encode_token(-1, start))
        if revision < 0:
            revision = self.store.revision
        items = self.store.list_at(target.resource, target.namespace, revision)
        keyed = [(_key(target, item), item) for item in items]
        rest = [(key, item) for key, item in keyed if key >= start and selection.matches(item)]
        metadata: Object = {"resourceVersion": str(revision)}
        if not limit or len(rest) <= limit:
            return [item for _, item in rest], metadata
        page = rest[:limit]
        metadata["continue"] = _encode_token(revision, page[-1][0] + "\0")
        if not selection:
            metadata["remainingItemCount"] = len(rest) - limit
        return [item for _, item in page], metadata

    def _position(self, query: Mapping[str, str], token: str) -> tuple[int, str]:
        wanted = query.get("resourceVersion", "")
        if token:
            if wanted not in {"", "0"}:
                message = "specifying resource version is not allowed when using continue"
                raise bad_request(message)
            return _decode_token(token)
        version = parse_version(wanted)
        if version > self.store.revision:
            raise version_from_the_future(version, self.store.revision)
        if query.get("resourceVersionMatch") == "Exact":
            return version, ""
        return self.store.revision, ""


def parse_version(text: str, refused: Callable[[str], ApiError] = bad_request) -> int:
    """Read a resourceVersion parameter. Raises what ``refused`` makes of what is no number: ApiError 400."""
    if not text:
        return 0
    if text.isdigit():
        return int(text)
    message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
    raise refused(message)


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", "")
    if not text:
        return 0
    try:
        limit = int(text)
    except ValueError:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise bad_request(message) from None
    if limit < 0:
        cause = Cause("FieldValueInvalid", "limit", f"Invalid value: {limit}: must be greater than or equal to 0")
        raise invalid("meta.k8s.io", "ListOptions", "", [cause])
    return limit


def _check_match(query: Mapping[str, str]) -> None:
    match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    about = "Forbidden: resourceVersionMatch"
    found: list[str] = []
    if match and not version:
        found.append(f"{about} is forbidden unless resourceVersion is provided")
    if match and query.get("continue"):
        found.append(f"{about} is forbidden when continue is provided")
    if match == "Exact" and version == "0":
        found.append(f'{about} "exact" is forbidden for resourceVersion "0"')
    causes = [Cause("FieldValueForbidden", "resourceVersionMatch", sentence) for sentence in found]
    if match not in {"", "Exact", "NotOlderThan"}:
        sentence = f'Unsupported value: "{match}": supported values: "", "Exact", "NotOlderThan"'
        causes.append(Cause("FieldValueNotSupported", "resourceVersionMatch", sentence))
    if causes:
        raise invalid("meta.k8s.io", "ListOptions", "", causes)


def include_of(query: Mapping[str, str]) -> str:
    """Return how much of each object a table row carries. Raises ApiError 400."""
    include = query.get("includeObject") or "Metadata"
    if include not in {"None", "Metadata", "Object"}:
        message = f'unrecognized includeObject value: "{include}"'
        raise bad_request(message)
    return include


def _key(target: Target, item: Object) -> str:
    return f"/{name_of(item)}" if target.namespace else f"/{namespace_of(item)}/{name_of(item)}".replace("//", "/")


def _encode_token(revision: int, start: str) -> str:
    body = json.dumps({"v": _CONTINUE_FORM, "rv": revision, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).rstrip(b"=").decode()


def _decode_token(token: str) -> tuple[int, str]:
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        at = next((place for place, sign in enumerate(token) if not (sign.isalnum() or sign in "-_")), len(token) - 1)
        raise _bad_token(f"illegal base64 data at input byte {at}") from None
    try:
        body = json.loads(data.decode("latin-1"))
    except ValueError as problem:
        raise _bad_token(go_json_error(data, problem)) from None
    if not isinstance(body, dict) or body.get("v") != _CONTINUE_FORM:
        raise _bad_token('server does not recognize this encoded version ""')
    try:
        return int(body["rv"]), str(body["start"])
    except (KeyError, TypeError, ValueError):
        raise _bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)") from None


def _bad_token(problem: str) -> ApiError:
    return bad_request(f"invalid continue token: continue key is not valid: {problem}")
