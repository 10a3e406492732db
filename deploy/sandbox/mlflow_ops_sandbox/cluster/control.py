"""The panel behind the cluster: break it on purpose, heal it again. Plain HTTP, JSON, 127.0.0.1 only.

``POST /faults`` takes any of: ``metrics`` and ``cert_manager`` (absent | present); ``pod`` (a name, or "mlflow/0"
for the first of an app) with ``state``; ``api`` (one fault or a list); ``certificate_days`` (re-issues the
ingress's certificate to end then; may be negative); ``clear`` (all of it back to normal, first). The answer, as of
``GET /faults``, is what is broken now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from mlflow_ops_sandbox.cluster.api.features import Features
from mlflow_ops_sandbox.cluster.api.objects import Object, is_terminating, labels_of, name_of, uid_of
from mlflow_ops_sandbox.cluster.api.resources import PODS, SECRETS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.apiserver.faults import Faults, RequestFault
from mlflow_ops_sandbox.cluster.certificates import self_signed
from mlflow_ops_sandbox.cluster.kubelet import pod_faults
from mlflow_ops_sandbox.cluster.kubelet.kubelet import Kubelet
from mlflow_ops_sandbox.cluster.kubelet.pod_runner import PodRunner
from mlflow_ops_sandbox.cluster.seed import manifests
from mlflow_ops_sandbox.cluster.wiring import Wiring

_KEYS = {"metrics", "cert_manager", "pod", "state", "api", "certificate_days", "clear"}


class _RefusedError(Exception):
    """What was asked for makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Control:
    """Answers the panel's requests."""

    store: Store
    kubelet: Kubelet
    features: Features
    faults: Faults
    wiring: Wiring
    clock: Clock

    def application(self) -> web.Application:
        """Return what listens."""
        application = web.Application()
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/faults", self._show)
        application.router.add_post("/faults", self._change)
        return application

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "revision": self.store.revision})

    async def _show(self, _request: web.Request) -> web.Response:
        return web.json_response(self._current())

    async def _change(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.read())
            await self._apply(body)
        except (_RefusedError, ValueError, TypeError) as problem:
            return web.json_response({"error": str(problem)}, status=400)
        return web.json_response(self._current())

    def _current(self) -> Object:
        broken = {runner.name: runner.fault for runner in self.kubelet.runners() if runner.fault != "Running"}
        return {
            "metrics": "present" if self.features.metrics else "absent",
            "cert_manager": "present" if self.features.cert_manager else "absent",
            "pods": broken,
            "api": [fault.to_json() for fault in self.faults.active],
        }

    async def _apply(self, body: object) -> None:
        if not isinstance(body, dict) or not set(body) <= _KEYS:
            message = f"a JSON object with any of {', '.join(sorted(_KEYS))}"
            raise _RefusedError(message)
        if body.get("clear"):
            self.features.metrics = self.features.cert_manager = True
            self.faults.active.clear()
            for runner in list(self.kubelet.runners()):
                await runner.set_fault("Running")
        for feature in {"metrics", "cert_manager"} & set(body):
            self._install(feature, body[feature])
        if "api" in body:
            wanted = body["api"] if isinstance(body["api"], list) else [body["api"]]
            self.faults.active.extend([RequestFault.from_json(entry) for entry in wanted])
        if "certificate_days" in body:
            self._reissue(float(body["certificate_days"]))
        if "pod" in body:
            if body.get("state") not in pod_faults.STATES:
                message = f"state must be one of {', '.join(pod_faults.STATES)}"
                raise _RefusedError(message)
            await self._runner(str(body["pod"])).set_fault(str(body["state"]))

    def _install(self, feature: str, wanted: object) -> None:
        if wanted not in {"absent", "present"}:
            message = f"{feature} must be absent or present"
            raise _RefusedError(message)
        setattr(self.features, feature, wanted == "present")

    def _runner(self, wanted: str) -> PodRunner:
        application, _, index = wanted.partition("/")
        pods = [pod for pod in self.store.all(PODS, self.wiring.namespace) if not is_terminating(pod)]
        if index:
            chosen = [pod for pod in pods if labels_of(pod).get("app") == application]
            chosen = chosen[int(index) : int(index) + 1] if index.isdigit() else []
        else:
            chosen = [pod for pod in pods if name_of(pod) == wanted]
        runner = self.kubelet.runner(uid_of(chosen[0])) if chosen else None
        if runner is None:
            message = f"no pod {wanted}"
            raise _RefusedError(message)
        return runner

    def _reissue(self, days: float) -> None:
        now = self.clock()
        pair = self_signed(manifests.HOST, starts=now - timedelta(days=1), ends=now + timedelta(days=days))
        try:
            self.store.update(
                SECRETS, self.wiring.namespace, manifests.TLS_SECRET,
                lambda item: item.update(data=manifests.tls_data(pair)),
            )  # fmt: skip
        except ApiError as error:
            raise _RefusedError(error.message) from None
