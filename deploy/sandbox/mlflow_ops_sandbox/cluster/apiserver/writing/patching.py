"""PATCH: from the object as it is and a patch of one of three kinds to the object as it should be.

The fourth, apply, has its own way (``Writer.apply``), because it may create.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.status import ApiError, Cause, bad_request, internal_error, invalid
from mlflow_ops_sandbox.cluster.apiserver.go_json import go_json_error, json_kind
from mlflow_ops_sandbox.cluster.apiserver.patches.merge import merge_patch
from mlflow_ops_sandbox.cluster.apiserver.patches.strategic import StrategicMergeError, go_format, strategic_merge
from mlflow_ops_sandbox.cluster.apiserver.protobuf import unsupported_media_type as unsupported
from mlflow_ops_sandbox.cluster.apiserver.schema.decoding import Decoder, DecodingError
from mlflow_ops_sandbox.cluster.apiserver.schema.types import Type
from mlflow_ops_sandbox.cluster.apiserver.writing.bodies import bare, complain, kind_problem
from mlflow_ops_sandbox.cluster.apiserver.writing.options import WriteOptions

JSON_PATCH, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = frozenset({"application/apply-patch+yaml"})
_REFUSED = "the server rejected our request due to an error in our request"
_OPERATIONS = 10_000

__all__ = ["APPLY", "JSON_PATCH", "MERGE", "STRATEGIC", "patched", "unsupported"]


def patched(live: Object, body: bytes, content_type: str, kind: Type, options: WriteOptions) -> Object:
    """Return the object as the patch would have it; ``live`` has its kind. Raises ApiError 400, 413, 415, 422."""
    if content_type == JSON_PATCH:
        result = _json_patched(live, body)
        shown = _compact(result)
    elif content_type == MERGE:
        result = merge_patch(copy.deepcopy(live), _patch_of(body))
        shown = _compact(result)
    elif content_type == STRATEGIC:
        patch = _patch_of(body)
        try:
            result = strategic_merge(copy.deepcopy(live), patch, kind)
        except StrategicMergeError as problem:
            raise internal_error(str(problem)) from None
        shown = go_format(patch)
    else:
        raise unsupported()
    wrong = "" if content_type == STRATEGIC else kind_problem(result, live["apiVersion"], live["kind"])
    if wrong:
        raise _invalid(shown, wrong)
    decoder = Decoder(converter=content_type == STRATEGIC)
    try:
        item = decoder.decode(result, kind)
    except DecodingError as problem:
        raise _invalid(shown, str(problem)) from None
    complaint = complain(decoder, options)
    if complaint:
        raise _invalid(shown, complaint)
    return bare(item)


def _json_patched(live: Object, body: bytes) -> Object:
    operations = _parsed(body)
    if not isinstance(operations, list) or not all(isinstance(entry, dict) for entry in operations):
        kind = json_kind(operations)
        raise bad_request(f"error decoding patch: json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch")
    if len(operations) > _OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {_OPERATIONS}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", message, {})
    try:
        result = jsonpatch.JsonPatch(operations).apply(live)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, KeyError, ValueError):
        raise ApiError(422, "Invalid", _REFUSED, {}) from None
    if not isinstance(result, dict):
        raise ApiError(422, "Invalid", _REFUSED, {})
    return result


def _patch_of(body: bytes) -> Object:
    patch = _parsed(body)
    if not isinstance(patch, dict):
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {json_kind(patch)} into Go value of type "
            "map[string]interface {}"
        )
    return patch


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as problem:
        raise bad_request(f"error decoding patch: {go_json_error(body, problem)}") from None


def _compact(item: Object) -> str:
    return json.dumps(item, separators=(",", ":"), ensure_ascii=False)


def _invalid(value: str, problem: str) -> ApiError:
    quoted = json.dumps(value, ensure_ascii=False)
    return invalid("", "", "", [Cause("FieldValueInvalid", "patch", f"Invalid value: {quoted}: {problem}")])
