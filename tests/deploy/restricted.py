"""Kubernetes' "restricted" level, as https://kubernetes.io/docs/concepts/security/pod-security-standards/ lists it."""

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def violations(pod):
    """What a pod's spec does that the level forbids, in a few words each; a writable root file system, too."""
    above = pod.get("securityContext") or {}
    found = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes") or ():
        found += [f"volume {volume['name']} is a {kind}" for kind in volume if kind != "name" and kind not in VOLUMES]
    for container in [*(pod.get("initContainers") or ()), *pod["containers"]]:
        own = container.get("securityContext") or {}
        found += [f"{container['name']}: {said}" for said in _of_a_container(own, {**above, **own}, container)]
    return found


def _of_a_container(own, context, container):
    capabilities = own.get("capabilities") or {}
    rules = {
        "privileged": not own.get("privileged"),
        "may escalate": own.get("allowPrivilegeEscalation") is False,
        "may be root": context.get("runAsNonRoot") is True and context.get("runAsUser") != 0,
        "keeps capabilities": capabilities.get("drop") == ["ALL"]
        and set(capabilities.get("add") or ()) <= {"NET_BIND_SERVICE"},
        "has no seccomp profile": (context.get("seccompProfile") or {}).get("type") in {"RuntimeDefault", "Localhost"},
        "has host ports": not any(port.get("hostPort") for port in container.get("ports") or ()),
        "may write its root file system": own.get("readOnlyRootFilesystem") is True,
    }
    return [name for name, kept in rules.items() if not kept]
