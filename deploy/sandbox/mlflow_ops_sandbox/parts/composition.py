"""All parts together: who gets which port, which address and which secret.

The bot gets Slack's and Redis's credentials and nothing else; the cluster's, the database's and the store's are the
workers'. That line is drawn here.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import gitops, postgres, recovery, redis, web, wiring
from mlflow_ops_sandbox.parts.mlflow import environments, tracking
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.process import Part, environment
from mlflow_ops_sandbox.parts.s3 import objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlflow_ops_sandbox.parts.credentials import Credentials
    from mlflow_ops_sandbox.parts.folder import Folder

PORTS: Final = (
    *("slack", "postgres", "redis", "objects", "mlflow", "service", "kubernetes", "control"),
    # The bot's for Alertmanager, and the one where the workers look for an Alertmanager, if you start one.
    *("alerts", "alertmanager"),
    *("git", "peek"),
)


def page(ports: Mapping[str, int]) -> str:
    """The address of the Slack page."""
    return f"http://{HOST}:{ports['slack']}/"


def bot_environment(folder: Folder, ports: Mapping[str, int], credentials: Credentials) -> dict[str, str]:
    """What the bot may know: Slack, Redis, the policy."""
    return {
        "SLACK_API_URL": f"{page(ports)}api/",
        "SLACK_BOT_TOKEN": credentials.slack_bot_token,
        "SLACK_APP_TOKEN": credentials.slack_app_token,
        "SLACK_SIGNING_SECRET": credentials.slack_signing_secret,
        "REDIS_URL": redis.url(ports["redis"], credentials.redis),
        "MLFLOW_OPS_CONFIG": str(folder / "ops.yaml"),
        "MLFLOW_OPS_ALERTS_SECRET": credentials.alerts_secret,
    }


def worker_environment(
    folder: Folder, ports: Mapping[str, int], credentials: Credentials, postgres_major: int | None = None
) -> dict[str, str]:
    """What a worker knows: everything but Slack, in the cluster as the workers' service account."""
    return {
        **{
            name: value
            for name, value in bot_environment(folder, ports, credentials).items()
            if not name.startswith("SLACK_") and name != "MLFLOW_OPS_ALERTS_SECRET"
        },
        **objects.client_environment(ports["objects"], credentials),
        "KUBECONFIG": str(folder / "kubernetes" / "kubeconfig-worker"),
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{ports['service']}",
        "MLFLOW_OPS_DATABASE_URL": tracking.backend_url(ports, credentials),
        "MLFLOW_OPS_DATABASE_ADMIN_URL": postgres.url(
            ports["postgres"], postgres.ADMIN, credentials.postgres_admin, "postgres"
        ),
        "MLFLOW_OPS_BACKUP_KEY": credentials.backup_key,
        "MLFLOW_OPS_ALERTMANAGER_URL": f"http://{HOST}:{ports['alertmanager']}",
        "MLFLOW_OPS_POSTGRES_BIN": str(postgres.installed_programs()),
        **(recovery.worker_environment(folder, postgres_major) if recovery.is_on(folder) else {}),
        **gitops.worker_environment(folder, credentials),
    }


def user_environment(folder: Folder, ports: Mapping[str, int], credentials: Credentials) -> dict[str, str]:
    """What `sandbox env` prints: everything, in the cluster as its administrator."""
    return {
        **bot_environment(folder, ports, credentials),
        **worker_environment(folder, ports, credentials),
        "KUBECONFIG": str(folder / "kubernetes" / "kubeconfig"),
        "MLFLOW_OPS_SANDBOX_PAGE": page(ports),
        "MLFLOW_OPS_SANDBOX_ALERTS": f"http://{HOST}:{ports['alerts']}/alerts",
        "MLFLOW_OPS_SANDBOX_KUBERNETES_CONTROL": f"http://{HOST}:{ports['control']}",
        **gitops.user_environment(folder, ports),
    }


def base_environment(folder: Folder) -> dict[str, str]:
    """What every part gets."""
    return environment(folder, programs=postgres.installed_programs(), extra={})


