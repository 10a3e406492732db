"""What lies between a pod and a running container: the image, the configuration, the back-off after a failure."""

from __future__ import annotations

import asyncio

from mlflow_ops_sandbox.cluster.api.events import Happening
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.quantities import parse_quantity
from mlflow_ops_sandbox.cluster.kubelet import container_arguments, images, pod_faults
from mlflow_ops_sandbox.cluster.kubelet.container_environment import MissingConfigError, environment_of
from mlflow_ops_sandbox.cluster.kubelet.images import Images
from mlflow_ops_sandbox.cluster.kubelet.pod_record import PodRecord
from mlflow_ops_sandbox.cluster.kubelet.pod_status import ContainerState, unschedulable_status, waiting

_LEAST_MEMORY = 64 * 1024 * 1024
_CONFIG_RETRY_SECONDS = 2.0


class ContainerStart:
    """The ways in which the main container of one pod comes to start, or does not."""

    def __init__(self, record: PodRecord, known: Images) -> None:
        self._record = record
        self._images = known
        self._pace = record.node.pace

    async def pull(self) -> None:
        """Return once the image is on the node: never, for an image that cannot be pulled."""
        image = self._record.image()
        if not images.is_reference(image):
            await self._refuse_name(image)
        failure = self._images.pull_failure(image)
        if failure:
            await self.fail_to_pull(failure)
        present = self._record.node.present_images
        if image in present or self._images.is_seeded(image) or self._record.has_run:
            self._record.event("Pulled", f'Container image "{image}" already present on machine')
            return
        self._record.set(ContainerState(waiting("ContainerCreating"), restarts=self._record.restarts))
        self._record.event("Pulling", f'Pulling image "{image}"')
        await asyncio.sleep(self._pace.pull)
        present.add(image)
        took = f"{self._pace.pull:.3f}s ({self._pace.pull:.3f}s including waiting)"
        message = f'Successfully pulled image "{image}" in {took}. Image size: {len(image) * 7_340_033} bytes.'
        self._record.event("Pulled", message)

    async def await_config(self) -> None:
        """Return once all ConfigMaps, Secrets and keys are there that the container takes values from."""
        while True:
            try:
                environment_of(self._record.node.store, self._record.pod(), self._record.container())
            except MissingConfigError as problem:
                self._record.set_waiting("CreateContainerConfigError", str(problem))
                self._record.event("Failed", f"Error: {problem}", warning=True)
                await asyncio.sleep(min(_CONFIG_RETRY_SECONDS, self._pace.back_off))
            else:
                return

    def inherent_crash(self) -> pod_faults.Crash | None:
        """Return how the container is bound to end: by its image, or for want of memory."""
        container = self._record.container()
        image = str(container["image"])
        if images.crashes(image):
            return pod_faults.CRASHES["CrashLoopBackOff"]
        if self._images.is_mlflow(image):
            values = environment_of(self._record.node.store, self._record.pod(), container)
            refused = container_arguments.refused(container, values)
            if refused is not None:
                return refused
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        if limit is not None and self._images.is_mlflow(image) and parse_quantity(limit) < _LEAST_MEMORY:
            return pod_faults.CRASHES["OOMKilled"]
        return None

    def start(self) -> None:
        """Write that the container runs, and tell of it."""
        self._record.event("Created", f"Created container: {self._record.main}")
        self._record.set_started()
        self._record.event("Started", f"Started container {self._record.main}")

    def restart_image(self) -> None:
        """Tell that the image of a container that is started again is there already."""
        self._record.event("Pulled", f'Container image "{self._record.image()}" already present on machine')

    async def back_off(self, seconds: float) -> float:
        """Wait before the container is started again, not at all for 0; return how long to wait the next time."""
        if not seconds:
            return self._pace.back_off
        record = self._record
        message = pod_faults.back_off_message(seconds, record.main, record.name, record.namespace, record.uid)
        record.set_waiting("CrashLoopBackOff", message)
        pod = f"{record.name}_{record.namespace}({record.uid})"
        record.event("BackOff", f"Back-off restarting failed container {record.main} in pod {pod}", warning=True)
        await asyncio.sleep(seconds)
        return min(seconds * 2, pod_faults.LONGEST_BACK_OFF_SECONDS)

    async def fail_to_pull(self, failure: str) -> None:
        """Fail to pull the image, for ever."""
        record = self._record
        image = record.image()
        record.set(ContainerState(waiting("ErrImagePull", failure), restarts=record.restarts))
        back_off = self._pace.back_off
        while True:
            record.event("Pulling", f'Pulling image "{image}"')
            record.event("Failed", f'Failed to pull image "{image}": {failure}', warning=True)
            record.event("Failed", "Error: ErrImagePull", warning=True)
            message = f'Back-off pulling image "{image}": ErrImagePull: {failure}'
            record.set(ContainerState(waiting("ImagePullBackOff", message), restarts=record.restarts))
            record.event("BackOff", f'Back-off pulling image "{image}"')
            record.event("Failed", "Error: ImagePullBackOff", warning=True)
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, pod_faults.LONGEST_BACK_OFF_SECONDS)

    async def _refuse_name(self, image: str) -> None:
        """Tell that the image has no name by which it could be pulled, for ever."""
        sentence = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}"'
        while True:
            self._record.event("InspectFailed", f"{sentence}: invalid reference format", warning=True)
            self._record.event("Failed", "Error: InvalidImageName", warning=True)
            self._record.set_waiting("InvalidImageName", f"{sentence}: invalid reference format")
            await asyncio.sleep(self._pace.back_off)

    async def stay_pending(self) -> None:
        """Lose the node, and find none again."""
        record = self._record

        def unschedule(item: Object) -> None:
            item["spec"].pop("nodeName", None)
            item["status"] = unschedulable_status(item, pod_faults.UNSCHEDULABLE, record.node.clock())

        record.states = {name: ContainerState(waiting("ContainerCreating")) for name in record.states}
        record.update(unschedule)
        happening = Happening("FailedScheduling", pod_faults.UNSCHEDULABLE, warning=True)
        record.node.events.scheduler(record.pod(), happening)
        await asyncio.Event().wait()
