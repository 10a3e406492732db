"""Asking the parts over HTTP, on loopback, never through a proxy."""

from __future__ import annotations

import aiohttp

from mlflow_ops_sandbox.parts.ports import HOST

_TIMEOUT = aiohttp.ClientTimeout(total=5)
OK = 200


async def answers(port: int, path: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.get(f"http://{HOST}:{port}{path}") as response,
        ):
            return response.status == OK
    except (aiohttp.ClientError, TimeoutError):
        return False
