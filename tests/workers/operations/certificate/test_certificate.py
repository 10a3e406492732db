"""The Ingress's certificate: read as a whole, and renewed through cert-manager's own condition."""

import base64
import json
import threading
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from commands.grammar import parse
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from
from workers import settings
from workers.errors import OperatorError
from workers.operation import Cancelled, Unwatched
from workers.operations.certificate import details, renew
from workers.operations.certificate.renew import CertRenew
from workers.operations.certificate.show import CertShow
from workers.report import Status
from workers.systems import Systems
from workers.systems.cluster.client import Cluster

HOST = "mlflow.254carbon.local"
CERTIFICATES = "/apis/cert-manager.io/v1/namespaces/data-platform/certificates"
SECRET = "/api/v1/namespaces/data-platform/secrets/mlflow-tls"
INGRESS = "/apis/networking.k8s.io/v1/namespaces/data-platform/ingresses/mlflow-ingress"
MERGE = "application/merge-patch+json"


class Quiet(Unwatched):
    def __init__(self, stop=False):
        self.stop = stop

    def checkpoint(self):
        if self.stop:
            raise Cancelled


@pytest.fixture
def running(tmp_path):
    with running_cluster(Options(tmp_path / "data", wiring_from({}))) as running:
        yield running


@pytest.fixture
def make(running, tmp_path):
    def make(account="kubeconfig-worker", **ops):
        path = tmp_path / "ops.yaml"
        path.write_text(yaml.safe_dump(ops))
        kubeconfig = str(running.kubeconfig.with_name(account))
        return Systems(settings.load({"KUBECONFIG": kubeconfig, "MLFLOW_OPS_CONFIG": str(path)}))

    return make


@pytest.fixture
def systems(make):
    return make()


@pytest.fixture
def admin(make, monkeypatch):
    monkeypatch.setattr(renew, "LOOK_SECONDS", 0.05)
    return make("kubeconfig").cluster


def patch(cluster, path, body):
    return cluster.requests.send(path, "PATCH", body, content_type=MERGE)


def faults(running, **order):
    request = urllib.request.Request(f"{running.control}/faults", json.dumps(order).encode())
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()


def held(cluster):
    return details.read(cluster.secret("mlflow-tls"), "mlflow-tls")


def facts(report):
    return dict(next(section for section in report.sections if section.kind == "facts").items)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def private(key):
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form)


def made(subject, key, issuer=None, signer=None, names=(), days=30):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer or subject))
        .public_key(key.public_key())
        .serial_number(0x0A1B2C)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days, hours=1))
    )
    if names:
        alternative = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(signer or key, hashes.SHA256())


@pytest.fixture
def put(admin):
    def put(*chain, key=None):
        data = {"tls.crt": base64.b64encode(b"".join(pem(each) for each in chain)).decode()}
        data["tls.key"] = base64.b64encode(private(key)).decode() if key else None
        patch(admin, SECRET, {"data": data})

    return put


def test_all_that_a_certificate_tells_is_shown(systems, put):
    root, key = ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)
    above = made("Example CA", root, days=900)
    leaf = made("mlflow", key, "Example CA", root, names=(HOST, "*.example.com"))
    put(leaf, above, key=key)
    report = CertShow().run(systems, Quiet())
    assert report.status is Status.OK
    shown = facts(report)
    assert shown["subject"] == "CN=mlflow"
    assert shown["names"] == f"{HOST}, *.example.com"
    assert shown["issuer"] == "CN=Example CA"
    assert shown["covers the Ingress's hosts"] == "yes"
    assert shown["key"] == "RSA, 2048 bits; the private key matches the certificate"
    assert shown["serial number"] == "0A:1B:2C"
    assert shown["not after"].endswith("(30 days left)")
    assert shown["SHA-256 fingerprint"].replace(":", "").lower() == leaf.fingerprint(hashes.SHA256()).hex()
    (chain,) = [section for section in report.sections if section.kind == "table"]
    assert chain.rows[0][0] == "CN=Example CA"
    assert chain.rows[0][3] == "yes"


