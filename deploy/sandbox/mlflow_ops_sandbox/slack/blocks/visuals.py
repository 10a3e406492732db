"""`data_visualization`: a chart in a message; and `card` and `alert`, which are seen as boxes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.blocks.elements import IN_ACTIONS, element
from mlflow_ops_sandbox.slack.blocks.findings import text

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.blocks.findings import Findings
    from mlflow_ops_sandbox.slack.errors import Json

CHARTS_IN_MESSAGE = 2
TITLE = 50
SERIES = 6
POINTS = 20
NAME = 20
AXIS = 50
LEVELS = ("default", "info", "warning", "error", "success")


def data_visualization(found: Findings, pointer: str, block: Json) -> None:
    """Check a chart."""
    found.only(pointer, block, "type", "block_id", "title", "chart")
    found.length(f"{pointer}/title", block.get("title"), TITLE, least=1)
    given, at = block.get("chart"), f"{pointer}/chart"
    chart: Json = given if isinstance(given, dict) else {}
    kind = chart.get("type")
    if kind == "pie":
        _pie(found, at, chart)
    elif kind in ("line", "bar", "area"):
        _series(found, at, chart)
    else:
        found.add(f"{at}/type", f"unsupported type: {kind}")


def _pie(found: Findings, pointer: str, chart: Json) -> None:
    segments = found.count(f"{pointer}/segments", chart.get("segments"), SERIES)
    _names(found, f"{pointer}/segments", segments, "label")
    for index, item in enumerate(segments):
        if not _number(item.get("value")) or item["value"] <= 0:
            found.add(f"{pointer}/segments/{index}/value", "must be more than 0")


def _series(found: Findings, pointer: str, chart: Json) -> None:
    config = chart.get("axis_config")
    if not isinstance(config, dict):
        found.add(pointer, "missing required field: axis_config")
        return
    categories = found.count(f"{pointer}/axis_config/categories", config.get("categories"), POINTS)
    for index, name in enumerate(categories):
        found.length(f"{pointer}/axis_config/categories/{index}", name, NAME, least=1)
    if len(set(map(str, categories))) < len(categories):
        found.add(f"{pointer}/axis_config/categories", "must be unique")
    for name in ("x_label", "y_label"):
        if name in config:
            found.length(f"{pointer}/axis_config/{name}", config[name], AXIS, least=1)
    series = found.count(f"{pointer}/series", chart.get("series"), SERIES)
    _names(found, f"{pointer}/series", series, "name")
    for index, item in enumerate(series):
        at = f"{pointer}/series/{index}/data"
        points = item.get("data") if isinstance(item.get("data"), list) else []
        if [point.get("label") for point in points] != categories:
            found.add(at, "must have one point for each category")
        for number, point in enumerate(points):
            if not _number(point.get("value")):
                found.add(f"{at}/{number}/value", "must be a number")


def _names(found: Findings, pointer: str, items: list[Json], field: str) -> None:
    for index, item in enumerate(items):
        found.length(f"{pointer}/{index}/{field}", item.get(field), NAME, least=1)
    if len({str(item.get(field)) for item in items}) < len(items):
        found.add(pointer, f"each {field} must be unique")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def card(found: Findings, pointer: str, block: Json) -> None:
    """Check a card."""
    found.only(pointer, block, "type", "block_id", "hero_image", "icon", "title", "subtitle", "body", "actions")
    if not any(name in block for name in ("hero_image", "title", "body", "actions")):
        found.add(pointer, "must define one of `hero_image`, `title`, `body`, `actions`")
    for name, limit in (("title", 150), ("subtitle", 150), ("body", 200)):
        if name in block:
            text(found, f"{pointer}/{name}", block[name], limit)
    for index, item in enumerate(found.count(f"{pointer}/actions", block.get("actions") or [], 3, least=0)):
        element(found, f"{pointer}/actions/{index}", item, IN_ACTIONS)


def alert(found: Findings, pointer: str, block: Json) -> None:
    """Check an alert, which only modals take."""
    if found.required(pointer, block, "text"):
        text(found, f"{pointer}/text", block["text"], 200)
    if block.get("level", "default") not in LEVELS:
        found.add(f"{pointer}/level", f"must be one of {', '.join(LEVELS)}")
