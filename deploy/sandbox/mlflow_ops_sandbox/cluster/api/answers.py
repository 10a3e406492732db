"""HTTP answers as a real API server writes them: JSON with a line end, and the headers that clients and tools look
at.
"""

from __future__ import annotations

import json
import uuid

import yaml
from aiohttp import web

from mlflow_ops_sandbox.cluster.api.negotiation import YAML
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import ApiError

JSON = "application/json"


def standard_headers() -> dict[str, str]:
    """Return the headers of every answer."""
    return {
        "Audit-Id": str(uuid.uuid4()),
        "Cache-Control": "no-cache, private",
        "X-Kubernetes-Pf-Flowschema-Uid": "7f3c2d1e-9c64-4b1e-8a52-5d0e1b7c9a10",
        "X-Kubernetes-Pf-Prioritylevel-Uid": "2b8e6f40-1d57-4c3b-9f0a-6e4d8c2a7b31",
    }


def encode(body: Object) -> bytes:
    """Return compact JSON and a line end."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def json_answer(body: Object, *, code: int = 200, content_type: str = JSON) -> web.Response:
    """Answer with an object."""
    headers = {**standard_headers(), "Content-Type": content_type}
    return web.Response(body=encode(body), status=code, headers=headers)


def as_yaml(answer: web.Response) -> web.Response:
    """Return the same answer in YAML."""
    answer.text = yaml.safe_dump(json.loads(answer.text or ""), sort_keys=True)
    answer.content_type = YAML
    return answer


def error_answer(error: ApiError) -> web.Response:
    """Answer with a Status."""
    answer = json_answer(error.to_object(), code=error.code)
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def page_not_found() -> web.Response:
    """Answer for a path that names nothing: plain text, no Status."""
    headers = {**standard_headers(), "X-Content-Type-Options": "nosniff"}
    return web.Response(text="404 page not found\n", status=404, headers=headers, content_type="text/plain")


def with_kind(resource: Resource, item: Object) -> Object:
    """Return an object as it travels alone, with kind and apiVersion (within lists they are left out)."""
    return {"kind": resource.kind, "apiVersion": resource.api_version, **item}
