"""Tables of the network: services, endpoints, slices, ingresses, their classes and policies."""

from __future__ import annotations

from datetime import datetime

from mlflow_ops_sandbox.cluster.api.label_selectors import format_selector
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.apiserver.tables.columns import (
    AGE,
    NAME,
    Cells,
    Column,
    Table,
    age_of,
    joined,
    pairs,
    wide,
)

_SHOWN_ENDPOINTS = 3


def _service_ports(ports: list[Object]) -> str:
    return joined(
        [
            f"{port['port']}:{port['nodePort']}/{port.get('protocol', 'TCP')}"
            if port.get("nodePort")
            else f"{port['port']}/{port.get('protocol', 'TCP')}"
            for port in ports
        ]
    )


def _external_addresses(item: Object) -> str:
    spec = item["spec"]
    external: list[str] = list(spec.get("externalIPs") or [])
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec.get("type") != "LoadBalancer":
        return joined(external)
    entries = ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return joined([entry.get("ip") or entry.get("hostname", "") for entry in entries] + external, "<pending>")


def _service(item: Object, now: datetime) -> Cells:
    spec = item["spec"]
    return [
        item["metadata"]["name"],
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or "<none>",
        _external_addresses(item),
        _service_ports(spec.get("ports") or []),
        age_of(item, now),
        pairs(spec.get("selector")),
    ]


def _endpoints(item: Object, now: datetime) -> Cells:
    addresses = [
        f"{address['ip']}:{port['port']}"
        for subset in item.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    return [item["metadata"]["name"], _shortened(addresses), age_of(item, now)]


def _slice(item: Object, now: datetime) -> Cells:
    ports = joined([str(port.get("port", "*")) for port in item.get("ports") or ()], "<unset>")
    addresses = [address for endpoint in item.get("endpoints") or () for address in endpoint["addresses"]]
    kind = item.get("addressType", "IPv4")
    return [item["metadata"]["name"], kind, ports, _shortened(addresses, "<unset>"), age_of(item, now)]


def _shortened(addresses: list[str], empty: str = "<none>") -> str:
    if len(addresses) <= _SHOWN_ENDPOINTS:
        return joined(addresses, empty)
    return f"{','.join(addresses[:_SHOWN_ENDPOINTS])} + {len(addresses) - _SHOWN_ENDPOINTS} more..."


def _ingress(item: Object, now: datetime) -> Cells:
    spec = item["spec"]
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    balancers = ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return [
        item["metadata"]["name"],
        spec.get("ingressClassName") or "<none>",
        joined(hosts, "*"),
        ",".join(entry.get("ip") or entry.get("hostname", "") for entry in balancers),
        "80, 443" if spec.get("tls") else "80",
        age_of(item, now),
    ]


def _ingress_class(item: Object, now: datetime) -> Cells:
    parameters = item["spec"].get("parameters")
    shown = f"{parameters['kind']}/{parameters['name']}" if parameters else "<none>"
    return [item["metadata"]["name"], item["spec"].get("controller", ""), shown, age_of(item, now)]


def _policy(item: Object, now: datetime) -> Cells:
    return [item["metadata"]["name"], format_selector(item["spec"].get("podSelector")), age_of(item, now)]


NETWORK_TABLES = {
    "Service": Table(
        (NAME, Column("Type", "type determines how the Service is exposed."), Column("Cluster-IP"),
         Column("External-IP"), Column("Port(s)"), AGE, wide("Selector")),
        _service,
    ),
    "Endpoints": Table((NAME, Column("Endpoints"), AGE), _endpoints),
    "EndpointSlice": Table((NAME, Column("AddressType"), Column("Ports"), Column("Endpoints"), AGE), _slice),
    "Ingress": Table(
        (NAME, Column("Class"), Column("Hosts", "Hosts that incoming requests are matched against before the rules"),
         Column("Address", "Address is a list containing ingress points for the load-balancer"),
         Column("Ports", "Ports of TLS configurations that open"), AGE),
        _ingress,
    ),
    "IngressClass": Table((NAME, Column("Controller"), Column("Parameters"), AGE), _ingress_class),
    "NetworkPolicy": Table((NAME, Column("Pod-Selector"), AGE), _policy),
}  # fmt: skip
