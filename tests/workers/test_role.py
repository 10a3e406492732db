"""The Role in deploy/kubernetes grants exactly what the commands need, and `check` asks for exactly that."""

from pathlib import Path

import pytest
import yaml

from workers.preflight.kubernetes import FOR_EXEC, FOR_RECOVERY, HELPFUL, NEEDED
from workers.settings import KubernetesNames

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"


@pytest.mark.parametrize(
    ("file", "asked"),
    [
        ("access/role.yaml", NEEDED),
        ("access/clusterrole.yaml", HELPFUL),
        ("recovery/role.yaml", FOR_RECOVERY),
        ("exec/role.yaml", FOR_EXEC),
    ],
)
def test_the_role_and_the_check_name_the_same_permissions(file, asked):
    granted = {
        (verb, group, resource, name)
        for rule in yaml.safe_load((KUBERNETES / file).read_text())["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    names = KubernetesNames()
    assert granted == {(each.verb, each.group, each.resource, each.name(names)) for each in asked}
