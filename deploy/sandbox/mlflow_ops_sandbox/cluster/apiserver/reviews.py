"""Questions about access: ``kubectl auth can-i``, ``auth can-i --list``, ``auth whoami``, and token reviews.

These are objects that are created and answered, never stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.requests import Target
from mlflow_ops_sandbox.cluster.api.status import Cause, bad_request, invalid
from mlflow_ops_sandbox.cluster.apiserver.access import Attributes, Authorizer
from mlflow_ops_sandbox.cluster.apiserver.identity import Identities, User


@dataclass(frozen=True, slots=True)
class Reviews:
    """Answers reviews of every kind."""

    authorizer: Authorizer
    identities: Identities

    def answer(self, target: Target, user: User, body: Object) -> Object:
        """Return the review with its status. Raises ApiError 400, 422."""
        spec = body.get("spec") or {}
        if not isinstance(spec, dict):
            message = "the object provided is unrecognized (must be of type " + target.resource.kind + ")"
            raise bad_request(message)
        review: Object = {
            "kind": target.resource.kind,
            "apiVersion": target.resource.api_version,
            "metadata": {"creationTimestamp": None} if "TokenReview" in target.resource.kind else {},
        }
        kind = target.resource.kind
        if kind == "SelfSubjectReview":
            return review | {"status": {"userInfo": {"username": user.name, "groups": list(user.groups)}}}
        if kind == "TokenReview":
            if not spec.get("token"):
                raise bad_request("token is required for TokenReview in authentication")
            return review | {"spec": spec, "status": self._token(str(spec["token"]))}
        if kind == "SelfSubjectRulesReview":
            if not spec.get("namespace"):
                raise bad_request("no namespace on request")
            return review | {"spec": {}, "status": self._rules(user, str(spec["namespace"]))}
        _check_access(spec, of_oneself=kind == "SelfSubjectAccessReview")
        asked = user if kind == "SelfSubjectAccessReview" else _other(spec)
        return review | {"spec": _without_empty(spec), "status": self._access(asked, spec)}

    def _access(self, user: User, spec: Object) -> Object:
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if resource:
            fields = ("group", "resource", "subresource", "namespace", "name")
            wanted = Attributes(str(resource.get("verb", "")), **{key: str(resource.get(key, "")) for key in fields})
        else:
            wanted = Attributes(str((path or {}).get("verb", "")), path=str((path or {}).get("path", "")))
        decision = self.authorizer.decide(user, wanted)
        status: Object = {"allowed": decision.allowed}
        return {**status, "reason": decision.reason} if decision.reason else status

    def _rules(self, user: User, namespace: str) -> Object:
        rules = self.authorizer.rules_for(user, namespace)
        return {
            "resourceRules": [rule for rule in rules if rule.get("resources")],
            "nonResourceRules": [rule for rule in rules if rule.get("nonResourceURLs")],
            "incomplete": False,
        }

    def _token(self, token: str) -> Object:
        user = self.identities.user_of(token)
        if user is None:
            return {"authenticated": False, "error": "invalid bearer token"}
        return {"authenticated": True, "user": {"username": user.name, "groups": list(user.groups)}}


def _check_access(spec: Object, *, of_oneself: bool) -> None:
    """Raise ApiError 422 unless the question is about one thing, and about somebody."""
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    causes: list[Cause] = []
    if resource and path:
        message = f"Invalid value: {json.dumps(path)}: cannot be specified in combination with resourceAttributes"
        causes.append(Cause("FieldValueInvalid", "spec.nonResourceAttributes", message))
    if not resource and not path:
        message = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(Cause("FieldValueInvalid", "spec.resourceAttributes", message))
    if not of_oneself and not spec.get("user") and not spec.get("groups"):
        message = 'Invalid value: "": at least one of user or group must be specified'
        causes.append(Cause("FieldValueInvalid", "spec.user", message))
    if causes:
        raise invalid("authorization.k8s.io", "", "", causes)


def _other(spec: Object) -> User:
    return User(str(spec.get("user", "")), tuple(spec.get("groups") or ()))


def _without_empty(value: Object) -> Object:
    kept: Object = {}
    for key, entry in value.items():
        if isinstance(entry, dict):
            kept[key] = _without_empty(entry)
        elif entry not in ("", None):
            kept[key] = entry
    return kept
