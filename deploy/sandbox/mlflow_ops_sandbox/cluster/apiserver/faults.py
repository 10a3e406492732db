"""Trouble on purpose in the API itself: requests that are slow, refused, broken off or never answered.

``cut`` breaks the connection before anything happened; ``cut-after`` when all is done and only the answer is missing,
so that a client cannot know whether its write took place. Chosen by a pattern over method and path
("GET /api/v1/.*pods"), a probability and a count. The seed makes a run repeatable.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from aiohttp import web

from mlflow_ops_sandbox.cluster.api.answers import error_answer
from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.status import internal_error, service_unavailable, too_many_requests
from mlflow_ops_sandbox.fault import Fault

KINDS = ("latency", "429", "500", "503", "cut", "cut-after", "hang")
_AFTER = "cut-after"
_HANG_SECONDS = 3600.0


@dataclass(slots=True, kw_only=True)
class RequestFault(Fault):
    """A fault of the requests whose method and path fit a pattern."""

    pattern: str

    @classmethod
    def from_json(cls, body: Object) -> RequestFault:
        """Read one. Raises ValueError in a sentence."""
        kind = str(body.get("kind", ""))
        if kind not in KINDS:
            message = f"kind must be one of {', '.join(KINDS)}"
            raise ValueError(message)
        try:
            pattern = re.compile(str(body.get("pattern", ""))).pattern
        except re.error as problem:
            message = f"pattern: {problem}"
            raise ValueError(message) from None
        count = body.get("count")
        return cls(
            pattern=pattern,
            kind=kind,
            seconds=float(body.get("seconds", _HANG_SECONDS if kind == "hang" else 1.0)),
            count=int(count) if count is not None else None,
            probability=float(body.get("probability", 1.0)),
            seed=body.get("seed"),
        )

    def to_json(self) -> Object:
        """Return the form that the control endpoint shows."""
        names = ("pattern", "kind", "seconds", "count", "probability", "hits")
        return {name: getattr(self, name) for name in names}

    def matches(self, asked: str) -> bool:
        """Say whether a request's line fits."""
        return bool(re.search(self.pattern, asked))


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        """Start without any."""
        self.active: list[RequestFault] = []

    async def apply(self, request: web.Request) -> web.Response | None:
        """Apply them to a request: returns an answer in place of the real one, or None to go on."""
        line = f"{request.method} {request.rel_url}"
        for fault in list(self.active):
            if fault.kind == _AFTER or not fault.strikes(line):
                continue
            if fault.kind in {"latency", "hang"}:
                await asyncio.sleep(fault.seconds)
                continue
            if fault.kind == "cut":
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            error = {
                "429": too_many_requests(),
                "500": internal_error("etcdserver: request timed out"),
                "503": service_unavailable(),
            }[fault.kind]
            return error_answer(error)
        return None

    def cut_answer(self, request: web.Request) -> bool:
        """Break the connection of a request that has been carried out, if that is asked for; says whether it was."""
        line = f"{request.method} {request.rel_url}"
        chosen = [entry for entry in self.active if entry.kind == _AFTER]
        if not any(entry.strikes(line) for entry in chosen):
            return False
        if request.transport is not None:
            request.transport.abort()
        return True
