"""What the ConfigMap holds, and which keys the Secret has; no secret's value."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, ClassVar

from workers.operation import Operation, Progress, Risk
from workers.operations.configuration import values
from workers.operations.configuration.configmap import ConfigMap, older_pods
from workers.operations.configuration.references import References
from workers.operations.deployment import drift_report
from workers.report import Report, Section, Status, Table, Text
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterForbidden, ClusterNotFound
from workers.wording import NOTHING, count, listed, thousands

if TYPE_CHECKING:
    from workers.systems import Systems


class ConfigShow(Operation):
    """Show MLflow's configuration."""

    name: ClassVar[str] = "config-show"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it; a warning where pods run with what was there before."""
        progress.step("Reading the configuration")
        names = systems.settings.ops.kubernetes
        configmap = ConfigMap.read(systems)
        deployment = systems.cluster.deployment(names.deployment)
        references = References(deployment, names.container, configmap.name)
        both = ({**deployment, "kind": "Deployment"}, {**configmap.item, "kind": "ConfigMap"})
        drifted = drift_report.of(systems, *both)
        rules = systems.settings.ops.configuration.keys
        keys = sorted({*configmap.data, *configmap.binary, *rules})
        columns = ("key", "value", "arrives as", "meaning")
        rows = tuple(
            (
                key,
                "binary data" if key in configmap.binary else values.shown(configmap.uid, key, configmap.data.get(key)),
                references.of(key) or NOTHING,
                rules[key].description if key in rules else "",
            )
            for key in keys
        )
        older = older_pods(systems, configmap)
        summary = f"{configmap.name} has {count(len(configmap.data) + len(configmap.binary), 'key')}"
        if older:
            summary += f"; {listed(older)} started before it was last changed and may run with other values"
        return Report(
            title=f"Configuration of {names.deployment}",
            status=Status.WARN if older or drifted.summary else Status.OK,
            summary=f"{summary}. {drifted.summary}".rstrip(),
            sections=(
                Table(title=f"ConfigMap {configmap.name}", columns=columns, rows=rows),
                _secret(systems, names.secret),
                *drifted.sections,
            ),
            hints=("restart",) if older else (),
        )


def _secret(systems: Systems, name: str) -> Section:
    """Its keys, each with a fingerprint of its value; a sentence where it cannot be read."""
    title = f"Secret {name}"
    try:
        fields = Fields(systems.cluster.secret(name), title)
    except ClusterNotFound:
        return Text(title=title, text=f"There is no Secret {name} in {systems.settings.ops.kubernetes.namespace}.")
    except ClusterForbidden as error:
        return Text(title=title, text=str(error))
    uid = fields.text("metadata", "uid")
    rows = tuple(
        (key, values.fingerprint(uid, key, encoded), thousands(_length(encoded)))
        for key, encoded in sorted(fields.labels("data").items())
    )
    return Table(title=title, columns=("key", "fingerprint", "bytes"), rows=rows, numeric=("bytes",))


def _length(encoded: str) -> int:
    try:
        return len(base64.b64decode(encoded, validate=True))
    except (ValueError, binascii.Error):
        return len(encoded)
