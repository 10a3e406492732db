"""What the other documents say of the tree: links, paths, manifests, the format of a backup."""

import re
import shutil
import subprocess

import pytest
import yaml

from workers.operations.backup.manifest import ArtifactsPart, ConfigurationPart, DatabasePart, Manifest

TITLES = (
    "adding-a-command", "alerts", "architecture", "backup-format", "backups", "cli", "commands", "configuration",
    "ops-yaml", "real-cluster", "recovery-without-this-product", "runbook", "safety", "scaling", "upgrading",
)  # fmt: skip


def every(documents):
    return [*documents.DOCS.glob("*.md"), *(documents.ROOT / f"{name}.md" for name in ("SECURITY", "CONTRIBUTING"))]


def test_the_documents_are_there(documents):
    assert set(TITLES) <= {file.stem for file in documents.DOCS.glob("*.md")}


def test_each_path_that_is_named_exists(documents):
    made_by_the_guide = {
        "workers/operations/deployment/image.py",
        "commands/image.py",
        "tests/workers/operations/deployment/test_image.py",
        "tests/test_hello.py",  # of the package that extending.md shows
    }
    wanted = re.compile(r"(?<![\w/])((?:deploy|docs|tests|workers|commands|bot)/[\w./-]+[\w])")
    missing = {
        (file.name, path)
        for file in every(documents)
        for path in wanted.findall(file.read_text())
        if path not in made_by_the_guide and not (documents.ROOT / path).exists()
    }
    assert missing == set()


def test_each_document_that_is_named_exists(documents):
    for file in every(documents):
        for name in re.findall(r"(?<![\w/.-])([a-z-]+\.md)\b", file.read_text()):
            assert (documents.DOCS / name).exists(), (file.name, name)


def test_the_backup_format_names_every_field(documents):
    text = (documents.DOCS / "backup-format.md").read_text()
    for model in (Manifest, DatabasePart, ArtifactsPart, ConfigurationPart):
        assert not {name for name in model.model_fields if f"`{name}`" not in text}, model.__name__


def test_every_shell_line_is_shell(documents):
    for file in every(documents):
        for block in re.findall(r"^```sh\n(.*?)^```$", file.read_text(), re.MULTILINE | re.DOTALL):
            done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True, check=False)
            assert done.returncode == 0, (file.name, done.stderr)


def secrets_of(item):
    """The Secrets that a manifest refers to, wherever it does."""
    if isinstance(item, list):
        return [name for each in item for name in secrets_of(each)]
    if not isinstance(item, dict):
        return []
    own = [item[key]["name"] for key in ("secretKeyRef", "secretRef") if key in item]
    own += [item["secretName"]] if "secretName" in item else []
    return own + [name for each in item.values() for name in secrets_of(each)]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_the_secrets_of_the_set_up_are_those_that_the_manifests_name(documents):
    made = subprocess.run(
        ["kubectl", "kustomize", str(documents.ROOT / "deploy" / "kubernetes" / "overlays" / "minimal")],
        capture_output=True,
        text=True,
        check=True,
    )
    named = {name for document in yaml.safe_load_all(made.stdout) for name in secrets_of(document)}
    given = set(re.findall(r"create secret generic (\S+)", (documents.DOCS / "real-cluster.md").read_text()))
    assert given == {"mlflow-ops-redis", "mlflow-ops-slack", "mlflow-ops-worker"}
    assert named == given


def test_the_readme_is_short_and_has_two_commands_to_begin_with(documents):
    text = (documents.ROOT / "README.md").read_text()
    assert len(text.split()) < 900
    begun = text.partition("\n## Two commands\n")[2].partition("\nThe sandbox is made")[0]
    assert [block.count("&&") for block in re.findall(r"^```sh\n# .*\n(.*)\n```$", begun, re.MULTILINE)] == [2, 2]
