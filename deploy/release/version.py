"""The version, which stands in pyproject.toml, in all the places that repeat it.

    python deploy/release/version.py            says it; exits with 1 if a place says another
    python deploy/release/version.py 0.2.0      writes it everywhere

What builds a package, an image or a chart reads the version from a file of its own; a person changes it by this.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PLACES: Final[dict[str, tuple[str, ...]]] = {
    "pyproject.toml": (r'^version = "(.+)"$', r'"mlflow-ops-sandbox==(.+)"\]$'),
    "deploy/sandbox/pyproject.toml": (
        r'^version = "(.+)"$', r'^  "mlflow-ops==(.+)",$', r'^test = \["mlflow-ops\[test\]==(.+)"\]$',
    ),
    "Dockerfile": (r"^ARG VERSION=(.+)$",),
    "deploy/helm/mlflow-ops/Chart.yaml": (r"^version: (.+)$", r"^appVersion: (.+)$"),
    "deploy/helm/mlflow-ops/README.md": (r"--version (\S+) ",),
    "deploy/helm/examples/argocd-application.yaml": (r"targetRevision: (.+)$",),
    "deploy/helm/examples/flux-helmrelease.yaml": (r"ref: \{tag: (.+)\}$",),
    "deploy/kubernetes/components/bot-image/kustomization.yaml": (r"newTag: (.+)-bot\}$",),
    "deploy/kubernetes/overlays/minimal/kustomization.yaml": (r"newTag: (.+)\}$",),
    "deploy/kubernetes/overlays/production/kustomization.yaml": (r"newTag: (.+)\}$",),
    "docs/real-cluster.md": (r"registry\.example\.com/mlflow-ops:([\w.]+)",),
}  # fmt: skip
"""File → patterns whose first group is the version; each must be found at least once."""


def version() -> str:
    """The version of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def others(wanted: str) -> list[str]:
    """Where another version stands, or none, as `file: what`."""
    wrong = []
    for name, patterns in PLACES.items():
        text = (ROOT / name).read_text()
        for pattern in patterns:
            found = re.findall(pattern, text, re.MULTILINE)
            wrong += [f"{name}: {each}" for each in found or ["nothing"] if each != wanted]
    return wrong


def write(wanted: str) -> None:
    """Write it everywhere."""
    for name, patterns in PLACES.items():
        file = ROOT / name
        text = file.read_text()
        for pattern in patterns:
            text = re.sub(pattern, lambda found: found[0].replace(found[1], wanted), text, flags=re.MULTILINE)
        file.write_text(text)


def main() -> None:
    """Say it, or write it."""
    if len(sys.argv) > 1:
        if not re.fullmatch(r"\d+\.\d+\.\d+(rc\d+)?", sys.argv[1]):
            raise SystemExit(f"{sys.argv[1]} is no version such as 0.2.0")
        write(sys.argv[1])
    wrong = others(version())
    print(version())  # noqa: T201 - the answer
    if wrong:
        raise SystemExit("another version:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