def test_no_command_shows_the_private_key(systems, admin):
    key = base64.b64decode(admin.secret("mlflow-tls")["data"]["tls.key"]).decode()
    (line, *_) = [line for line in key.splitlines() if "-----" not in line]
    told = CertShow().run(systems, Quiet()).model_dump_json() + CertRenew().run(systems, Quiet()).model_dump_json()
    assert line not in told
    assert "PRIVATE KEY" not in told


def test_what_does_not_fit_is_told(systems, put, admin):
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    put(made("mlflow", key, names=(HOST,)), key=other)
    report = CertShow().run(systems, Quiet())
    assert report.status is Status.FAIL
    assert "The private key in mlflow-tls does not match the certificate." in report.summary
    put(made("mlflow", key, names=(HOST,)), made("Stranger", other), key=key)
    report = CertShow().run(systems, Quiet())
    assert report.status is Status.WARN
    assert "The chain is broken: CN=Stranger did not sign" in report.summary
    put(made("mlflow", key, names=("other.example.com",)), key=key)
    report = CertShow().run(systems, Quiet())
    assert facts(report)["covers the Ingress's hosts"] == f"no: not {HOST}"
    put(made("mlflow", key, names=(HOST,), days=3), key=key)
    assert CertShow().run(systems, Quiet()).status is Status.FAIL
    admin.requests.send(INGRESS, "DELETE")
    assert "There is no Ingress mlflow-ingress; the certificate in mlflow-tls ends in 3 days" in (
        CertShow().run(systems, Quiet()).summary
    )


def test_a_secret_that_is_not_there_is_told_and_cert_manager_makes_it(systems, admin):
    admin.requests.send(SECRET, "DELETE")
    with pytest.raises(OperatorError, match="There is no Secret mlflow-tls in data-platform"):
        CertShow().run(systems, Quiet())
    assert CertRenew().plan(systems).changes[0].before == "none"
    assert CertRenew().run(systems, Quiet()).status is Status.OK


def test_a_renewal_ends_with_the_new_serial_number(systems, admin):
    before = held(admin)
    plan = CertRenew().plan(systems)
    assert plan.digest == CertRenew().plan(systems).digest
    assert before.serial in plan.changes[0].before
    assert plan.changes[0].after == "a new one from ClusterIssuer selfsigned"
    report = CertRenew().run(systems, Quiet())
    after = held(admin)
    assert report.status is Status.OK
    assert before.serial != after.serial
    for part in (before.serial, after.serial):
        assert part in report.summary
    (certificate,) = admin.certificates()
    assert certificate["status"]["revision"] == 2
    assert [each["type"] for each in certificate["status"]["conditions"]] == ["Ready"]
    ends = datetime.fromisoformat(certificate["status"]["notAfter"])
    assert ends == after.certificate.ends


def test_a_renewal_heals_a_certificate_that_has_expired(systems, running):
    faults(running, certificate_days=-1)
    assert "expired 1 day ago" in CertShow().run(systems, Quiet()).summary
    assert CertRenew().run(systems, Quiet()).status is Status.OK
    assert CertShow().run(systems, Quiet()).status is Status.OK


def test_without_cert_manager_it_is_said(systems, running):
    faults(running, cert_manager="absent")
    with pytest.raises(OperatorError, match=r"cert-manager is not installed .* put it into the Secret mlflow-tls"):
        CertRenew().plan(systems)


def test_a_certificate_for_another_secret_is_none_of_ours(systems, admin):
    patch(admin, f"{CERTIFICATES}/mlflow-tls", {"spec": {"secretName": "another"}})
    with pytest.raises(OperatorError, match=r"No Certificate .* Secret mlflow-tls\. There are: mlflow-tls\."):
        CertRenew().plan(systems)


def test_two_certificates_for_one_secret_are_refused(systems, admin):
    (first,) = admin.certificates()
    twin = {"metadata": {"name": "twin"}, "spec": first["spec"], "apiVersion": "cert-manager.io/v1"}
    admin.requests.send(CERTIFICATES, "POST", {**twin, "kind": "Certificate"})
    with pytest.raises(OperatorError, match="2 Certificates write the Secret mlflow-tls: mlflow-tls, twin"):
        CertRenew().plan(systems)


