"""Random and derived names in Kubernetes' own alphabet (no vowels, so that no words come out)."""

from __future__ import annotations

import json
import secrets

from mlflow_ops_sandbox.cluster.api.objects import Object

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619


def random_suffix(length: int = 5) -> str:
    """Return what ``generateName`` appends."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def template_hash(template: Object) -> str:
    """Return the ``pod-template-hash`` of a pod template: the same for the same template, in the usual shape.

    The real one hashes Go's own dump of the structure, so the values differ from those of a real cluster.
    """
    value = _FNV_OFFSET
    for byte in json.dumps(template, sort_keys=True, separators=(",", ":")).encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(value))
