"""Programs of Debian's packages: where they are installed, else unpacked for the test without installing them."""

import shutil
import subprocess

import pytest


def program(name, package, folder):
    """The path of a program of a package; the test is skipped where it cannot be had."""
    found = shutil.which(name)
    if found:
        return found
    try:
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True, capture_output=True, timeout=120)
        (archive,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError, ValueError):
        pytest.skip(f"{name} is not here and Debian's package {package} cannot be had")
    return folder / "usr" / "bin" / name