def build(
    folder: Folder,
    ports: Mapping[str, int],
    credentials: Credentials,
    *,
    postgres_major: int | None = None,
    mlflow: tuple[str, Path] | None = None,
) -> list[Part]:
    """Every part of the sandbox, each before those that need it.

    postgres_major: see postgres.part. mlflow: the version that runs, and its interpreter; else this environment's.
    """
    base = base_environment(folder)
    bot = base | bot_environment(folder, ports, credentials)
    worker = base | worker_environment(folder, ports, credentials, postgres_major)
    version, python = mlflow or (environments.own_version(), Path(sys.executable))
    return [
        postgres.part(folder, port=ports["postgres"], credentials=credentials, environ=base, major=postgres_major),
        tracking.part(folder, ports=ports, credentials=credentials, environ=base, version=version, python=python),
        objects.part(folder, port=ports["objects"], credentials=credentials, environ=base),
        redis.part(folder, port=ports["redis"], credentials=credentials, environ=base),
        _cluster(folder, ports, base),
        *((gitops.part(folder, ports, credentials, base, wiring.NAMESPACE),) if gitops.is_on(folder) else ()),
        _slack(folder, ports, base),
        *(_announced(folder, part) for part in _own(ports, bot, worker)),
        *((_announced(folder, recovery.part(worker)),) if recovery.is_on(folder) else ()),
    ]


def _own(ports: Mapping[str, int], bot: Mapping[str, str], worker: Mapping[str, str]) -> list[Part]:
    """The product's own processes."""
    program = (sys.executable, "-m", "bot")
    return [
        Part(
            name="bot",
            what="the bot, Slack's way in",
            command=(*program, "bot", "--host", HOST, "--alerts-port", str(ports["alerts"])),
            environ=bot,
            after=("redis", "slack"),
        ),
        Part(
            name="scheduler",
            what="what runs by the clock",
            command=(*program, "scheduler"),
            environ=bot,
            after=("redis",),
        ),
        *(
            Part(
                name=f"worker-{queue}",
                what=f"worker for the queue {queue}",
                command=(*program, "worker", "--queue", queue),
                environ=worker,
                after=("redis", "kubernetes"),
            )
            for queue in ("quick", "ops")
        ),
    ]


def leave_out(names: frozenset[str], built: Iterable[Part]) -> list[Part]:
    """The parts except those with these names. Raises SandboxError where there is no such part."""
    every = list(built)
    for name in sorted(names - {part.name for part in every}):
        msg = f"There is no part {name!r}; there are {', '.join(part.name for part in every)}."
        raise SandboxError(msg)
    kept = [part for part in every if part.name not in names]
    return [replace(part, after=tuple(name for name in part.after if name not in names)) for part in kept]


def _cluster(folder: Folder, ports: Mapping[str, int], environ: Mapping[str, str]) -> Part:
    data = folder / "kubernetes"

    async def ready() -> bool:
        return await web.answers(ports["control"], "/healthz")

    return Part(
        name="kubernetes",
        what="the cluster's API server",
        port=ports["kubernetes"],
        command=(
            *(sys.executable, "-m", "mlflow_ops_sandbox.cluster"),
            *("--port", str(ports["kubernetes"]), "--control-port", str(ports["control"])),
            *("--data", str(data), "--wiring", str(data / "wiring.json")),
        ),
        environ=environ,
        ready=ready,
        # The pods' probes ask MLflow: started before it, the cluster would report failures that are none.
        after=("mlflow", "postgres", "objects"),
    )


def _slack(folder: Folder, ports: Mapping[str, int], environ: Mapping[str, str]) -> Part:
    data = folder / "slack"

    async def ready() -> bool:
        return await web.answers(ports["slack"], "/healthz")

    return Part(
        name="slack",
        what="Slack's API and page",
        port=ports["slack"],
        command=(
            *(sys.executable, "-m", "mlflow_ops_sandbox.slack", "--port", str(ports["slack"])),
            *("--data", str(data), "--workspace", str(data / "workspace.json")),
            # What the page's panel breaks: the cluster by its control port, the other parts by their processes.
            *("--control", f"http://{HOST}:{ports['control']}", "--folder", str(folder.path)),
        ),
        environ=environ,
        ready=ready,
    )


def _announced(folder: Folder, part: Part) -> Part:
    """One of the product's own processes: it writes a file once it can serve."""
    ready_file = folder.ready_file(part.name)

    async def ready() -> bool:
        return ready_file.exists()

    return replace(
        part,
        environ={**part.environ, "MLFLOW_OPS_READY_FILE": str(ready_file)},
        prepare=lambda: ready_file.unlink(missing_ok=True),
        ready=ready,
    )
