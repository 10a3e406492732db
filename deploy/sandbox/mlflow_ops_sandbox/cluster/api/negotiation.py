"""Which form of an answer the client takes: the object itself, a Table, or metadata only.

kubectl asks for ``application/json;as=Table;v=v1;g=meta.k8s.io`` first; controllers ask for protobuf first and take
JSON. The first clause that can be served wins, as in the real server; where none can, the answer is 406. Protobuf is
read here (kubectl sends it) and never written, which every client that asks for it allows.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.status import not_acceptable

YAML = "application/yaml"
_SERVED = frozenset({"application/json", YAML, "application/*", "*/*"})


@dataclass(frozen=True, slots=True)
class Clause:
    """One alternative of an Accept header."""

    media_type: str
    parameters: dict[str, str]

    @property
    def shape(self) -> tuple[str, str, str]:
        """Return (as, group, version), all empty for the plain object."""
        return self.parameters.get("as", ""), self.parameters.get("g", ""), self.parameters.get("v", "")


def parse_accept(header: str) -> list[Clause]:
    """Return the alternatives in the client's order."""
    clauses: list[Clause] = []
    for part in (header or "*/*").split(","):
        media_type, *parameters = (piece.strip() for piece in part.split(";"))
        pairs = (piece.partition("=") for piece in parameters)
        clauses.append(Clause(media_type.lower(), {key.strip(): value.strip() for key, _, value in pairs}))
    return clauses


def negotiate(header: str, shapes: frozenset[str]) -> str:
    """Return the shape to answer in ("" is the object itself). Raises ApiError 406."""
    for clause in parse_accept(header):
        if clause.media_type not in _SERVED:
            continue
        shape, group, version = clause.shape
        if not shape:
            return ""
        if shape in shapes and group == "meta.k8s.io" and version in {"v1", "v1beta1"}:
            return shape
    raise not_acceptable()


def wants_yaml(header: str) -> bool:
    """Say whether YAML is the first form that can be served."""
    served = (clause.media_type for clause in parse_accept(header) if clause.media_type in _SERVED)
    return next(served, "") == YAML
