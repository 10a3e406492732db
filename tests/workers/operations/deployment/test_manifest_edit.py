"""A field of a YAML file is changed and nothing else of it: not a comment, a quote, an indent or a line end."""

import difflib
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import OperatorError
from workers.operations.deployment.manifest_edit import Place, edited, value_at

DEPLOYMENT = """\
# Owner: data platform
apiVersion: apps/v1
kind: Deployment
metadata: {name: mlflow, labels: {app: mlflow}}
spec:
  # Two are enough: each pod holds a pool of connections.
  replicas: 2   # see the runbook
  template:
    spec:
      containers:
        - name: proxy
          image: 'envoy:1'
        - name: mlflow   # the server
          image: "ghcr.io/mlflow/mlflow:v3.17.2" # pinned
          resources:
            requests: {cpu: 500m, memory: 2Gi}  # measured
            # limits follow
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: mlflow-config
data:
  workers: "4"   # gunicorn
  level: info
  banner: |
    several
    lines
"""
VALUES = """\
mlflow:
    image:
        repository: ghcr.io/mlflow/mlflow
        tag: v3.17.2 # the chart's
    replicaCount: 2
    resources:
    extra: {}
"""
CONTAINER = "spec.template.spec.containers[name=mlflow]"


def of_deployment(path):
    return Place("apps/mlflow.yaml", "Deployment", "mlflow", path)


def changed(before, after):
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line[:2] + line[2:].rstrip("\n") for line in lines if line[0] in "+-"]


CONFIG = Place("apps/mlflow.yaml", "ConfigMap", "mlflow-config", "data")


@pytest.mark.parametrize(
    ("text", "place", "values", "lines"),
    [
        (
            DEPLOYMENT,
            of_deployment("spec.replicas"),
            {(): 4},
            ["-   replicas: 2   # see the runbook", "+   replicas: 4   # see the runbook"],
        ),
        (
            DEPLOYMENT,
            of_deployment(f"{CONTAINER}.image"),
            {(): "ghcr.io/mlflow/mlflow:v3.18.0"},
            [
                '-           image: "ghcr.io/mlflow/mlflow:v3.17.2" # pinned',
                '+           image: "ghcr.io/mlflow/mlflow:v3.18.0" # pinned',
            ],
        ),
        (
            DEPLOYMENT,
            of_deployment("spec.template.spec.containers[name=proxy].image"),
            {(): "envoy:2"},
            ["-           image: 'envoy:1'", "+           image: 'envoy:2'"],
        ),
        (
            DEPLOYMENT,
            of_deployment(f"{CONTAINER}.resources"),
            {("requests", "cpu"): "1", ("limits", "cpu"): "2", ("limits", "memory"): "4Gi"},
            [
                "-             requests: {cpu: 500m, memory: 2Gi}  # measured",
                '+             requests: {cpu: "1", memory: 2Gi}  # measured',
                "+             limits:",
                '+               cpu: "2"',
                "+               memory: 4Gi",
            ],
        ),
        (
            DEPLOYMENT,
            CONFIG,
            {("workers",): "8", ("level",): "on", ("banner",): "one line", ("new",): "a: b"},
            [
                '-   workers: "4"   # gunicorn',
                '+   workers: "8"   # gunicorn',
                "-   level: info",
                "-   banner: |",
                "-     several",
                "-     lines",
                '+   level: "on"',
                '+   banner: "one line"',
                '+   new: "a: b"',
            ],
        ),
        (
            VALUES,
            of_deployment("mlflow.image.tag"),
            {(): "v3.18.0"},
            ["-         tag: v3.17.2 # the chart's", "+         tag: v3.18.0 # the chart's"],
        ),
        (
            VALUES,
            of_deployment("mlflow.resources"),
            {("limits", "cpu"): "2", ("limits", "memory"): "4Gi"},
            ["-     resources:", '+     resources: {limits: {cpu: "2", memory: 4Gi}}'],
        ),
        (VALUES, of_deployment("mlflow.extra"), {("a",): "b"}, ["-     extra: {}", "+     extra: {a: b}"]),
        ("a: 1", of_deployment("b.c"), {(): 2}, ["+ b:", "+   c: 2"]),
    ],
)
def test_only_what_was_asked_for_changes(text, place, values, lines):
    after = edited(text, place, values)
    # What ended without a line end has one before what is added.
    shown = [line for line in changed(text, after) if line not in {"- a: 1", "+ a: 1"}]
    assert sorted(shown) == sorted(lines)


def test_what_is_written_is_read_again():
    place = of_deployment(f"{CONTAINER}.resources")
    after = edited(DEPLOYMENT, place, {("requests", "cpu"): "1", ("limits", "memory"): "4Gi"})
    assert value_at(after, place) == {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}
    assert value_at(after, CONFIG) == value_at(DEPLOYMENT, CONFIG)
    assert value_at(after, of_deployment("spec.nothing.here")) is None


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("spec: {{ .Values.replicas }}\n", "spec.replicas", "not plain YAML"),
        ("base: &r {replicas: 2}\none: *r\ntwo: *r\n", "one.replicas", "cannot be changed without changing more of it"),
        ("spec: [1, 2]\n", "spec.replicas", "is no place for more keys"),
        ("spec: {replicas: {a: 1}}\n", "spec.replicas", "holds more than one value"),
        ("containers: [{name: other}]\n", "containers[name=mlflow].image", "has nothing at"),
        ("kind: A\n---\nkind: B\n", "spec.replicas", "has no document of the Deployment mlflow"),
        ("", "spec.replicas", "has no document"),
        ("\tspec: 1", "spec.replicas", "not plain YAML"),
    ],
)
def test_what_cannot_be_changed_alone_is_refused(text, path, said):
    with pytest.raises(OperatorError, match=said):
        edited(text, of_deployment(path), {(): 4})


def common(one, other):
    """How many characters two texts begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


KEYS = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=20)
NESTED = st.recursive(
    TEXTS | st.integers(-9, 9) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(
    data=st.dictionaries(KEYS, TEXTS, min_size=1, max_size=6),
    around=NESTED,
    wanted=TEXTS,
    pick=st.integers(0, 99),
    flow=st.booleans(),
    style=st.sampled_from([None, '"', "'"]),
)
def test_any_value_of_any_file_can_be_changed_and_the_rest_stays(data, around, wanted, pick, flow, style):
    key = list(data)[pick % len(data)]
    document = {"kind": "ConfigMap", "metadata": {"name": "c"}, "before": around, "data": data, "after": around}
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=flow, default_style=style, allow_unicode=True)
    text = f"# first\n{text}# last\n"
    place = Place("c.yaml", "ConfigMap", "c", "data")
    for name in (key, "a-new-key"):
        after = edited(text, place, {(name,): wanted})
        assert yaml.safe_load(after) == {**document, "data": {**data, name: wanted}}
        assert after.startswith("# first\n")
        assert after.endswith("# last\n")
        same = common(text, after) + common(text[::-1], after[::-1])
        assert len(text) - same <= (20 + 10 * len(data[key]) if name == key else 0), (text, after)


def test_a_value_that_looks_like_another_type_is_quoted():
    for value in ("1", "true", "on", "null", "1e3", "2026-11-30", "~", "", " x", "a: b", "#no", "- x", "a #b", "é"):
        after = edited(DEPLOYMENT, CONFIG, {("level",): value})
        assert value_at(after, CONFIG)["level"] == value, json.dumps(value)
