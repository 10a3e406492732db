"""Makes the chart's README.md and values.schema.json from the comments of its values.yaml.

    python deploy/helm/document.py            writes both
    python deploy/helm/document.py --check    says whether they are as it would write them

The comment above a value is its description; the default gives its type. What a type cannot say stands in `LIMITS`. The
part under `ops` is the product's own schema of ops.yaml, so a wrong key there is refused by Helm, and not by pods that
start over and over.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from workers.settings import Ops

CHART: Final = Path(__file__).with_name("mlflow-ops")
_TABLE: Final = "## Values"

_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_PORT: Final = {"minimum": 1, "maximum": 65535}
_COUNT: Final = {"minimum": 0, "maximum": 100}
LIMITS: Final[dict[str, dict[str, Any]]] = {
    "fullnameOverride": {"pattern": r"^([a-z]([-a-z0-9]*[a-z0-9])?)?$", "maxLength": 40},
    "image.repository": {"minLength": 1},
    "image.digest": {"pattern": r"^(sha256:[0-9a-f]{64})?$"},
    "botImage.tag": {"pattern": r"^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"},
    "botImage.digest": {"pattern": r"^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": {"enum": ["", "Always", "IfNotPresent", "Never"]},
    "target": {"pattern": r"^[a-z0-9-]{1,40}$"},
    "secrets.slack": {"pattern": _NAME},
    "secrets.redis": {"pattern": _NAME},
    "secrets.worker": {"pattern": _NAME},
    "secrets.replication": {"pattern": _NAME},
    "externalSecrets.store.kind": {"enum": ["ClusterSecretStore", "SecretStore"]},
    "redis.maxmemory": {"pattern": r"^[0-9]+(mb|gb)$"},
    "redis.storage": {"pattern": r"^[0-9]+(Mi|Gi|Ti)$"},
    "bot.replicas": _COUNT,
    "scheduler.replicas": _COUNT,
    "wal.replicas": _COUNT,
    "workers.quick.replicas": _COUNT,
    "workers.ops.replicas": _COUNT,
    "workers.quick.graceSeconds": {"minimum": 60, "maximum": 86400},
    "workers.ops.graceSeconds": {"minimum": 60, "maximum": 86400},
    "networkPolicies.mlflow.port": _PORT,
    "networkPolicies.postgres.port": _PORT,
    "networkPolicies.storage.port": _PORT,
    "alerts.port": _PORT,
    "alerts.alertmanagerPort": _PORT,
    "monitoring.interval": {"pattern": r"^[0-9]+(s|m)$"},
    "keda.redisAddress": {"pattern": r"^([^:/]+:[0-9]+)?$"},
    "keda.cooldown": {"minimum": 0},
    "keda.listLength": {"minimum": 1},
    "keda.quick.min": {"minimum": 1},
    "keda.quick.max": {"minimum": 1},
    "keda.ops.min": {"minimum": 1},
    "keda.ops.max": {"minimum": 1},
    "disruptionBudgets.maxUnavailable": {"minimum": 1},
}
_PROCESSES: Final = ("bot", "scheduler", "wal", "workers.quick", "workers.ops")
_FREE: Final = ("commonLabels", "annotations", "labels", "nodeSelector", "affinity", "podLabels", "resources")
"""Maps whose keys are Kubernetes' business."""
_TYPES: Final = {bool: "boolean", int: "integer", str: "string", list: "array"}


def documented() -> Iterator[tuple[str, Any, str]]:
    """Every value of values.yaml with its path, its default and its description. Raises SystemExit if one has none."""
    text = (CHART / "values.yaml").read_text()
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    yield from _level(root, "", text.splitlines())


def _level(node: yaml.MappingNode, above: str, lines: list[str]) -> Iterator[tuple[str, Any, str]]:
    for key, value in node.value:
        path = f"{above}.{key.value}".lstrip(".")
        first = last = key.start_mark.line
        while first > 0 and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        said = " ".join(line.strip().removeprefix("#").strip() for line in lines[first:last])
        if not said:
            raise SystemExit(f"values.yaml: no comment above {path}")
        yield path, yaml.safe_load(yaml.serialize(value)), said
        if isinstance(value, yaml.MappingNode) and value.value and key.value not in _FREE:
            yield from _level(value, path, lines)


def schema() -> dict[str, Any]:
    """values.schema.json."""
    product = Ops.model_json_schema(ref_template="#/$defs/{model}")
    made: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart mlflow-ops",
        "type": "object",
        "additionalProperties": False,
        "properties": {"global": {"type": "object", "description": "Helm's own, for charts above this one."}},
    }
    for path, default, said in documented():
        *above, name = path.split(".")
        level = made
        for each in above:
            level = level["properties"][each]
        level["properties"][name] = _of_value(path, name, default) | {"description": said}
    everywhere = made["properties"]["pods"]["properties"]
    for path in _PROCESSES:
        level = made
        for each in path.split("."):
            level = level["properties"][each]
        level["properties"] |= everywhere
    made["properties"]["ops"] |= {key: product[key] for key in ("properties", "additionalProperties")}
    made["$defs"] = product["$defs"]
    return made


def _of_value(path: str, name: str, default: Any) -> dict[str, Any]:
    limits = LIMITS.get(path, {})
    if not isinstance(default, dict):
        items = {"items": {"type": "object"}} if isinstance(default, list) else {}
        return {"type": _TYPES[type(default)], **items, **limits}
    if name in _FREE or not default:
        return {"type": "object", **limits}
    return {"type": "object", "additionalProperties": False, "properties": {}, **limits}


def readme() -> str:
    """README.md: its head, and a table of the values."""
    text = (CHART / "README.md").read_text()
    rows = [
        f"| `{path}` | {_cell(default)} | {said.replace('|', chr(92) + '|')} |"
        for path, default, said in documented()
        if not isinstance(default, dict) or not default or path.rsplit(".", 1)[-1] in _FREE
    ]
    table = "\n".join(["| Value | Default | What it is |", "| --- | --- | --- |", *rows])
    begins = text.index(_TABLE) + len(_TABLE)
    return f"{text[:begins]}\n\n{table}\n"


def _cell(default: Any) -> str:
    return f"`{json.dumps(default)}`" if default != "" else ""


def main() -> None:
    """Write both, or say which one is stale."""
    made = {
        "values.schema.json": json.dumps(schema(), indent=2, ensure_ascii=False) + "\n",
        "README.md": readme(),
    }
    if sys.argv[1:] == ["--check"]:
        stale = [name for name, text in made.items() if (CHART / name).read_text() != text]
        raise SystemExit(f"stale: {', '.join(stale)}; python deploy/helm/document.py" if stale else 0)
    for name, text in made.items():
        (CHART / name).write_text(text)


if __name__ == "__main__":
    main()
