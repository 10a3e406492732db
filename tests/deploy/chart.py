"""What Helm's own engine makes of the chart, and what kustomize makes of the manifests, brought to one form.

Both become {(kind, name): object}. What `alike` takes away is what may differ: the table in the chart's README says the
same, row by row, with the reason.
"""

import copy
import re
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from workers.settings import Ops

__all__ = ["Draft202012Validator", "Ops", "alike", "closed", "is_test", "named", "notes", "rendered"]

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "mlflow-ops"

HELMS_OWN = {
    "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart",
}  # fmt: skip
ON_EVERY_OBJECT = {"app.kubernetes.io/name", "app.kubernetes.io/part-of"}
"""Labels that the chart gives to each object; of a selector and a pod they are compared."""
WITHOUT_NAMESPACE = {
    "ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip
GENERATED = re.compile(r"^mlflow-ops-[a-z0-9]{10}$")
"""A name with a hash of the content, by kustomize's configMapGenerator."""


def rendered(helm, values, *, name="mlflow-ops", namespace="data-platform"):
    """Every object of the chart, those of `helm test` too."""
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name=name, namespace=namespace)
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def notes(helm, values, *, name="mlflow-ops", namespace="data-platform"):
    """What Helm says after an installation."""
    with helm.Chart.load(CHART) as chart:
        return chart.render(values, name=name, namespace=namespace)["mlflow-ops/templates/NOTES.txt"]


def is_test(document):
    """Whether only `helm test` makes it."""
    return document["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"


def named(document):
    """Its kind and name."""
    return document["kind"], document["metadata"]["name"]


def closed(schema):
    """A CRD's schema that refuses what it does not know, as an API server does with strict validation."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    loose = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if isinstance(made.get("properties"), dict) and made.get("type") == "object" and not loose:
        made["additionalProperties"] = False
    return made


def alike(documents, namespace="data-platform"):
    """By kind and name, without what may differ."""
    found = {}
    for each in documents:
        if not is_test(each):
            made = _alike(copy.deepcopy(each), namespace)
            key = named(made)
            assert key not in found, key
            found[key] = made
    return found


def _alike(document, namespace):
    metadata = document["metadata"]
    kept = {key: value for key, value in metadata.get("labels", {}).items() if key not in ON_EVERY_OBJECT}
    metadata["labels"] = kept
    if document["kind"] in WITHOUT_NAMESPACE:
        prefix = f"{namespace}-"
        metadata["name"] = metadata["name"].removeprefix(prefix)
        for holder, key in ((document.get("roleRef"), "name"), (document.get("spec"), "policyName")):
            if holder and key in holder:
                holder[key] = holder[key].removeprefix(prefix)
    if "ops.yaml" in document.get("data", {}):
        said = yaml.safe_load(document["data"]["ops.yaml"])
        said["kubernetes"] = {"namespace": namespace} | said.get("kubernetes", {})
        document["data"]["ops.yaml"] = Ops.model_validate(said).model_dump(mode="json")
    return _walked(document, namespace)


def _walked(item, namespace):
    if isinstance(item, list):
        return [_walked(each, namespace) for each in item]
    if isinstance(item, str):
        in_full = f"'system:serviceaccount:{namespace}:mlflow-ops-worker'"
        item = item.replace("'system:serviceaccount:' + request.namespace + ':mlflow-ops-worker'", in_full)
        return "mlflow-ops" if GENERATED.match(item) else item.rstrip("\n")
    if not isinstance(item, dict):
        return item
    made = {key: _walked(value, namespace) for key, value in item.items() if key not in HELMS_OWN}
    if "annotations" in made:
        kept = {key: value for key, value in made["annotations"].items() if not key.startswith("checksum/")}
        made["annotations"] = kept
        if not kept:
            del made["annotations"]
    if "labels" in made and not made["labels"]:
        del made["labels"]
    if made.get("operator") == "In":
        made["values"] = [each for each in made["values"] if each != "check"]
    for rule in [each for each in made.get("matchExpressions", ()) if each.get("values") == ["mlflow-ops"]]:
        made["matchExpressions"].remove(rule)
        made.setdefault("matchLabels", {})[rule["key"]] = "mlflow-ops"
    if isinstance(made.get("env"), list):
        made["env"] = sorted(made["env"], key=lambda each: each["name"])
    return made
