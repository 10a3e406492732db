"""What the documentation site adds to docs/: reference pages made from the code, and links to what is named.

MkDocs calls what is named `on_…` (https://www.mkdocs.org/user-guide/configuration/#hooks). The pages under
reference/ are made at every build, so they cannot be stale.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from mkdocs.structure.files import File, Files

from bot.process.check import SCOPES
from commands import policy
from workers import registry
from workers.operation import Risk
from workers.settings import Ops

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]
_PICTURE: Final = re.compile(r"!\[([^]]*)\]\(([\w./-]+)-light\.png\)")
"""In a document one picture is named, the light one; the site shows that of the theme."""
SOURCE: Final = "https://github.com/mlflow-ops/mlflow-ops/blob/main/"


def chart() -> str:
    """The chart's own README."""
    return (ROOT / "deploy" / "helm" / "mlflow-ops" / "README.md").read_text()


def ops_schema() -> str:
    """The schema of ops.yaml, for editors."""
    schema = json.dumps(Ops.model_json_schema(), indent=2, ensure_ascii=False)
    return (
        "# The schema of ops.yaml\n\nFor an editor that checks while you write, and for CI: JSON Schema, made from the "
        "models that read the file. The Helm chart has it within `values.schema.json`.\n\n"
        f"```json\n{schema}\n```\n"
    )


def operations() -> str:
    """Every operation by the name that `approvals:` in ops.yaml takes."""
    rows = []
    for name, kind in sorted(registry.operations().items()):
        if kind.risk is not Risk.READ:
            who = policy.NEEDED[kind.risk]
            rows.append((f"`{name}`", kind.risk.value, who, _sentence(kind.__doc__)))
    return (
        "# Operations\n\nThe names that `approvals:` in ops-yaml.md takes: of everything that changes something, with "
        "who may ask for it unless ops.yaml or the operation says otherwise.\n\n"
        + _table(("Operation", "Risk", "Role", "What it does"), rows)
    )


def metrics() -> str:
    """Every figure that /metrics shows, from the calls that make them."""
    tree = ast.parse((ROOT / "bot" / "process" / "metrics.py").read_text())
    rows = sorted(set(_metrics(tree)))
    return (
        "# Metrics\n\nWhat every process shows at `/metrics`, as Prometheus reads it; alerts.md says what is made of "
        "them.\n\n" + _table(("Metric", "What it is"), rows)
    )


def _metrics(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        constants: list[Any] = []
        if isinstance(node, ast.Call):
            constants = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Tuple):
                    constants = [key.value, ast.literal_eval(value)[-1]]
                    yield from _metric(constants)
            continue
        yield from _metric(constants)


def _metric(constants: list[Any]) -> Iterator[tuple[str, str]]:
    if len(constants) == 2 and str(constants[0]).startswith("mlflow_ops_"):  # noqa: PLR2004 - name and meaning
        yield f"`{constants[0]}`", str(constants[1])


def alert_rules() -> str:
    """The rules that are shipped."""
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())["groups"]
    rows = [
        (
            f"`{rule['alert']}`",
            rule["labels"]["severity"],
            rule.get("for", ""),
            rule["annotations"]["summary"],
            f"`{rule['annotations']['command']}`",
        )
        for group in groups
        for rule in group["rules"]
    ]
    return (
        "# Alert rules\n\nWhat deploy/prometheus/rules.yaml, the component `monitoring` and the chart tell Prometheus "
        "to watch, and the command that each begins with.\n\n"
        + _table(("Alert", "Severity", "After", "What it says", "Command"), rows)
    )


def slack() -> str:
    """The scopes of the app, and what each is for."""
    rows = [(f"`{scope}`", use) for scope, use in SCOPES.items()]
    manifest = (ROOT / "deploy" / "slack" / "manifest.yaml").read_text()
    return (
        "# Slack scopes\n\nWhat the app may do in your workspace, and what for; `mlflow-ops check` names those "
        "that are missing.\n\n"
        + _table(("Scope", "What it is for"), rows)
        + f"\n## The manifest\n\n```yaml\n{manifest}```\n"
    )


PAGES: Final = {
    "chart": chart,
    "ops-schema": ops_schema,
    "operations": operations,
    "metrics": metrics,
    "alert-rules": alert_rules,
    "slack": slack,
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add to the navigation the decisions, and the pages that nobody has put into it."""
    docs = Path(config.docs_dir)
    named = set(_named(config.nav))
    pages = [str(file.relative_to(docs)) for file in sorted(docs.rglob("*.md"))]
    decisions = [each for each in pages if each.startswith("decisions/")]
    others = [each for each in pages if each not in named and each not in decisions]
    config.nav = [*(config.nav or ()), *([{"Also": others}] if others else []), {"Decisions": decisions}]
    return config


def _named(level: Any) -> Iterator[str]:
    if isinstance(level, str):
        yield level
    for each in level.values() if isinstance(level, dict) else level if isinstance(level, list) else ():
        yield from _named(each)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference pages."""
    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    worker = Path(__file__).with_name("worker.js").read_text()
    files.append(File.generated(config, "assets/worker.js", content=worker))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 - MkDocs'
    """Take our own worker for pages that are read from a folder, in the place of one from somebody's server."""
    return output.replace(
        "https://unpkg.com/iframe-worker/shim", f"{'../' * page.file.src_uri.count('/')}assets/worker.js"
    )


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs'
    """Make a link of each document and each file of the repository that the text names."""
    above = "../" * page.file.src_uri.count("/")
    known = {file.src_uri for file in files.documentation_pages()}
    markdown = _PICTURE.sub(r"![\1](\2-light.png#only-light)![\1](\2-dark.png#only-dark)", markdown)
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _linked(part, above, known) for part in parts)


def _linked(text: str, above: str, known: set[str]) -> str:
    text = re.sub(r"\]\(\.\./(?!\.\.)([\w./-]+)\)", lambda found: f"]({SOURCE}{found[1]})", text)

    def page(found: re.Match[str]) -> str:
        name = found[1]
        return f"[{name.removesuffix('.md')}]({above}{name})" if name in known else found[0]

    def path(found: re.Match[str]) -> str:
        name = found[1]
        if f"{name.removeprefix('docs/')}" in known:
            return f"[`{name}`]({above}{name.removeprefix('docs/')})"
        return f"[`{name}`]({SOURCE}{name})" if (ROOT / name).exists() else found[0]

    text = re.sub(r"(?<![\w/.(\[`-])([a-z-]+\.md)\b(?!\))", page, text)
    return re.sub(r"(?<!\[)`((?:docs|deploy|tests|bot|commands|workers)/[\w./-]*[\w])`(?!\])", path, text)


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return (
        "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"
    )


def _sentence(docstring: str | None) -> str:
    text = " ".join((docstring or "").split())
    return re.split(r"(?<=\.) ", text)[0]
