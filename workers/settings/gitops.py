"""Where what the cluster runs is written down: the repository in Git, and the field that holds each value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from workers.settings.values import HttpUrl, Section

GitopsMode = Literal["warn", "refuse", "propose"]


def _branch(name: str) -> str:
    """https://git-scm.com/docs/git-check-ref-format"""
    if ".." in name or "//" in name or name.endswith(("/", ".", ".lock")):
        msg = "must be a branch's name, such as main"
        raise ValueError(msg)
    return name


def _file(path: str) -> str:
    if {"", ".", ".."} & set(path.split("/")):
        msg = "must be a path from the repository's root, such as apps/mlflow/deployment.yaml"
        raise ValueError(msg)
    return path


RepositoryName = Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)+$")]
BranchName = Annotated[str, Field(pattern=r"^[\w-][\w./-]*$", max_length=200), AfterValidator(_branch)]
FilePath = Annotated[str, Field(pattern=r"^[^\s\\/][^\s\\]*\.ya?ml$", max_length=500), AfterValidator(_file)]
YamlPath = Annotated[str, Field(pattern=r"^[\w/-]+(\[\w+=[^\]\s]+\])?(\.[\w/-]+(\[\w+=[^\]\s]+\])?)*$", max_length=500)]


class GitField(Section):
    """A field in a file. Of several documents in one file, the one of the object's kind and name is meant."""

    file: FilePath = Field(description="the file's path in the repository, such as apps/mlflow/deployment.yaml")
    path: YamlPath = Field(
        description="the keys to it with dots between them, a list's item by one of its fields: "
        "spec.template.spec.containers[name=mlflow].image, or replicaCount in Helm's values"
    )


class GitImage(GitField):
    """The field of the image."""

    holds: Literal["image", "tag"] = Field("image", description="the whole name, or only its tag (Helm, kustomize)")


class GitFields(Section):
    """The field of each value that may be proposed; what has none is refused."""

    replicas: GitField | None = Field(None, description="of `scale`")
    image: GitImage | None = Field(None, description="of `update`")
    resources: GitField | None = Field(None, description="of `resources`: what has requests and limits below it")
    config: GitField | None = Field(None, description="of `config set`: what has the ConfigMap's keys below it")


class Gitops(Section):
    """The repository that changes are proposed in if kubernetes.gitops is propose. Its token: MLFLOW_OPS_GIT_TOKEN."""

    provider: Literal["github", "gitlab"] = "github"
    url: HttpUrl | None = Field(
        None,
        description="the API's address; by default https://api.github.com or https://gitlab.com. GitHub Enterprise: "
        "https://HOST/api/v3",
    )
    repository: RepositoryName | None = Field(None, description="OWNER/NAME, or a GitLab project's path")
    branch: BranchName = Field("main", description="the branch that the cluster is made of")
    follow_hours: Annotated[float, Field(gt=0, le=720)] = Field(
        24, description="how long a thread follows its request; after that it says that it is still open"
    )
    fields: GitFields = GitFields()
