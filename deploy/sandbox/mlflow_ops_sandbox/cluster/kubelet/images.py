"""The images that the registry has, and what each does when it runs.

Any other image fails to be pulled, with the words of a real container runtime.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.wiring import Wiring

MLFLOW_REPOSITORY = "ghcr.io/mlflow/mlflow"
MLFLOW_TAGS = ("v3.16.0", "v3.17.2", "v3.18.0")
CRASHING_TAG, SLOW_TAG = "crash", "slow"
_TOOLS = re.compile(r"(busybox|alpine|python|postgres|debian)(:[\w.-]+)?")
_REGISTRIES = frozenset({"docker.io", "ghcr.io", "quay.io", "registry.k8s.io"})


@dataclass(frozen=True, slots=True)
class Images:
    """What the registry has, besides the images that the pods were seeded with."""

    wiring: Wiring

    def pull_failure(self, image: str) -> str:
        """Return why an image cannot be pulled, empty where it can."""
        repository, tag = split(image)
        if self.is_seeded(image) or _TOOLS.fullmatch(image):
            return ""
        tags = [f"v{version}" for version in self.wiring.other_versions] or MLFLOW_TAGS
        if repository == MLFLOW_REPOSITORY and tag in {*tags, CRASHING_TAG, SLOW_TAG}:
            return ""
        return pull_failure(image)

    def is_seeded(self, image: str) -> bool:
        """Say whether pods were seeded with this image."""
        return image in {self.wiring.mlflow_image, self.wiring.postgres.image, self.wiring.minio.image}

    def version(self, image: str) -> str:
        """Return the version of MLflow within an image: that of its tag, or else the seeded one."""
        tag = split(image)[1].removeprefix("v")
        return tag if re.match(r"\d", tag) and self.is_mlflow(image) else self.wiring.version

    def python(self, image: str) -> str:
        """Return the interpreter within an image with MLflow: that of its version, or else the seeded one's."""
        other = self.wiring.other_versions.get(self.version(image))
        return other.python if other else self.wiring.python or sys.executable

    def is_mlflow(self, image: str) -> bool:
        """Say whether MLflow is in the image."""
        return image == self.wiring.mlflow_image or split(image)[0] == split(self.wiring.mlflow_image)[0] or (
            split(image)[0] == MLFLOW_REPOSITORY
        )  # fmt: skip


def is_reference(image: str) -> bool:
    """Say whether this can be the name of an image at all; the API server takes what cannot."""
    return re.fullmatch(r"[a-z0-9][\w.:/@-]*", image) is not None


def crashes(image: str) -> bool:
    """Say whether the image's program ends as soon as it starts."""
    return split(image)[1] == CRASHING_TAG


def is_slow(image: str) -> bool:
    """Say whether the image's program never comes to the point of serving."""
    return split(image)[1] == SLOW_TAG


def split(image: str) -> tuple[str, str]:
    """Split an image into its repository and its tag; the tag is ``latest`` where none is given."""
    plain = image.partition("@")[0]
    path, slash, last = plain.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{path}{slash}{name}", tag or "latest"


def pull_failure(image: str) -> str:
    """Return the message of a pull that fails."""
    repository, tag = split(image)
    host, slash, rest = repository.partition("/")
    if not slash or ("." not in host and ":" not in host):
        host, rest = "docker.io", repository if slash else f"library/{repository}"
    full = f"{host}/{rest}:{tag}"
    start = f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": '
    if host not in _REGISTRIES:
        name = host.partition(":")[0]
        url = f"https://{host}/v2/{rest}/manifests/{tag}"
        return f'{start}failed to do request: Head "{url}": dial tcp: lookup {name} on 10.96.0.10:53: no such host'
    if host == "docker.io":
        return (
            f"{start}pull access denied, repository does not exist or may require authorization: "
            "server message: insufficient_scope: authorization failed"
        )
    return f"{start}{full}: not found"
