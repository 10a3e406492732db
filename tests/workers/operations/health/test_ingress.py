"""The Ingress and its certificate."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from workers import settings
from workers.operations.health import ingress
from workers.report import Status
from workers.systems.cluster import certificate
from workers.systems.cluster.certificate import Certificate
from workers.systems.errors import Nonsense

ANSWERS = Path(__file__).parents[4] / "deploy" / "sandbox" / "tests" / "cluster" / "kubernetes-answers.jsonl"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def secret(*names, days=90.0, begins=-9.0):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mlflow")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=days))
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternative, critical=False)
    pem = builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return {"data": {"tls.crt": base64.b64encode(pem).decode()}}


@pytest.fixture
def found():
    for line in ANSWERS.read_text(encoding="utf-8").splitlines():
        exchange = json.loads(line)
        if exchange["name"] == "create ingress":
            ingress = exchange["answer"]
            ingress["status"] = {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}
            return ingress
    raise LookupError


def judge(found, told):
    return ingress.judge(found, "mlflow-tls", told, settings.load({}), NOW)


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [
        (90, Status.OK, "ends in 90 days"),
        (21, Status.WARN, "ends in 21 days"),
        (7, Status.FAIL, "ends in 7 days"),
        (0.5, Status.FAIL, "ends in 0 days"),
        (-0.5, Status.FAIL, "expired 12 h ago"),
        (-1.5, Status.FAIL, "expired 1 day ago"),
    ],
)
def test_the_days_that_a_certificate_has_left(found, days, status, words):
    answer = judge(found, secret("mlflow.example.com", days=days))
    assert answer.status is status
    assert words in answer.sentence
    assert answer.figures["certificate_days"] == pytest.approx(days)


def test_a_certificate_from_tomorrow_fails(found):
    assert judge(found, secret("mlflow.example.com", begins=1)).status is Status.FAIL


def test_a_certificate_for_another_host_is_a_warning(found):
    answer = judge(found, secret("other.example.com"))
    assert answer.status is Status.WARN
    assert "other.example.com, not for mlflow.example.com" in answer.sentence
    assert judge(found, secret()).status is Status.WARN


def test_a_missing_secret_is_a_warning_and_the_reason_is_given(found):
    answer = judge(found, "the Secret mlflow-tls does not exist")
    assert (answer.status, answer.sentence) == (
        Status.WARN,
        "mlflow.example.com: the Secret mlflow-tls does not exist.",
    )


@pytest.mark.parametrize(
    ("days", "tls", "status", "words"),
    [
        (90, True, Status.WARN, "ends in 90 days"),
        (90, False, Status.WARN, "is served without TLS"),
        (7, True, Status.FAIL, "ends in 7 days"),
    ],
)
def test_an_ingress_without_an_address_is_not_ok(found, days, tls, status, words):
    found["status"] = {"loadBalancer": {}}
    if not tls:
        del found["spec"]["tls"]
    answer = judge(found, secret("mlflow.example.com", days=days))
    assert answer.status is status
    assert words in answer.sentence
    assert answer.sentence.endswith(
        "; no controller has given the Ingress an address, so it can't be reached from outside."
    )


def test_without_tls_there_is_nothing_to_expire(found):
    del found["spec"]["tls"]
    assert judge(found, "the Secret mlflow-tls does not exist").status is Status.OK


@pytest.mark.parametrize("text", ["", "%%%", base64.b64encode(b"hello").decode(), "LS0tLS1CRUdJTg=="])
def test_a_secret_without_a_certificate_is_nonsense_that_does_not_repeat_it(found, text):
    with pytest.raises(Nonsense, match="The Secret mlflow-tls holds no certificate"):
        judge(found, {"data": {"tls.crt": text}})


def test_the_ingress_names_its_secret(found):
    assert ingress.secret_name(found, "configured") == "mlflow-tls"
    found["spec"]["tls"] = [{"hosts": ["a"]}]
    assert ingress.secret_name(found, "configured") == "configured"


LABEL = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


def made(*names, ends=NOW):
    return Certificate("CN=x", "CN=x", names, NOW, ends)


@given(LABEL, LABEL, LABEL)
def test_a_wildcard_stands_for_exactly_one_label(host, below, domain):
    wild = made(f"*.{domain}.com")
    assert wild.covers(f"{host}.{domain}.com")
    assert wild.covers(f"{host.upper()}.{domain}.COM")
    assert not wild.covers(f"{below}.{host}.{domain}.com")
    assert not wild.covers(f"{domain}.com")
    assert not wild.covers(f".{domain}.com")


@given(st.timedeltas(min_value=timedelta(days=-3650), max_value=timedelta(days=3650)))
def test_days_left_turn_negative_exactly_at_the_end(delta):
    left = made(ends=NOW + delta).days_left(NOW)
    assert (left < 0) == (delta < timedelta(0))
    assert left == pytest.approx(delta.total_seconds() / 86400)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_nonsense(content):
    with pytest.raises(Nonsense):
        certificate.read(base64.b64encode(content).decode(), "mlflow-tls")
