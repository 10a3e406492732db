"""Validating admission webhooks that refuse, set by the control endpoint: no object and no server stands behind them.

A webhook hears of what is created and changed, by whomever: also of the pods that controllers make. Its refusal bears
its name and its words, and not the name of what it refused.
Source: apiserver/pkg/admission/plugin/webhook/errors of Kubernetes, and AdmissionResponse.status in
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#response.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import Resource
from mlflow_ops_sandbox.cluster.api.status import ApiError

CREATE, UPDATE = "CREATE", "UPDATE"
_REASONS = {400: "BadRequest", 403: "Forbidden", 422: "Invalid", 500: "InternalError"}
_KEYS = {"name", "kind", "pattern", "operations", "message", "code"}


@dataclass(frozen=True, slots=True)
class Webhook:
    """One that refuses."""

    name: str
    kind: str = "Pod"
    pattern: str = ""
    """Looked for in the object's name, or in what its name will be made of."""
    operations: tuple[str, ...] = (CREATE, UPDATE)
    message: str = ""
    code: int = 403

    @classmethod
    def from_json(cls, body: Object) -> Webhook:
        """Read one. Raises ValueError in a sentence."""
        if not isinstance(body, dict) or not set(body) <= _KEYS or not body.get("name"):
            message = f"webhook: an object with name, and any of {', '.join(sorted(_KEYS - {'name'}))}"
            raise ValueError(message)
        operations = tuple(body.get("operations") or (CREATE, UPDATE))
        code = int(body.get("code", 403))
        if not set(operations) <= {CREATE, UPDATE} or code not in _REASONS:
            message = f"webhook: operations of {CREATE}, {UPDATE}; code one of {', '.join(map(str, _REASONS))}"
            raise ValueError(message)
        try:
            pattern = re.compile(str(body.get("pattern", ""))).pattern
        except re.error as problem:
            message = f"webhook: pattern: {problem}"
            raise ValueError(message) from None
        kind, words = str(body.get("kind", "Pod")), str(body.get("message", ""))
        return cls(str(body["name"]), kind, pattern, operations, words, code)

    def to_json(self) -> Object:
        """Return the form that the control endpoint shows."""
        return {
            "name": self.name,
            "kind": self.kind,
            "pattern": self.pattern,
            "operations": list(self.operations),
            "message": self.message,
            "code": self.code,
        }

    def refusal(self) -> ApiError:
        """Return the refusal as the server tells it."""
        said = f": {self.message}" if self.message else " without explanation"
        return ApiError(self.code, _REASONS[self.code], f'admission webhook "{self.name}" denied the request{said}')


@dataclass(slots=True)
class Webhooks:
    """Those in force."""

    active: list[Webhook] = field(default_factory=list)

    def check(self, resource: Resource, item: Object, operation: str) -> None:
        """Ask each of them about a write. Raises ApiError with the first refusal."""
        metadata = item["metadata"]
        name = str(metadata.get("name") or metadata.get("generateName") or "")
        for webhook in self.active:
            hears = webhook.kind == resource.kind and operation in webhook.operations
            if hears and re.search(webhook.pattern, name):
                raise webhook.refusal()
