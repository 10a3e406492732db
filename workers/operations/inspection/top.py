"""What the pods use of CPU and memory, as `kubectl top pods --containers` tells it, beside what they may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.health import resources
from workers.operations.inspection.finding import name_of, one_of, our_pods
from workers.operations.kubectl import by_hand, kubectl
from workers.report import Report
from workers.systems.errors import ClusterNotFound, ClusterUnavailable

if TYPE_CHECKING:
    from workers.systems import Systems


class Top(Operation):
    """Show what the pods use."""

    name: ClassVar[str] = "top"
    risk: ClassVar[Risk] = Risk.READ

    pod: str = ""

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask metrics-server. Raises OperatorError where there is none or it has no figures."""
        progress.step("Asking metrics-server")
        settings = systems.settings
        names = settings.ops.kubernetes
        pods = our_pods(systems)
        if self.pod:
            name = one_of(self.pod, [name_of(pod) for pod in pods], "pod")
            pods = [pod for pod in pods if name_of(pod) == name]
        selectors = dict.fromkeys((names.selector, names.postgres_selector, names.storage_selector))
        wanted = {name_of(pod) for pod in pods}
        try:
            usage = [item for each in selectors for item in systems.cluster.pod_usage(each)]
        except ClusterNotFound:
            message = "metrics-server is not installed in the cluster, so what pods use is not known."
            raise OperatorError(message, "Install it: https://github.com/kubernetes-sigs/metrics-server.") from None
        except ClusterUnavailable:
            message = "metrics-server is installed but does not answer, so what pods use is not known."
            raise OperatorError(message, "See kubectl get apiservice v1beta1.metrics.k8s.io.") from None
        usage = list({name_of(item): item for item in usage if name_of(item) in wanted}.values())
        which = [(name,) for name in wanted] if self.pod else [("-l", each) for each in selectors]
        answer = resources.judge(usage, pods, settings)
        if not answer.details:
            raise OperatorError(answer.sentence, "Ask again in a minute.")
        return Report(
            title="Resource use",
            status=answer.status,
            summary=f"{answer.sentence.rstrip('.')} ({answer.figure}).",
            sections=(
                *answer.details,
                by_hand(*(kubectl(settings, "top", "pod", *each, "--containers") for each in which)),
            ),
            hints=("resources --memory :8Gi --dry-run", "scale 4 --dry-run", "status"),
        )
