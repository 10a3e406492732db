"""What Argo CD does with an application whose policy is automated with self-heal and server-side apply.

Every few seconds each manifest of the branch is compared with the object; one that differs in a field that the manifest
has is applied, by force, under Argo CD's name. Fields that no manifest has are left alone, and nothing is pruned
(https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/, .../sync-options/#server-side-apply).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from mlflow_ops_sandbox.git.manifests import FOLDER
from mlflow_ops_sandbox.git.store import Missing, Store

Json = dict[str, Any]
APPLICATION: Final = "mlflow"
MANAGER: Final = "argocd-controller"
TRACKING: Final = "argocd.argoproj.io/tracking-id"
_APPLY: Final = "application/apply-patch+yaml"
_PATHS: Final = {"Deployment": ("apis/apps/v1", "deployments"), "ConfigMap": ("api/v1", "configmaps")}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_LOG = logging.getLogger("git.reconciler")


class Refused(Exception):  # noqa: N818 - it is named after what happened
    """The API server did not do it."""


@dataclass(frozen=True)
class Api:
    """The cluster's API, by a kubeconfig."""

    server: str
    token: str
    trust: ssl.SSLContext

    @classmethod
    def of(cls, kubeconfig: Path) -> Api:
        """From the only cluster and user in it."""
        content = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], user["token"], ssl.create_default_context(cadata=authority))

    async def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """One request; the answer. Raises Refused, aiohttp.ClientError and TimeoutError."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": _APPLY}
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session,
            session.request(method, f"{self.server}{path}", json=body, headers=headers, ssl=self.trust) as answer,
        ):
            found: Json = await answer.json(content_type=None)
            if not answer.ok:
                raise Refused(f"{answer.status}: {found.get('message')}")
            return found


def path_of(item: Json) -> str:
    """Where an object stands in the API. Raises KeyError for a kind that is not reconciled."""
    group, plural = _PATHS[item["kind"]]
    metadata = item["metadata"]
    return f"/{group}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


@dataclass(frozen=True)
class Reconciler:
    """One application, from one branch."""

    store: Store
    branch: str
    api: Api
    every_seconds: float = 3.0

    async def run(self) -> None:
        """Reconcile for ever; what fails is tried again at the next turn."""
        while True:
            try:
                await self.once()
            except (aiohttp.ClientError, TimeoutError, Refused, Missing, yaml.YAMLError, KeyError, TypeError) as error:
                _LOG.warning("not reconciled: %s: %s", type(error).__name__, error)
            await asyncio.sleep(self.every_seconds)

    async def once(self) -> list[str]:
        """Apply what differs; the paths of those objects."""
        applied = []
        for wanted in await asyncio.to_thread(self._wanted):
            path = path_of(wanted)
            live = await self.api.call("GET", path)
            if not differs(live, wanted):
                continue
            await self.api.call("PATCH", f"{path}?fieldManager={MANAGER}&force=true", wanted)
            _LOG.info("synced %s to %s", path, self.store.head(self.branch)[:7])
            applied.append(path)
        return applied

    def _wanted(self) -> list[Json]:
        commit = self.store.head(self.branch)
        items = []
        for file in self.store.files(commit, FOLDER):
            if not file.endswith((".yaml", ".yml")):
                continue
            items += [each for each in yaml.safe_load_all(self.store.read(commit, file).content) if each]
        for item in items:
            metadata = item["metadata"]
            group = _PATHS[item["kind"]][0].removeprefix("apis/").partition("/")[0]
            group = "" if group == "api" else group
            tracked = f"{APPLICATION}:{group}/{item['kind']}:{metadata['namespace']}/{metadata['name']}"
            metadata["annotations"] = {**(metadata.get("annotations") or {}), TRACKING: tracked}
        return items


def differs(live: Any, wanted: Any) -> bool:
    """Whether a field that the manifest has is another in the object."""
    if isinstance(wanted, dict):
        return not isinstance(live, dict) or any(differs(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list):
            return True
        if wanted and all(isinstance(each, dict) and "name" in each for each in wanted):
            by_name = {each.get("name"): each for each in live if isinstance(each, dict)}
            return any(differs(by_name.get(each["name"]), each) for each in wanted)
        return len(live) != len(wanted) or any(differs(a, b) for a, b in zip(live, wanted, strict=True))
    return json.dumps(live) != json.dumps(wanted) and str(live) != str(wanted)
