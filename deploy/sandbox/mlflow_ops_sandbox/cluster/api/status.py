"""What the API answers when it refuses: ``Status`` objects with the sentences of a real server.

Clients branch on ``reason`` and people read ``message``; both are therefore word for word. ``details.kind`` holds the
plural ("pods"), except for an invalid object, where it holds the kind ("Deployment").
"""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import Resource

_MEDIA_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@dataclass(eq=False)
class ApiError(Exception):
    """A request that is answered with a Status instead of a result."""

    code: int
    reason: str
    message: str
    details: Object | None = None
    metadata: Object | None = None
    retry_after: int | None = None

    def to_object(self) -> Object:
        """Return the body."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata or {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
        }
        if self.details is not None:
            body["details"] = self.details
        return {**body, "code": self.code}


@dataclass(frozen=True)
class Cause:
    """One thing that is wrong with an object, and where."""

    reason: str
    field: str
    message: str

    def to_object(self) -> Object:
        """Return the form within ``details.causes``."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def group_resource(resource: Resource) -> str:
    """Return the name in sentences: ``pods``, ``deployments.apps``."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def details_of(resource: Resource, name: str = "") -> Object:
    """Return ``details`` as errors about one object carry them."""
    details: Object = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details


def not_found(resource: Resource, name: str) -> ApiError:
    """404: no such object."""
    message = f'{group_resource(resource)} "{name}" not found'
    return ApiError(404, "NotFound", message, details_of(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    """409: the name is taken."""
    message = f'{group_resource(resource)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details_of(resource, name))


def conflict(resource: Resource, name: str) -> ApiError:
    """409: somebody else wrote in between."""
    message = (
        f'Operation cannot be fulfilled on {group_resource(resource)} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return ApiError(409, "Conflict", message, details_of(resource, name))


def bad_request(message: str) -> ApiError:
    """400: the request itself makes no sense."""
    return ApiError(400, "BadRequest", message)


def invalid(group: str, kind: str, name: str, causes: list[Cause]) -> ApiError:
    """422: the object (or the options) break a rule."""
    sentences = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
    full = f"{kind}.{group}" if group else kind
    details: Object = {"name": name} if name else {}
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details["causes"] = [cause.to_object() for cause in causes]
    return ApiError(422, "Invalid", f'{full} "{name}" is invalid: {listed}', details)


def unauthorized() -> ApiError:
    """401: the token is not known."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    """405: the resource has no such verb."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def no_such_path() -> ApiError:
    """404: the group and version exist, the kind or the subresource does not."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def not_acceptable() -> ApiError:
    """406: none of the media types that the client takes."""
    return ApiError(406, "NotAcceptable", f"only the following media types are accepted: {_MEDIA_TYPES}")


def unknown_format() -> ApiError:
    """415: a body in a form that nobody reads; a patch of no kind has a sentence of its own."""
    message = f"the body of the request was in an unknown format - accepted media types include: {_MEDIA_TYPES}"
    return ApiError(415, "UnsupportedMediaType", message)


def expired(message: str, *, continue_token: str = "") -> ApiError:
    """410: the version asked for is no longer in the history."""
    metadata: Object = {"continue": continue_token} if continue_token else {}
    return ApiError(410, "Expired", message, metadata=metadata)


def version_from_the_future(wanted: int, current: int) -> ApiError:
    """504: the version asked for has not been written yet."""
    message = f"Too large resource version: {wanted}, current: {current}"
    details: Object = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return ApiError(504, "Timeout", f"Timeout: {message}", details, retry_after=1)


def too_many_requests(retry_after: int = 1) -> ApiError:
    """429: come back later."""
    message = "the server has received too many requests and has asked us to try again later"
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after}, retry_after=retry_after)


def internal_error(sentence: str) -> ApiError:
    """500: something broke within the server."""
    details: Object = {"causes": [{"message": sentence}]}
    return ApiError(500, "InternalError", f"Internal error occurred: {sentence}", details)


def unknown_error(sentence: str) -> ApiError:
    """500 without a reason: the server could not make a Status of what went wrong."""
    return ApiError(500, "", sentence)


def service_unavailable() -> ApiError:
    """503: the server cannot serve now."""
    message = "the server is currently unable to handle the request"
    return ApiError(503, "ServiceUnavailable", message)
