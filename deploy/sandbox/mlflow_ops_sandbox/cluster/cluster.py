"""Everything together: the API server, the node, the controllers, the Services, and the control endpoint.

Started in the order in which each part relies on the one before; stopped in the opposite order. The kubeconfig is
written before anything listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from mlflow_ops_sandbox.cluster.api.events import Recorder
from mlflow_ops_sandbox.cluster.api.features import Features
from mlflow_ops_sandbox.cluster.api.label_selectors import LabelSelector
from mlflow_ops_sandbox.cluster.api.objects import Object, is_ready, is_terminating, uid_of
from mlflow_ops_sandbox.cluster.api.resources import SERVICES
from mlflow_ops_sandbox.cluster.api.store import HISTORY, Store
from mlflow_ops_sandbox.cluster.api.times import Clock, system_clock
from mlflow_ops_sandbox.cluster.apiserver.access import Authorizer
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.apiserver.faults import Faults
from mlflow_ops_sandbox.cluster.apiserver.identity import Identities, admin, service_account
from mlflow_ops_sandbox.cluster.apiserver.kubeconfig import Entry, write_kubeconfig
from mlflow_ops_sandbox.cluster.apiserver.reading import Reader
from mlflow_ops_sandbox.cluster.apiserver.reviews import Reviews
from mlflow_ops_sandbox.cluster.apiserver.server import ApiServer
from mlflow_ops_sandbox.cluster.apiserver.watching import Watcher
from mlflow_ops_sandbox.cluster.certificates import load_or_make_authority
from mlflow_ops_sandbox.cluster.control import Control
from mlflow_ops_sandbox.cluster.controllers.endpoints import pods_of
from mlflow_ops_sandbox.cluster.controllers.manager import ControllerManager
from mlflow_ops_sandbox.cluster.kubelet.container_logs import LogDirectory
from mlflow_ops_sandbox.cluster.kubelet.exec import Executor
from mlflow_ops_sandbox.cluster.kubelet.heartbeat import RENEW_SECONDS, Heartbeat
from mlflow_ops_sandbox.cluster.kubelet.images import Images
from mlflow_ops_sandbox.cluster.kubelet.kubelet import Kubelet
from mlflow_ops_sandbox.cluster.kubelet.log_requests import LogReader
from mlflow_ops_sandbox.cluster.kubelet.metrics import PERIOD_SECONDS, Metrics, Sampler
from mlflow_ops_sandbox.cluster.kubelet.pace import Pace
from mlflow_ops_sandbox.cluster.kubelet.pod_record import Node
from mlflow_ops_sandbox.cluster.kubelet.programs import Programs
from mlflow_ops_sandbox.cluster.kubelet.services import ServiceListener
from mlflow_ops_sandbox.cluster.seed.access import WORKER_ACCOUNT
from mlflow_ops_sandbox.cluster.seed.node import NODE_IP, NODE_NAME
from mlflow_ops_sandbox.cluster.seed.planting import Planter, is_empty
from mlflow_ops_sandbox.cluster.wiring import Wiring

_TOGETHER_SECONDS = 0.01
"""Writes that come within so short a time are looked at together."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a cluster is run."""

    data: Path
    wiring: Wiring
    port: int = 0
    control_port: int = 0
    pace: Pace = field(default_factory=Pace)
    clock: Clock = system_clock
    history: int = HISTORY
    metrics_period: float = PERIOD_SECONDS


