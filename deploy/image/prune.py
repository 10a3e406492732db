"""Removes from an environment what no process of ours imports, and says how much that was.

    python deploy/image/prune.py /opt/mlflow-ops

What is removed is data and code that its package works without: the tests of libraries, the second Kubernetes client
for asyncio, the generated calls of all its groups but the one that opens a program in a pod, Databricks' services that
MLflow's client would call, AWS's that are not S3 or the way to credentials for it, what matplotlib puts fonts into PDF
with, zstandard for interpreters other than CPython, sources and headers for compilers, types for type checkers, and
examples. tests/deploy/test_image.py uses what is left.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SERVICES: Final = {"s3", "sts", "sso", "sso-oidc", "signin"}
"""Of AWS: the store, and what boto3 asks for credentials (a role of the pod's account, single sign-on)."""

GROUPS: Final = {"__init__.py", "core_v1_api.py"}
"""Of Kubernetes' generated calls: what workers/systems/cluster/exec.py opens a program in a pod with."""
FONT_TOOLS: Final = {"misc", "__pycache__"}
"""Of fontTools: what matplotlib reads before it draws a PNG."""

PATTERNS: Final = (
    "**/tests",
    "**/*.pyi",
    "**/*.pyx",
    "kubernetes/aio",
    "matplotlib/mpl-data/sample_data",
    "matplotlib/mpl-data/fonts/afm",
    "matplotlib/mpl-data/fonts/pdfcorefonts",
    "numpy/_core/include",
    "numpy/distutils",
    "numpy/f2py",
    "fontTools/misc/bezierTools*",
    "zstandard/_cffi.*",
    "databricks/sdk/service",
)


def unused(packages: Path) -> Iterator[Path]:
    """What can go, in site-packages."""
    for pattern in PATTERNS:
        yield from packages.glob(pattern)
    yield from _others(packages / "botocore" / "data", SERVICES, folders=True)
    yield from _others(packages / "fontTools", FONT_TOOLS, folders=True)
    yield from _others(packages / "kubernetes" / "client" / "api", GROUPS, folders=False)


def _others(above: Path, kept: set[str], *, folders: bool) -> Iterator[Path]:
    """What is not kept of the folders that are right below, or of the files."""
    for each in above.glob("*"):
        if each.is_dir() is folders and each.name not in kept:
            yield each


def size(path: Path) -> int:
    """Bytes of a file, or of all that is below a folder."""
    return sum(each.stat().st_size for each in [path, *path.rglob("*")] if each.is_file() and not each.is_symlink())


def main() -> None:
    """Remove it."""
    (packages,) = Path(sys.argv[1]).glob("lib/python3.*/site-packages")
    before = size(packages)
    for path in list(unused(packages)):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    after = size(packages)
    print(f"{before / 2**20:.0f} MiB, {after / 2**20:.0f} MiB without what nothing imports")  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
