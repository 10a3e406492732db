"""GET pods/<name>/log: which file is meant, and the refusals of a real kubelet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from aiohttp import web

from mlflow_ops_sandbox.cluster.api.answers import standard_headers
from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.requests import Target, is_true
from mlflow_ops_sandbox.cluster.api.resources import PODS
from mlflow_ops_sandbox.cluster.api.status import ApiError, Cause, bad_request, invalid
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, from_rfc3339
from mlflow_ops_sandbox.cluster.kubelet.container_logs import LogDirectory, LogOptions, read_log


@dataclass(frozen=True, slots=True)
class LogReader:
    """Answers requests for logs."""

    store: Store
    logs: LogDirectory
    clock: Clock

    async def stream(self, request: web.Request, target: Target) -> web.StreamResponse:
        """Answer one request. Raises ApiError before the first byte."""
        pod = self.store.get(PODS, target.namespace, target.name)
        options = self._options(request.query, name_of(pod))
        container = container_of(pod, request.query.get("container", ""))
        headers = {**standard_headers(), "Content-Type": "text/plain"}
        answer = web.StreamResponse(headers=headers)
        found = self._file(pod, container, previous=is_true(request.query.get("previous")))
        if found is not None:
            path, restarts = found
            answer.enable_chunked_encoding()
            await answer.prepare(request)
            async for piece in read_log(path, options, lambda: self._ended(pod, container, restarts)):
                await answer.write(piece)
        else:
            await answer.prepare(request)
        await answer.write_eof()
        return answer

    def _file(self, pod: Object, container: str, *, previous: bool) -> tuple[Path, int] | None:
        if not pod["spec"].get("nodeName"):
            return None
        status = _status_of(pod, container)
        restarts = int(status.get("restartCount", 0))
        state = status.get("state") or {}
        last = (status.get("lastState") or {}).get("terminated")
        if previous:
            if not last:
                message = f'previous terminated container "{container}" in pod "{name_of(pod)}" not found'
                raise bad_request(message)
            index = restarts if "waiting" in state else restarts - 1
            return self.logs.path(pod, container, index), -1
        if "waiting" in state and not last:
            raise bad_request(_waiting_sentence(pod, container, str(state["waiting"].get("reason", ""))))
        return self.logs.path(pod, container, restarts), restarts

    def _ended(self, pod: Object, container: str, restarts: int) -> bool:
        now = self.store.find(PODS, namespace_of(pod), name_of(pod))
        if now is None or uid_of(now) != uid_of(pod):
            return True
        status = _status_of(now, container)
        return status.get("restartCount") != restarts or "running" not in (status.get("state") or {})

    def _options(self, query: Mapping[str, str], pod: str) -> LogOptions:
        tail, limit = _number(query, "tailLines", pod, 0), _number(query, "limitBytes", pod, 1)
        seconds = _number(query, "sinceSeconds", pod, 1)
        since = self.clock() - timedelta(seconds=seconds) if seconds is not None else None
        if query.get("sinceTime"):
            if since is not None:
                message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
                raise _invalid(pod, "FieldValueForbidden", "", message)
            try:
                since = from_rfc3339(query["sinceTime"])
            except ValueError:
                message = f'unable to parse "{query["sinceTime"]}" as a time'
                raise bad_request(message) from None
        follow = is_true(query.get("follow")) and not is_true(query.get("previous"))
        return LogOptions(tail, since, is_true(query.get("timestamps")), limit, follow)


def container_of(pod: Object, wanted: str) -> str:
    """Return the container that is meant: the one that was asked for, the only one, or the default.

    Raises ApiError 400 where there is no such container, or a choice.
    """
    names = [str(container["name"]) for container in containers_of(pod)]
    if wanted:
        if wanted not in names:
            message = f"container {wanted} is not valid for pod {name_of(pod)}"
            raise bad_request(message)
        return wanted
    if len(names) == 1:
        return names[0]
    default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if default in names:
        return str(default)
    choices = " ".join(names)
    message = f"a container name must be specified for pod {name_of(pod)}, choose one of: [{choices}]"
    raise bad_request(message)


def _status_of(pod: Object, container: str) -> Object:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == container:
            return dict(status)
    return {"state": {"waiting": {"reason": "ContainerCreating"}}}


def _waiting_sentence(pod: Object, container: str, reason: str) -> str:
    start = f'container "{container}" in pod "{name_of(pod)}" is waiting to start: '
    return start + {
        "ErrImagePull": "image can't be pulled",
        "ImagePullBackOff": "trying and failing to pull image",
    }.get(reason, reason)


def _number(query: Mapping[str, str], field: str, pod: str, least: int) -> int | None:
    text = query.get(field, "")
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        message = f'unable to convert "{text}" to an integer: strconv.ParseInt: parsing "{text}": invalid syntax'
        raise bad_request(message) from None
    if number < least:
        sentence = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
        raise _invalid(pod, "FieldValueInvalid", field, f"Invalid value: {number}: {sentence}")
    return number


def _invalid(pod: str, reason: str, field: str, message: str) -> ApiError:
    return invalid("", "PodLogOptions", pod, [Cause(reason, field or "sinceTime", message)])
