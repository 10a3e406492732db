"""The panel behind the cluster: break it on purpose, heal it again. Plain HTTP, JSON, 127.0.0.1 only.

``POST /faults`` takes any of: ``metrics`` and ``cert_manager`` (absent | present); ``pod`` (a name, or "mlflow/0"
for the first of an app) with ``state``; ``api`` (one fault or a list); ``end`` (a kind of these); ``certificate_days``
(re-issues the ingress's certificate to end then; may be negative); ``rollout`` (stuck | well: MLflow's Deployment is on
its way to an image that nobody has); ``quota`` (full | none: the namespace has no room for one pod more); ``webhook``
(one that refuses, or a list: see admission/webhooks); ``lag`` (how long it takes until controllers see a changed spec,
in seconds); ``clear`` (all of it back to normal, first). The answer, as of ``GET /faults``, is what is broken now.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web

from mlflow_ops_sandbox.cluster.api.features import Features
from mlflow_ops_sandbox.cluster.api.objects import Object, is_terminating, labels_of, name_of, uid_of
from mlflow_ops_sandbox.cluster.api.resources import PODS, SECRETS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.apiserver.admission.webhooks import Webhook
from mlflow_ops_sandbox.cluster.apiserver.faults import Faults, RequestFault
from mlflow_ops_sandbox.cluster.certificates import self_signed
from mlflow_ops_sandbox.cluster.controllers.manager import ControllerManager
from mlflow_ops_sandbox.cluster.kubelet import pod_faults
from mlflow_ops_sandbox.cluster.kubelet.kubelet import Kubelet
from mlflow_ops_sandbox.cluster.kubelet.pod_runner import PodRunner
from mlflow_ops_sandbox.cluster.seed import manifests
from mlflow_ops_sandbox.cluster.troubles import Troubles
from mlflow_ops_sandbox.cluster.wiring import Wiring

_KEYS = {"metrics", "cert_manager", "pod", "state", "api", "certificate_days", "rollout", "quota", "webhook", "lag",
         "end", "clear"}  # fmt: skip


class _RefusedError(Exception):
    """What was asked for makes no sense; the message says why."""


@dataclass(frozen=True, slots=True)
class Control:
    """Answers the panel's requests."""

    admission: Admission
    kubelet: Kubelet
    features: Features
    faults: Faults
    controllers: ControllerManager
    wiring: Wiring

    @property
    def _troubles(self) -> Troubles:
        return Troubles(self.admission.store, self.admission.clock, self.wiring.namespace)

    def application(self) -> web.Application:
        """Return what listens."""
        application = web.Application()
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/faults", self._show)
        application.router.add_post("/faults", self._change)
        return application

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "revision": self.admission.store.revision})

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
        troubles = self._troubles
        broken = {runner.name: runner.fault for runner in self.kubelet.runners() if runner.fault != "Running"}
        return {
            "metrics": "present" if self.features.metrics else "absent",
            "cert_manager": "present" if self.features.cert_manager else "absent",
            "pods": broken,
            "api": [fault.to_json() for fault in self.faults.active],
            "rollout": "stuck" if troubles.is_stuck() else "well",
            "quota": "full" if troubles.is_full() else "none",
            "webhooks": [webhook.to_json() for webhook in self.admission.webhooks.active],
            "lag": self.controllers.lag,
        }

    async def _apply(self, body: object) -> None:
        if not isinstance(body, dict) or not set(body) <= _KEYS:
            message = f"a JSON object with any of {', '.join(sorted(_KEYS))}"
            raise _RefusedError(message)
        if body.get("clear"):
            await self._clear()
        for feature in {"metrics", "cert_manager"} & set(body):
            self._install(feature, body[feature])
        self._disturb_requests(body)
        if "certificate_days" in body:
            self._reissue(float(body["certificate_days"]))
        if "lag" in body:
            self.controllers.lag = max(float(body["lag"]), 0.0)
        self._disturb_objects(body)
        if "pod" in body:
            if body.get("state") not in pod_faults.STATES:
                message = f"state must be one of {', '.join(pod_faults.STATES)}"
                raise _RefusedError(message)
            await self._runner(str(body["pod"])).set_fault(str(body["state"]))

    async def _clear(self) -> None:
        self.features.metrics = self.features.cert_manager = True
        self.faults.active.clear()
        self.admission.webhooks.active.clear()
        self.controllers.lag = self.controllers.usual_lag
        self._troubles.unstick()
        self._troubles.free()
        for runner in list(self.kubelet.runners()):
            await runner.set_fault("Running")

    def _disturb_requests(self, body: Object) -> None:
        if "end" in body:
            self.faults.active[:] = [fault for fault in self.faults.active if fault.kind != body["end"]]
        if "api" in body:
            self.faults.active.extend([RequestFault.from_json(entry) for entry in _listed(body["api"])])
        if "webhook" in body:
            self.admission.webhooks.active.extend([Webhook.from_json(entry) for entry in _listed(body["webhook"])])

    def _disturb_objects(self, body: Object) -> None:
        troubles = self._troubles
        deeds = {
            "rollout": {"stuck": troubles.stick, "well": troubles.unstick},
            "quota": {"full": troubles.fill, "none": troubles.free},
        }
        for key, known in deeds.items():
            if key not in body:
                continue
            if body[key] not in known:
                message = f"{key} must be one of {', '.join(known)}"
                raise _RefusedError(message)
            try:
                known[body[key]]()
            except ApiError as error:
                raise _RefusedError(error.message) from None

    def _install(self, feature: str, wanted: object) -> None:
        if wanted not in {"absent", "present"}:
            message = f"{feature} must be absent or present"
            raise _RefusedError(message)
        setattr(self.features, feature, wanted == "present")

    def _runner(self, wanted: str) -> PodRunner:
        application, _, index = wanted.partition("/")
        pods = [pod for pod in self.admission.store.all(PODS, self.wiring.namespace) if not is_terminating(pod)]
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
        now = self.admission.clock()
        pair = self_signed(manifests.HOST, starts=now - timedelta(days=1), ends=now + timedelta(days=days))
        try:
            self.admission.store.update(
                SECRETS, self.wiring.namespace, manifests.TLS_SECRET,
                lambda item: item.update(data=manifests.tls_data(pair)),
            )  # fmt: skip
        except ApiError as error:
            raise _RefusedError(error.message) from None


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]
