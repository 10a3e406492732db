"""Damage to what MLflow holds: a table, artifacts, its configuration. Nothing here mends it; a restore does.

Unlike the other groups these are deeds and no switches, and healing leaves them as they are: bringing the data back is
what is to be tried. The addresses and passwords are looked up in the sandbox's folder at the moment of the deed, so
the page can order it and never learns them.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import yaml
from aiohttp import ClientError, ClientSession, ClientTimeout

from mlflow_ops_sandbox.cluster.seed.manifests import CONFIG
from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts.s3.objects import ARTIFACTS
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.panel.thing import DO, Thing

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE: Final = "metrics"
DELETED_AT_MOST: Final = 500
SECONDS: Final = 10
_THINGS: Final = (
    ("table", "Drop a table", f"DROP TABLE {TABLE} in MLflow's database", "Drop"),
    ("artifacts", f"Delete {DELETED_AT_MOST} artifacts", "The first ones of the bucket, as a client deletes", "Delete"),
    ("config", "Break the configuration", f"Every value of the ConfigMap {CONFIG} becomes “broken”", "Break"),
)


class Damage:
    """What a restore is for. look: the environment of the sandbox, asked for at each deed; raises SandboxError."""

    id = "damage"
    title = "Damage, for a restore"

    def __init__(self, look: Callable[[], Mapping[str, str]]) -> None:
        self._look = look
        self._done: dict[str, str] = {}

    async def things(self) -> list[Thing]:
        """Return the deeds, with what the last one of each did."""
        return [
            Thing(key, label, said, detail=self._done.get(key, ""), actions=((DO, action),))
            for key, label, said, action in _THINGS
        ]

    async def order(self, thing: str, action: str) -> None:
        """Do it. Raises SlackError where it cannot be done."""
        if action != DO or thing not in {key for key, *_ in _THINGS}:
            raise InvalidArgumentsError(f"action: {thing} knows no {action}")
        try:
            environ = await asyncio.to_thread(self._look)
            if thing == "table":
                told = await asyncio.to_thread(_drop, environ)
            elif thing == "artifacts":
                told = await asyncio.to_thread(_delete, environ)
            else:
                told = await _break(environ)
        except SandboxError as error:
            raise SlackError("sandbox_not_ready", message=str(error)) from error
        except (psycopg.Error, ClientError, TimeoutError) as error:
            raise SlackError("not_done", message=str(error).strip() or type(error).__name__) from error
        self._done[thing] = f"{told}, at {datetime.now(UTC):%H:%M:%S} UTC"

    async def heal(self) -> None:
        """Do nothing: `/mlflow restore` does."""


def _drop(environ: Mapping[str, str]) -> str:
    with psycopg.connect(environ["MLFLOW_OPS_DATABASE_URL"], autocommit=True, connect_timeout=SECONDS) as connection:
        row = connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone()
        if row is None or row[0] is None:
            return f"{TABLE} was gone already"
        connection.execute(f"SET lock_timeout = '{SECONDS}s'")
        connection.execute(f"DROP TABLE {TABLE} CASCADE")
    return f"{TABLE} dropped"


def _delete(environ: Mapping[str, str]) -> str:
    # Nearly a second of a Slack's start, were it imported with the rest.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=environ["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        region_name=environ["AWS_DEFAULT_REGION"],
        config=Config(connect_timeout=SECONDS, read_timeout=SECONDS, proxies={}),
    )
    try:
        page = client.list_objects_v2(Bucket=ARTIFACTS, MaxKeys=DELETED_AT_MOST)
        keys = [{"Key": each["Key"]} for each in page.get("Contents", ())]
        if keys:
            client.delete_objects(Bucket=ARTIFACTS, Delete={"Objects": keys, "Quiet": True})
    except (BotoCoreError, ClientError) as error:
        raise SlackError("not_done", message=str(error)) from error
    return f"{len(keys)} deleted"


async def _break(environ: Mapping[str, str]) -> str:
    document: Json = yaml.safe_load(await asyncio.to_thread(Path(environ["KUBECONFIG"]).read_text, encoding="utf-8"))
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    namespace = document["contexts"][0]["context"]["namespace"]
    address = f"{cluster['server']}/api/v1/namespaces/{namespace}/configmaps/{CONFIG}"
    async with ClientSession(
        trust_env=False,
        timeout=ClientTimeout(total=SECONDS),
        raise_for_status=True,
        headers={"Authorization": f"Bearer {user['token']}"},
    ) as session:
        trusted = ssl.create_default_context(cadata=authority)
        async with session.get(address, ssl=trusted) as answer:
            names = list((await answer.json()).get("data") or {})
        patch = {"data": dict.fromkeys(names, "broken")}
        kind = {"Content-Type": "application/merge-patch+json"}
        async with session.patch(address, json=patch, headers=kind, ssl=trusted):
            pass
    return f"{len(names)} values of {CONFIG} broken"