class Cluster:
    """A cluster that runs."""

    def __init__(self, options: Options) -> None:
        data, clock, wiring = options.data, options.clock, options.wiring
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._options = options
        self._authority, self._certificate, self._key = load_or_make_authority(data / "pki", clock())
        self.store = Store(data / "cluster.db", clock=clock, history=options.history)
        self.events = Recorder(self.store, clock, NODE_NAME)
        self._identities = Identities(data / "identities.json")
        if is_empty(self.store):
            Planter(self.store, self.events, clock, self._authority.read_text()).plant(wiring)
        self.logs = LogDirectory(data / "logs", clock)
        self.node = Node(NODE_NAME, NODE_IP, self.store, self.logs, self.events, clock, options.pace)
        self.programs = Programs(data / "programs", Images(wiring))
        self.kubelet = Kubelet(self.node, wiring, self.programs)
        self._sampler = Sampler(wiring, clock, options.metrics_period)
        self._metrics = Metrics(self.store, self._sampler)
        self._features = Features(cert_manager=True)
        self._faults = Faults()
        self._admission = Admission(self.store, clock)
        self._controllers = ControllerManager(self.events, self._admission, options.pace, self._measure)
        self._services: dict[str, ServiceListener] = {}
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()
        self.port = 0
        self.control_port = 0

    @property
    def kubeconfig(self) -> Path:
        """Return the file by which admins find the cluster."""
        return self._options.data / "kubeconfig"

    @property
    def service_ports(self) -> dict[str, int]:
        """Return the real port of each Service."""
        return {name: listener.port for name, listener in self._services.items()}

    async def start(self) -> None:
        """Start everything; returns once the API answers."""
        wiring = self._options.wiring
        listening = _listening(self._options.port)
        self.port = int(listening.getsockname()[1])
        self._write_kubeconfigs()
        for name, port in wiring.service_ports.items():
            self._services[name] = ServiceListener(port, lambda name=name: self._addresses(name))  # type: ignore[misc]
        await self.kubelet.start()
        await self._reconcile()
        jobs = (self._control_loop(), self._sampler.run(), self._keep_house())
        self._tasks = [asyncio.create_task(job) for job in jobs]
        await self._serve(self._api().application(), listening, self._tls())
        if self._options.control_port >= 0:
            control = Control(self._admission, self.kubelet, self._features, self._faults, self._controllers, wiring)
            listening = _listening(self._options.control_port)
            self.control_port = int(listening.getsockname()[1])
            await self._serve(control.application(), listening, None)

    async def stop(self) -> None:
        """Stop everything; what is in the store stays."""
        self._closing.set()
        for runner in self._runners:
            await runner.cleanup()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for listener in self._services.values():
            await listener.close()
        await self.kubelet.stop()
        self.store.close()

    def _api(self) -> ApiServer:
        store, clock = self.store, self._options.clock
        authorizer = Authorizer(store)
        return ApiServer(
            address=f"127.0.0.1:{self.port}",
            identities=self._identities,
            authorizer=authorizer,
            reader=Reader(store, clock),
            watcher=Watcher(store, clock, self._closing),
            log_reader=LogReader(store, self.logs, clock),
            executor=Executor(store, self.programs),
            metrics=self._metrics,
            reviews=Reviews(authorizer, self._identities),
            faults=self._faults,
            features=self._features,
            admission=self._admission,
        )

    def _measure(self, namespace: str, selector: LabelSelector) -> list[Object] | None:
        """Return what metrics.k8s.io tells of pods, None while it is not installed."""
        return self._metrics.pods(namespace, selector) if self._features.metrics else None

    def _write_kubeconfigs(self) -> None:
        namespace = self._options.wiring.namespace
        users = {"kubeconfig": admin(), "kubeconfig-worker": service_account(namespace, WORKER_ACCOUNT)}
        for name, user in users.items():
            entry = Entry(
                server=f"https://127.0.0.1:{self.port}",
                authority=self._authority.read_bytes(),
                user=user,
                token=self._identities.token_for(user),
                namespace=namespace,
            )
            write_kubeconfig(self._options.data / name, entry)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        return context

    async def _serve(self, application: web.Application, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await runner.setup()
        self._runners.append(runner)
        await web.SockSite(runner, listening, ssl_context=tls).start()

    def _addresses(self, service: str) -> list[tuple[str, int]]:
        item = self.store.find(SERVICES, self._options.wiring.namespace, service)
        if item is None:
            return []
        ready = [pod for pod in pods_of(self.store, item) if is_ready(pod) and not is_terminating(pod)]
        addresses = (self.kubelet.address_of(uid_of(pod)) for pod in ready)
        return [address for address in addresses if address is not None]

    async def _reconcile(self) -> None:
        self._controllers.reconcile()
        for listener in self._services.values():
            await listener.refresh()

    async def _control_loop(self) -> None:
        while True:
            revision = self.store.revision
            await self._reconcile()
            due = self._controllers.seconds_until_due()
            await asyncio.sleep(_TOGETHER_SECONDS)
            pause = self._options.pace.resync
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if due is None else min(due, pause)):
                    await self.store.wait_beyond(revision)

    async def _keep_house(self) -> None:
        heartbeat = Heartbeat(self.store, self._options.clock, NODE_NAME)
        while True:
            self.events.expire()
            heartbeat.beat()
            await asyncio.sleep(RENEW_SECONDS)


def _listening(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made