@pytest.fixture
def idle(admin):
    """An issuer that does not exist: cert-manager keeps the wish and does nothing."""
    patch(admin, f"{CERTIFICATES}/mlflow-tls", {"spec": {"issuerRef": {"name": "nobody"}}})


def issuing(cluster):
    (certificate,) = cluster.certificates()
    return next((each for each in certificate["status"]["conditions"] if each["type"] == "Issuing"), None)


def test_a_certificate_that_does_not_come_in_time_is_told_with_cert_managers_words(systems, admin, idle, monkeypatch):
    monkeypatch.setattr(renew, "WAIT_SECONDS", 0.3)
    before = held(admin)
    report = CertRenew().run(systems, Quiet())
    assert report.status is Status.FAIL
    assert "the last that was said is “Certificate re-issuance manually triggered”" in report.summary
    assert f"The one before is still in place: serial {before.serial}" in report.summary
    condition = issuing(admin)
    assert (condition["status"], condition["reason"]) == ("True", "ManuallyTriggered")
    with pytest.raises(OperatorError, match="cert-manager is renewing mlflow-tls already"):
        CertRenew().plan(systems)


def test_an_issuer_that_refuses_ends_the_wait_with_its_reason(systems, admin, idle):
    """As cert-manager's issuing controller writes it after a CertificateRequest that has failed."""

    def refuse():
        until(lambda: issuing(admin))
        message = "The certificate request has failed to complete and will be retried: rate limited"
        failed = {"type": "Issuing", "status": "False", "reason": "Failed", "message": message}
        patch(admin, f"{CERTIFICATES}/mlflow-tls/status", {"status": {"conditions": [failed]}})

    thread = threading.Thread(target=refuse)
    thread.start()
    report = CertRenew().run(systems, Quiet())
    thread.join()
    assert report.status is Status.FAIL
    assert "Failed: The certificate request has failed to complete and will be retried: rate limited." in report.summary


def test_waiting_can_be_stopped(systems, idle):
    with pytest.raises(Cancelled):
        CertRenew().run(systems, Quiet(stop=True))


def test_no_condition_of_cert_managers_is_lost(systems, admin, idle, monkeypatch):
    """Another condition is written between our reading and our writing: ours is refused, and made anew."""
    real = Cluster.set_certificate_status
    once = [True]

    def beaten(self, name, certificate):
        if once and once.pop():
            conditions = [*certificate["status"]["conditions"][:-1], {"type": "Audited", "status": "True"}]
            patch(admin, f"{CERTIFICATES}/{name}/status", {"status": {"conditions": conditions}})
        return real(self, name, certificate)

    monkeypatch.setattr(Cluster, "set_certificate_status", beaten)
    monkeypatch.setattr(renew, "WAIT_SECONDS", 0.1)
    CertRenew().run(systems, Quiet())
    (certificate,) = admin.certificates()
    assert {each["type"] for each in certificate["status"]["conditions"]} == {"Ready", "Audited", "Issuing"}


def test_the_verb_that_the_role_lacks_is_named(systems, admin):
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/data-platform/roles/mlflow-ops-worker"
    rules = [rule for rule in admin.requests.get(path)["rules"] if rule["resources"] != ["certificates/status"]]
    patch(admin, path, {"rules": rules})
    with pytest.raises(OperatorError, match=r"may not update certificates/status \(mlflow-tls\).*verb update"):
        CertRenew().plan(systems)


def test_annotating_the_ingress_as_the_runbook_does_renews_nothing(admin):
    before = held(admin)
    annotation = {"cert-manager.io/issue-temporary-certificate": "true"}
    patch(admin, INGRESS, {"metadata": {"annotations": annotation}})
    with pytest.raises(TimeoutError):
        until(lambda: held(admin).serial != before.serial, seconds=1.5)
    shown = parse("help cert renew")
    assert "renews nothing" in " ".join(shown.text.split())
