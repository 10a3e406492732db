"""Removes from an environment what no process of ours imports, and says how much that was.

    python deploy/image/prune.py /opt/mlflow-ops

What is removed is data and code that its package works without: the tests of libraries, the second Kubernetes client
for asyncio, AWS's services that are not S3 or the way to credentials for it, what matplotlib puts fonts into PDF with,
zstandard for interpreters other than CPython, types for type checkers, headers for compilers, and examples.
tests/deploy/test_image.py uses what is left.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SERVICES: Final = {"s3", "sts", "sso", "sso-oidc", "signin"}
"""Of AWS: the store, and what boto3 asks for credentials (a role of the pod's account, single sign-on)."""


def unused(packages: Path) -> Iterator[Path]:
    """What can go, in site-packages."""
    yield from packages.glob("**/tests")
    yield from packages.glob("kubernetes/aio")
    yield from packages.glob("matplotlib/mpl-data/sample_data")
    yield from packages.glob("numpy/_core/include")
    yield from (each for each in packages.glob("fontTools/*Lib") if each.is_dir())
    yield from packages.glob("zstandard/_cffi.*")
    yield from packages.glob("**/*.pyi")
    for data in packages.glob("botocore/data/*"):
        if data.is_dir() and data.name not in SERVICES:
            yield data


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
