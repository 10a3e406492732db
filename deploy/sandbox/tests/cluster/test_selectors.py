"""Selectors, with the complaints of the real parsers."""

import pytest

from mlflow_ops_sandbox.cluster.api.field_selectors import matches as fields_match
from mlflow_ops_sandbox.cluster.api.field_selectors import parse_field_selector
from mlflow_ops_sandbox.cluster.api.label_selectors import (
    format_selector,
    matches,
    parse_label_selector,
    selector_of,
)
from mlflow_ops_sandbox.cluster.api.resources import CONFIG_MAPS, EVENTS, PODS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.api.times import human_duration

LABELS = {"app": "mlflow", "tier": "web", "weight": "5", "empty": ""}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("app=mlflow", True),
        ("app==mlflow,tier!=db", True),
        ("app=other", False),
        ("app in (mlflow, other), !canary", True),
        ("app notin (mlflow)", False),
        ("missing notin (a)", True),
        ("missing!=a", True),
        ("app", True),
        ("!app", False),
        ("weight>4,weight<6", True),
        ("weight>5", False),
        ("empty=", True),
        ("app in ()", False),
        ("example.com/name", False),
    ],
)
def test_labels(text, holds):
    assert matches(parse_label_selector(text), LABELS) is holds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("app===x y", "unable to parse requirement: found '=', expected: identifier"),
        ("app x", "unable to parse requirement: found 'x', expected: in, notin, =, ==, !=, gt, lt"),
        ("app=a b", "found 'b', expected: ',' or 'end of string'"),
        ("app=a,", "found '', expected: identifier after ','"),
        (",app", "found ',', expected: !, identifier, or 'end of string'"),
        ("app in a", "unable to parse requirement: found 'a' expected: '('"),
        ("app in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
    ],
)
def test_label_complaints(text, complaint):
    with pytest.raises(ApiError) as refused:
        parse_label_selector(text)
    assert (refused.value.code, refused.value.message) == (400, complaint)


def test_a_bad_label_value_is_named():
    with pytest.raises(ApiError, match="a valid label must be an empty string or consist of") as refused:
        parse_label_selector("app=-x-")
    assert refused.value.message.startswith('unable to parse requirement: values[0][app]: Invalid value: "-x-": ')


POD = {
    "metadata": {"name": "a", "namespace": "b"},
    "spec": {"nodeName": "n", "restartPolicy": "Always"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status.phase=Running,spec.nodeName=n", True),
        ("status.phase!=Running", False),
        ("metadata.name==a", True),
        ("spec.hostNetwork=false", True),
        ("status.podIP=", True),
    ],
)
def test_fields(text, holds):
    assert fields_match(parse_field_selector(text, PODS), POD) is holds


@pytest.mark.parametrize(
    ("text", "resource", "complaint"),
    [
        ("spec.foo=bar", PODS, "field label not supported: spec.foo"),
        ("foo=a", EVENTS, "field label not supported: foo"),
        (
            "data.a=b",
            CONFIG_MAPS,
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("nonsense", PODS, "invalid selector: 'nonsense'; can't understand 'nonsense'"),
    ],
)
def test_field_complaints(text, resource, complaint):
    with pytest.raises(ApiError) as refused:
        parse_field_selector(text, resource)
    assert (refused.value.code, refused.value.message) == (400, complaint)


def test_selectors_of_objects():
    spec = {
        "matchLabels": {"app": "mlflow"},
        "matchExpressions": [
            {"key": "tier", "operator": "In", "values": ["web"]},
            {"key": "canary", "operator": "DoesNotExist"},
        ],
    }
    assert matches(selector_of(spec), LABELS)
    assert not matches(selector_of(None), LABELS)
    assert format_selector(spec) == "!canary,app=mlflow,tier in (web)"
    assert format_selector(None) == "<none>"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"), (10799, "179m"),
        (10800, "3h"), (11100, "3h5m"), (28800, "8h"), (172799, "47h"), (172800, "2d"), (176400, "2d1h"),
        (691200, "8d"), (63072000, "2y"), (63158400, "2y1d"),
    ],
)  # fmt: skip
def test_ages(seconds, shown):
    assert human_duration(seconds) == shown
