"""The product reads the ops.yaml that the sandbox writes for it."""

import yaml

from mlflow_ops_sandbox.parts import wiring
from mlflow_ops_sandbox.parts.folder import Folder
from workers.settings import Ops


def test_ops_yaml_is_valid_and_what_was_edited_stays(tmp_path):
    folder = Folder(tmp_path / "data")
    folder.create()
    wiring.write_ops(folder)
    path = folder / "ops.yaml"
    ops = Ops.model_validate(yaml.safe_load(path.read_text()))
    assert ops.channels == (wiring.OPS_CHANNEL,)
    assert ops.roles.approver.groups == (wiring.APPROVERS,)
    path.write_text("channels: []\n")
    wiring.write_ops(folder)
    assert path.read_text() == "channels: []\n"
