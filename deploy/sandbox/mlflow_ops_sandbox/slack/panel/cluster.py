"""The cluster's troubles, by its control port (see cluster/control.py).

The port does not tell of the certificate; what was ordered here is remembered as long as this process lives.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.panel.thing import BREAK, HEAL, State, Thing

SECONDS: Final = 2.0
APPLICATION: Final = "mlflow"
HEALTHY_DAYS: Final = 60
_PODS: Final = {
    "crash": ("CrashLoopBackOff", "A pod crashes in a loop", "It cannot log in to its database and starts again"),
    "memory": ("OOMKilled", "A pod runs out of memory", "The kernel kills it, again and again"),
    "image": ("ImagePullBackOff", "An image cannot be pulled", "The registry does not have it"),
    "pending": ("Pending", "A pod finds no node", "No node has enough memory left"),
}
_API: Final[dict[str, tuple[Json, str, str]]] = {
    "slow": ({"kind": "latency", "seconds": 2}, "The API answers slowly", "Every request takes two seconds longer"),
    "busy": ({"kind": "429"}, "The API refuses: too many requests", "429 for every request"),
    "errors": ({"kind": "500"}, "The API fails", "500: etcd timed out"),
    "cut": ({"kind": "cut"}, "The API's connections break", "Every request is cut before its answer"),
}
_CERTIFICATES: Final = {
    "ending": (5, "The certificate ends in 5 days", "The ingress's, re-issued to end soon"),
    "expired": (-1, "The certificate has expired", "It ended yesterday"),
}
_OBJECTS: Final = {
    "rollout": (
        ("rollout", "stuck", "well"),
        "A rollout of before is stuck",
        "MLflow's Deployment is on its way to an image that nobody has, and past its deadline in seconds",
    ),
    "quota": (
        ("quota", "full", "none"),
        "The quota is full",
        "The namespace has no room for one pod more: what replaces a pod is refused",
    ),
}
_METRICS: Final = Thing("metrics", "No metrics", "metrics-server is gone: no CPU and memory figures")


class Cluster:
    """Pods, what governs them, metrics, API and certificate."""

    id = "cluster"
    title = "Kubernetes"

    def __init__(self, control: str) -> None:
        """Talk to the control port at this address."""
        self._address = f"{control.rstrip('/')}/faults"
        self._certificate: str | None = None

    async def things(self) -> list[Thing]:
        """Return the things, all of unknown state where the control port does not answer."""
        try:
            now: Json | None = await self._ask()
        except SlackError:
            now = None
        pods = {} if now is None else now["pods"]
        kinds = [] if now is None else [trouble["kind"] for trouble in now["api"]]

        def state(*, broken: bool) -> State:
            return "unknown" if now is None else "broken" if broken else "well"

        found = [
            Thing(key, label, said, state(broken=fault in pods.values()), _names(pods, fault))
            for key, (fault, label, said) in _PODS.items()
        ]
        found += [
            Thing(key, label, said, state(broken=now is not None and now[field] == broken))
            for key, ((field, broken, _), label, said) in _OBJECTS.items()
        ]
        absent = now is not None and now["metrics"] == "absent"
        found.append(Thing(_METRICS.id, _METRICS.label, _METRICS.help, state(broken=absent)))
        found += [
            Thing(key, label, said, state(broken=trouble["kind"] in kinds))
            for key, (trouble, label, said) in _API.items()
        ]
        found += [
            Thing(key, label, said, state(broken=self._certificate == key))
            for key, (_, label, said) in _CERTIFICATES.items()
        ]
        return found

    async def order(self, thing: str, action: str) -> None:
        """Break or heal one thing."""
        if action not in (BREAK, HEAL):
            raise InvalidArgumentsError(f"action: {BREAK} or {HEAL}")
        broken = action == BREAK
        if thing in _PODS:
            await self._pod(_PODS[thing][0], broken=broken)
        elif thing in _OBJECTS:
            field, wrong, right = _OBJECTS[thing][0]
            await self._ask({field: wrong if broken else right})
        elif thing == _METRICS.id:
            await self._ask({"metrics": "absent" if broken else "present"})
        elif thing in _API:
            trouble = _API[thing][0]
            await self._ask({"api": trouble} if broken else {"end": trouble["kind"]})
        elif thing in _CERTIFICATES:
            await self._ask({"certificate_days": _CERTIFICATES[thing][0] if broken else HEALTHY_DAYS})
            self._certificate = thing if broken else None
        else:
            raise InvalidArgumentsError(f"thing: there is no {thing}")

    async def heal(self) -> None:
        """Mend all of it."""
        await self._ask({"clear": True, "certificate_days": HEALTHY_DAYS})
        self._certificate = None

    async def _pod(self, fault: str, *, broken: bool) -> None:
        if broken:
            await self._ask({"pod": f"{APPLICATION}/0", "state": fault})
            return
        now = await self._ask()
        for name, found in now["pods"].items():
            if found == fault:
                await self._ask({"pod": name, "state": "Running"})

    async def _ask(self, order: Json | None = None) -> Json:
        """Send an order, or only look; return what is broken."""
        method = "GET" if order is None else "POST"
        try:
            async with (
                asyncio.timeout(SECONDS),
                ClientSession(trust_env=False, timeout=ClientTimeout(total=SECONDS)) as session,
                session.request(method, self._address, json=order, allow_redirects=False) as answer,
            ):
                body: Json = await answer.json()
        except (ClientError, TimeoutError, ValueError) as error:
            raise SlackError("cluster_not_answering") from error
        if answer.status != 200:  # noqa: PLR2004 - the only good one
            raise SlackError("cluster_refused", message=str(body.get("error", answer.status)))
        return body


def _names(pods: Json, fault: str) -> str:
    return ", ".join(name for name, found in pods.items() if found == fault)
