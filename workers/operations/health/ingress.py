"""The Ingress: the address from outside, and the certificate that it is served with.

Only a certificate fails this check. A missing Ingress or Secret is a warning, and so is an Ingress that no controller
has given an address, since MLflow works inside the cluster without any of them.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status
from workers.systems.cluster import certificate
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterForbidden, ClusterNotFound
from workers.wording import count, listed, moment

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings, Thresholds
    from workers.systems.cluster.certificate import Certificate

_NO_ADDRESS: Final = "; no controller has given the Ingress an address, so it can't be reached from outside"


def ask(asking: Asking) -> Answer:
    """The Ingress and the Secret that it names, else the configured one."""
    names = asking.names
    try:
        ingress = asking.cluster.ingress(names.ingress)
    except ClusterNotFound:
        sentence = f"There is no Ingress {names.ingress} in {names.namespace}: MLflow is not reachable from outside."
        return Answer(Status.WARN, sentence, figure="missing")
    name = secret_name(ingress, names.tls_secret)
    secret: dict[str, Any] | str
    try:
        secret = asking.cluster.secret(name)
    except ClusterNotFound:
        secret = f"the Secret {name} does not exist"
    except ClusterForbidden as error:
        secret = f"its certificate cannot be read: {error.message[:1].lower()}{error.message[1:].rstrip('.')}"
    return judge(ingress, name, secret, asking.settings, asking.now)


def secret_name(ingress: dict[str, Any], configured: str) -> str:
    """The Secret that the Ingress's TLS names, or the configured one where it names none."""
    for entry in Fields(ingress, "Ingress").each("spec", "tls"):
        if entry.text("secretName"):
            return entry.text("secretName")
    return configured


def judge(
    ingress: dict[str, Any], name: str, secret: dict[str, Any] | str, settings: Settings, now: datetime
) -> Answer:
    """From the Ingress and its TLS Secret; words in the Secret's place say why there is none."""
    fields = Fields(ingress, "Ingress")
    tls = fields.each("spec", "tls")
    hosts = [rule.text("host") for rule in fields.each("spec", "rules") if rule.text("host")]
    secured = [host for entry in tls for host in entry.texts("hosts")] or hosts
    addresses = [
        entry.text("ip") or entry.text("hostname") for entry in fields.each("status", "loadBalancer", "ingress")
    ]
    facts = [
        ("class", fields.text("spec", "ingressClassName", default="the default one")),
        ("address", ", ".join(addresses) or "none yet"),
        ("hosts", ", ".join(hosts) or "any"),
        ("TLS secret", name if tls else f"none (configured: {name})"),
    ]
    where = listed(hosts) or settings.ops.kubernetes.ingress
    nowhere = "" if addresses else _NO_ADDRESS
    if not tls:
        note = "" if isinstance(secret, str) else f"; {name} exists and is not used"
        sentence = f"{where} is served without TLS by this Ingress{note}{nowhere}."
        return Answer(Status.WARN if nowhere else Status.OK, sentence, "no TLS", (Facts(items=tuple(facts)),))
    if isinstance(secret, str):
        return Answer(Status.WARN, f"{where}: {secret}{nowhere}.", "no certificate", (Facts(items=tuple(facts)),))
    found = certificate.read(Fields(secret, f"Secret {name}").text("data", "tls.crt"), name)
    facts += [
        ("certificate for", ", ".join(found.names) or found.subject),
        ("issued by", found.issuer),
        ("ends", moment(found.ends)),
    ]
    days = found.days_left(now)
    status, sentence = _verdict(found, secured, where, now, settings.ops.health.thresholds)
    if nowhere:
        status, sentence = max(status, Status.WARN, key=lambda each: each.severity), f"{sentence[:-1]}{nowhere}."
    return Answer(
        status,
        sentence,
        figure=found.left(now),
        details=(Facts(items=tuple(facts)),),
        figures={"certificate_days": days},
    )


def _verdict(
    found: Certificate, hosts: list[str], where: str, now: datetime, thresholds: Thresholds
) -> tuple[Status, str]:
    days = found.days_left(now)
    if days < 0:
        return Status.FAIL, f"The certificate for {where} {found.left(now)}."
    if found.begins > now:
        return Status.FAIL, f"The certificate for {where} is not valid before {moment(found.begins)}."
    left = f"The certificate for {where} ends in {count(math.floor(days), 'day')}"
    if days <= thresholds.certificate_fail_days:
        return Status.FAIL, f"{left}."
    uncovered = found.uncovered(hosts)
    if uncovered:
        return (
            Status.WARN,
            f"The certificate is for {listed(found.names) or found.subject}, not for {listed(uncovered)}.",
        )
    if days <= thresholds.certificate_warn_days:
        return Status.WARN, f"{left}."
    return Status.OK, f"{left} and names its hosts."


def _look(settings: Settings) -> str:
    names = settings.ops.kubernetes
    return f"kubectl describe ingress {names.ingress} -n {names.namespace}"


QUESTION = Question("ingress", "Ingress", "Kubernetes", ask, _look, spokesman="pods", command="cert show")
