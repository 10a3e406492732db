"""The one node: of the same size on every computer, so that what fits on it never depends on where the sandbox runs."""

from __future__ import annotations

import platform
from datetime import datetime

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.times import to_rfc3339

NODE_NAME = "sandbox"
NODE_IP = "10.244.0.1"
_CORES = 8
_MEMORY_KIB = 32 * 1024 * 1024
_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def node(now: datetime) -> Object:
    """Return the node."""
    capacity = {"cpu": str(_CORES), "ephemeral-storage": "102687672Ki", "memory": f"{_MEMORY_KIB}Ki", "pods": "110"}
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": NODE_NAME,
        "kubernetes.io/os": "linux",
        "node-role.kubernetes.io/control-plane": "",
    }
    stamp = to_rfc3339(now)
    return {
        "metadata": {"name": NODE_NAME, "labels": labels},
        "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]},
        "status": {
            "capacity": capacity,
            "allocatable": {**capacity, "memory": f"{_MEMORY_KIB - 102400}Ki"},
            "conditions": [
                {
                    "type": kind,
                    "status": value,
                    "lastHeartbeatTime": stamp,
                    "lastTransitionTime": stamp,
                    "reason": reason,
                    "message": message,
                }
                for kind, value, reason, message in _CONDITIONS
            ],
            "addresses": [
                {"type": "InternalIP", "address": NODE_IP},
                {"type": "Hostname", "address": NODE_NAME},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": "5d0e1b7c9a1048b1b1e8a529c643c2d1",
                "systemUUID": "2b8e6f40-1d57-4c3b-9f0a-6e4d8c2a7b31",
                "bootID": "7f3c2d1e-9c64-4b1e-8a52-5d0e1b7c9a10",
                "kernelVersion": platform.release(),
                "osImage": "Debian GNU/Linux 12 (bookworm)",
                "containerRuntimeVersion": "containerd://2.1.4",
                "kubeletVersion": "v1.36.2",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }
