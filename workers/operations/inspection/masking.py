"""Objects of the cluster without what is secret in them.

A password stands not only in Secrets: as a literal in a container's environment, under a telling key of a ConfigMap, in
an address, and a second time in the annotation that `kubectl apply` leaves behind.
"""

from __future__ import annotations

from typing import Any, Final

from workers.redaction import MASK, hides, open_variable, redacted, without_secrets

Json = dict[str, Any]

_BOOKKEEPING: Final = ("managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink")
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def value_of(name: str, value: str) -> str:
    """A named value of a ConfigMap or of an argument, as others may read it."""
    return MASK if value and hides(name) else redacted(value)


def variable_of(name: str, value: str) -> str:
    """A container's variable as others may read it: masked, unless its name is known to be harmless."""
    if value and not open_variable(name):
        return MASK
    return redacted(value)


def masked(item: Json) -> Json:
    """The object as somebody would have written it, without secrets and without the API server's own bookkeeping."""
    kept = {key: value for key, value in item.items() if key != "status"}
    metadata = {key: value for key, value in (kept.get("metadata") or {}).items() if key not in _BOOKKEEPING}
    annotations = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key != _APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    kept["metadata"] = metadata
    secret = kept.get("kind") == "Secret"
    for field in ("data", "stringData", "binaryData"):
        values = kept.get(field)
        if isinstance(values, dict):
            kept[field] = {key: MASK if secret else value_of(str(key), str(value)) for key, value in values.items()}
    cleaned: Json = _cleaned(kept)
    return cleaned


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return without_secrets(value)
        case list():
            return [_argument(before, each) for before, each in zip([None, *value], value, strict=False)]
        case {"name": str() as name, "value": str() as literal}:
            rest = {key: _cleaned(each) for key, each in value.items() if key != "value"}
            return {**rest, "value": variable_of(name, literal)}
        case dict():
            return {key: _cleaned(each) for key, each in value.items()}
    return value


def _argument(before: Any, each: Any) -> Any:
    """An element of a list; what follows --password, or stands behind it, is masked."""
    if not isinstance(each, str):
        return _cleaned(each)
    if isinstance(before, str) and before.startswith("-") and "=" not in before and hides(before.strip("-")):
        return MASK
    return redacted(each)
