"""Bodies of requests: from bytes to an object of the kind that the path names, with the server's words for what is
wrong.
"""

from __future__ import annotations

import json

import yaml

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.requests import Target
from mlflow_ops_sandbox.cluster.api.resources import Resource, resource_of_kind
from mlflow_ops_sandbox.cluster.api.status import ApiError, bad_request, unknown_format
from mlflow_ops_sandbox.cluster.apiserver import protobuf
from mlflow_ops_sandbox.cluster.apiserver.go_json import go_json_error, json_kind
from mlflow_ops_sandbox.cluster.apiserver.schema.decoding import Decoder, DecodingError
from mlflow_ops_sandbox.cluster.apiserver.schema.types import Type
from mlflow_ops_sandbox.cluster.apiserver.writing.options import WriteOptions

_JSON = frozenset({"", "application/json", "application/octet-stream"})
_YAML = frozenset({"application/yaml", "application/x-yaml"})
_SHOWN = 30
_SCHEME = 'in scheme "pkg/api/legacyscheme/scheme.go:30"'


class _PlainLoader(yaml.SafeLoader):
    """Reads times as text, as JSON has them."""


_PlainLoader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in entries if tag != "tag:yaml.org,2002:timestamp"]
    for key, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_body(body: bytes, content_type: str, kind: str) -> Object:
    """Return the object in a body; ``kind`` is what it should be, for sentences. Raises ApiError 400, 415."""
    if content_type == protobuf.MEDIA_TYPE:
        return protobuf.decode(body)
    if content_type in _YAML:
        return parse_yaml(body)
    if content_type not in _JSON:
        raise unknown_format()
    try:
        value = json.loads(body)
    except ValueError as problem:
        raise _unrecognized(body, kind, go_json_error(body, problem)) from None
    if not isinstance(value, dict):
        raise _unrecognized(body, kind, f"json: cannot unmarshal {json_kind(value)} into Go value of type struct")
    return value


def parse_yaml(body: bytes) -> Object:
    """Return the object in a body of YAML. Raises ApiError 400."""
    try:
        value = yaml.load(body, _PlainLoader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as problem:
        raise bad_request(f"error decoding YAML: {problem}") from None
    if not isinstance(value, dict):
        raise bad_request(f"error decoding YAML: json: cannot unmarshal {json_kind(value)} into Go value")
    return value


def decode_object(body: Object, resource: Resource, kind: Type, options: WriteOptions) -> Object:
    """Return a body as a clean object of a kind. Raises ApiError 400; unknown fields may be warnings only."""
    _check_kind(body, resource)
    decoder = Decoder()
    try:
        item = decoder.decode(body, kind)
    except DecodingError as problem:
        raise _cannot_be_handled(resource.kind, resource.version, resource.kind, str(problem)) from None
    complaint = complain(decoder, options)
    if complaint:
        raise _cannot_be_handled(resource.kind, resource.version, resource.kind, complaint)
    return bare(item)


def bare(item: Object) -> Object:
    """Return an object without its kind, as the store keeps it, and with metadata."""
    kept = {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}
    kept.setdefault("metadata", {})
    return kept


def complain(decoder: Decoder, options: WriteOptions) -> str:
    """Return the error that unknown fields are; "" where they are none, or only warnings."""
    complaints = [f'unknown field "{path}"' for path in decoder.unknown]
    if not complaints or options.validation == "Ignore":
        return ""
    if options.validation == "Strict":
        return "strict decoding error: " + ", ".join(complaints)
    options.warnings.extend(complaints)
    return ""


def place(target: Target, item: Object) -> None:
    """Give an object the namespace and the name of the path; ``item`` is edited. Raises ApiError 400."""
    metadata = item["metadata"]
    if not target.namespace:
        metadata.pop("namespace", None)
    elif (metadata.get("namespace") or target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata["namespace"] = target.namespace
    if target.name and (metadata.get("name") or target.name) != target.name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
        )
    if target.name:
        metadata["name"] = target.name


def kind_problem(body: Object, wanted_version: str, wanted_kind: str) -> str:
    """Return why a body is not of the kind that the path names; "" where it is, or where it does not say."""
    version, kind = str(body.get("apiVersion") or wanted_version), str(body.get("kind") or wanted_kind)
    if (version, kind) == (wanted_version, wanted_kind):
        return ""
    group, _, short = version.rpartition("/")
    known = resource_of_kind(group, kind)
    if known is None or known.version != short:
        return f'no kind "{kind}" is registered for version "{version}" {_SCHEME}'
    wanted_group = wanted_version.rpartition("/")[0] or "core"
    return f"converting ({short}.{kind}) to ({wanted_group}.{wanted_kind}): unknown conversion"


def _check_kind(body: Object, resource: Resource) -> None:
    problem = kind_problem(body, resource.api_version, resource.kind)
    if problem:
        version, kind = str(body.get("apiVersion") or resource.api_version), str(body.get("kind") or resource.kind)
        raise _cannot_be_handled(kind, version.rpartition("/")[2], resource.kind, problem)


def _cannot_be_handled(kind: str, version: str, wanted: str, sentence: str) -> ApiError:
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {wanted}: {sentence}')


def _unrecognized(body: bytes, kind: str, problem: str) -> ApiError:
    if not body:
        summary = "<empty>"
    else:
        shown = body.decode(errors="replace")[:_SHOWN] if body.startswith(b"{") else body[:_SHOWN].hex()
        summary = f"{shown} ..." if len(body) > _SHOWN else shown
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: "
        f"{problem} ({summary})"
    )
