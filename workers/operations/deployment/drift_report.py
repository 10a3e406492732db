"""What has drifted of MLflow's objects, for reports: read from the cluster, and from Git if ops.yaml names where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.operations.deployment import drift, ownership
from workers.operations.deployment.manifest_edit import Place, value_at
from workers.report import Section, Text
from workers.settings.gitops import GitField, GitImage
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.deployment.drift import Path
    from workers.settings import Ops
    from workers.systems import Systems

Json = dict[str, Any]
_CONTAINERS = ("spec", "template", "spec", "containers")


@dataclass(frozen=True)
class DriftReport:
    """lines: each field that differs, with its object. unread: why Git could not be asked, in a sentence."""

    lines: tuple[str, ...]
    unread: str = ""

    @property
    def summary(self) -> str:
        """How many fields differ; empty if none does."""
        if not self.lines:
            return ""
        verb = "differs" if len(self.lines) == 1 else "differ"
        return f"{count(len(self.lines), 'field')} {verb} from what was applied."

    @property
    def sections(self) -> tuple[Section, ...]:
        """The fields."""
        told = [*self.lines, *([self.unread] if self.unread else [])]
        return (Text(title="Drift", text="\n".join(told)),) if told else ()


def of(systems: Systems, *items: Json) -> DriftReport:
    """What has drifted of these objects; each has its kind."""
    now = datetime.now(UTC)
    ops = systems.settings.ops
    git: dict[str, dict[Path, Any]] = {}
    unread = ""
    owned = any(ownership.owner_of(item) for item in items)
    if owned and ops.gitops.repository and systems.settings.environment.git_token:
        try:
            git = _git(systems, items)
        except OperatorError as error:
            unread = f"Git could not be asked: {error.message}"
    lines = [
        f"{ownership.name_of(item)} {each.told(now)}"
        for item in items
        for each in drift.of(item, git.get(str(item.get("kind"))))
    ]
    return DriftReport(tuple(lines), unread)


def _git(systems: Systems, items: tuple[Json, ...]) -> dict[str, dict[Path, Any]]:
    """What Git says, by the kind and the field. Raises OperatorError."""
    texts: dict[str, str] = {}
    found: dict[str, dict[Path, Any]] = {}
    by_kind = {str(item.get("kind")): item for item in items}
    for kind, path, where in _fields(systems.settings.ops):
        if where is None or kind not in by_kind:
            continue
        if where.file not in texts:
            texts[where.file] = systems.git.read(where.file).text
        value = value_at(texts[where.file], Place(where.file, kind, by_kind[kind]["metadata"]["name"], where.path))
        if isinstance(where, GitImage) and where.holds == "tag" and value is not None:
            value = _whole(by_kind[kind], path, str(value))
        found.setdefault(kind, {}).update(_below(path, value))
    return found


def _fields(ops: Ops) -> Iterator[tuple[str, Path, GitField | None]]:
    container = (*_CONTAINERS, f"[{ops.kubernetes.container}]")
    known = ops.gitops.fields
    yield "Deployment", drift.REPLICAS, known.replicas
    yield "Deployment", (*container, "image"), known.image
    yield "Deployment", (*container, "resources"), known.resources
    yield "ConfigMap", ("data",), known.config


def _below(path: Path, value: Any) -> Mapping[Path, Any]:
    if not isinstance(value, dict):
        return {} if value is None else {path: value}
    return {inner: each for key, held in value.items() for inner, each in _below((*path, str(key)), held).items()}


def _whole(item: Json, path: Path, tag: str) -> str:
    """The image's whole name, by the name of the one that runs."""
    runs = str(drift.value_at(item, path) or "").partition("@")[0]
    head, slash, tail = runs.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}:{tag}"
