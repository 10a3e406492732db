"""A stand-in for CloudNativePG's operator that recovers for real: PostgreSQL, a base backup, an archive, a time.

It does what the operator and its instance manager do and document: the newest backup that was completed before the
target, recovery_target_action promote, a job that fails for good where PostgreSQL ends before it gets there, the
application database made where it is not there, the superuser's Secret, and the status of the Cluster on the way.
"""

import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

import psycopg

from mlflow_ops_sandbox.parts import accounts, ports

STORE = "mlflow-db-store"
LIVE = "mlflow-db"


class Operator:
    """Recovers Clusters from backups and the archive of one server. base: a folder of theirs; archive: of WAL."""

    def __init__(self, api, server, folder):
        self.api, self.server, self.folder = api, server, folder
        self.archive, self.backups, self.running = folder / "archive", [], {}
        self.hold = threading.Event()
        self.hold.set()
        self.account = accounts.unprivileged(folder / "second")
        self.system = server.do("SELECT system_identifier::text FROM pg_control_system()")[0][0]
        api.operator = self

    def backup(self):
        """What `kubectl cnpg backup` has done once the Backup is completed."""
        folder = self.folder / f"base-{len(self.backups)}"
        url = f"host=127.0.0.1 port={self.server.port} user=postgres"
        command = [self.server.programs / "pg_basebackup", "-D", folder, "-X", "none", "-c", "fast", "-d", url]
        subprocess.run(command, check=True, capture_output=True)
        self.backups.append((datetime.now(UTC), folder))
        self.tell()

    def live(self, **spec):
        """The live Cluster, with the Barman Cloud plugin unless `spec` says otherwise."""
        plugin = {
            "name": "barman-cloud.cloudnative-pg.io",
            "isWALArchiver": True,
            "parameters": {"barmanObjectName": STORE},
        }
        made = {
            "apiVersion": "postgresql.cnpg.io/v1",
            "kind": "Cluster",
            "metadata": {"name": LIVE, "labels": {"app": "postgres", "argocd.argoproj.io/instance": "db"}},
            "spec": {
                "instances": 3,
                "plugins": [plugin],
                "storage": {"size": "10Gi", "storageClass": "fast"},
                "resources": {"requests": {"memory": "1Gi"}},
                "inheritedMetadata": {"labels": {"app": "postgres"}},
                "managed": {"services": {"disabledDefaultServices": ["ro"]}},
                "postgresql": {
                    "parameters": {"max_prepared_transactions": "10"},
                    "pg_hba": ["host all all all reject"],
                    "synchronous": {"method": "any", "number": 1},
                },
                **spec,
            },
        }
        self.api.put("clusters", made, "postgresql.cnpg.io")
        store = {
            "apiVersion": "barmancloud.cnpg.io/v1",
            "kind": "ObjectStore",
            "metadata": {"name": STORE},
            "spec": {"configuration": {"destinationPath": "s3://backups/"}},
        }
        self.api.put("objectstores", store, "barmancloud.cnpg.io")
        self.tell()

    def tell(self):
        """The status of the live Cluster and of the plugin's store."""
        live, store = self.api.get("clusters", LIVE), self.api.get("objectstores", STORE)
        if live is None:
            return
        live["status"] = {
            "phase": "Cluster in healthy state", "readyInstances": 3, "image": "ghcr.io/cloudnative-pg/postgresql:16.4",
            "systemID": self.system,
            "conditions": [{"type": "ContinuousArchiving", "status": "True", "reason": "ContinuousArchivingSuccess",
                            "message": "Archiving is working", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }  # fmt: skip
        if not self.backups:
            return
        first, last = (at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in (self.backups[0][0], self.backups[-1][0]))
        if "plugins" in live["spec"]:
            window = {"firstRecoverabilityPoint": first, "lastSuccessfulBackupTime": last}
            store["status"] = {"serverRecoveryWindow": {LIVE: window}}
        else:
            live["status"] |= {"firstRecoverabilityPoint": first, "lastSuccessfulBackup": last}

    def made(self, item):
        """A Cluster was."""
        name = item["metadata"]["name"]
        home = self.folder / "second"
        assert name not in self.running
        thread = threading.Thread(target=self._recover, args=(item, home), daemon=True)
        self.running[name] = [thread, None, home]
        thread.start()

    def removed(self, name):
        """A Cluster is being: its pods end, its volume goes, and then it is gone."""
        threading.Thread(target=self._remove, args=(name,), daemon=True).start()

    def _remove(self, name):
        if name not in self.running:
            return
        thread, process, home = self.running[name]
        self.hold.set()
        thread.join()
        process = self.running[name][1]
        if process:
            process.terminate()
            process.wait()
        shutil.rmtree(home, ignore_errors=True)
        self.running.pop(name, None)
        for kind, which in (("jobs", f"{name}-1-full-recovery"), ("pods", f"{name}-1-full-recovery"),
                            ("secrets", f"{name}-superuser"), ("clusters", name)):  # fmt: skip
            self.api.drop(kind, which)

    def _phase(self, item, phase, reason="", **more):
        item["status"] = {"phase": phase, "phaseReason": reason, **more}

    def _recover(self, item, home):
        name, spec = item["metadata"]["name"], item["spec"]
        job = f"{name}-1-full-recovery"
        labels = {"cnpg.io/cluster": name, **spec["inheritedMetadata"]["labels"]}
        self.api.put("jobs", {"metadata": {"name": job, "labels": labels}, "status": {}}, "batch")
        pod = {"metadata": {"name": job, "labels": labels}, "spec": {"containers": [{"name": "full-recovery"}]}}
        self.api.put("pods", pod)
        self._phase(item, "Setting up primary", f"Creating primary instance {name}-1")
        self.hold.wait()
        recovery = spec["bootstrap"]["recovery"]
        target = recovery["recoveryTarget"]
        at = datetime.fromisoformat(target["targetTime"])
        fitting = [folder for done, folder in self.backups if done <= at]
        if "deletionTimestamp" in item["metadata"]:
            return
        if not fitting:
            self._failed(job, "no target backup found")
            return
        process, port = self._started(item, home, fitting[-1], target)
        self.running[name][1] = process
        try:
            self._promoted(process, port)
        except RuntimeError:
            self._failed(job, (home / "log").read_text())
            return
        password = secrets.token_urlsafe(24)
        with self._session(home, port) as connection:
            connection.execute(f"ALTER ROLE postgres PASSWORD '{password}'")
            _application(connection, recovery)
        self.api.secret(
            f"{name}-superuser", username="postgres", password=password, host="127.0.0.1", port=str(port), dbname="*"
        )
        self._phase(
            item, "Cluster in healthy state", readyInstances=1, currentPrimary=f"{name}-1", writeService=f"{name}-rw",
            systemID=self.system,
        )  # fmt: skip

    def _started(self, item, home, base, target):
        shutil.copytree(base, home / "data")
        parameters = {
            **item["spec"]["postgresql"]["parameters"],
            "restore_command": f"cp {self.archive}/%f %p",
            "recovery_target_time": target["targetTime"],
            "recovery_target_inclusive": "off" if target.get("exclusive") else "on",
            "recovery_target_action": "promote",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(home),
            "port": str(ports.free()),
            # No backup and no plugin of its own: it archives nowhere.
            "archive_mode": "on",
            "archive_command": "true"
            if not item["spec"].keys() & {"backup", "plugins"}
            else f"cp %p {self.archive}/%f",
        }
        (home / "data" / "recovery.signal").touch()
        (home / "data" / "pg_hba.conf").write_text("local all all trust\nhost all all all scram-sha-256\n")
        (home / "data").chmod(0o700)
        lent = {}
        if self.account:
            lent = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
            for where, folders, files in os.walk(home):
                for each in (".", *folders, *files):
                    os.chown(os.path.join(where, each), self.account.uid, self.account.gid)  # noqa: PTH118
        words = [word for key, value in parameters.items() for word in ("-c", f"{key}={value}")]
        command = [self.server.programs / "postgres", "-D", home / "data", *words]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=home, env={"LC_ALL": "C"}, **lent)
        return process, int(parameters["port"])

    def _session(self, home, port):
        return psycopg.connect(f"host={home} port={port} user=postgres dbname=postgres", autocommit=True)

    def _promoted(self, process, port):
        while True:
            if process.poll() is not None:
                msg = "it has ended"
                raise RuntimeError(msg)
            with suppress(psycopg.OperationalError), self._session(self.folder / "second", port) as connection:
                if connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,):
                    return
            time.sleep(0.05)

    def _failed(self, job, said):
        lines = [line for line in said.splitlines() if "FATAL" in line] or [said]
        record = {"error_severity": "FATAL", "message": lines[-1].rpartition("FATAL:  ")[2]}
        line = json.dumps({"level": "info", "logger": "postgres", "msg": "record", "record": record})
        self.api.logs[job] = f"2026-01-01T00:00:00Z {line}\n"
        self.api.get("jobs", job)["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}


def _application(connection, recovery):
    """As after a promotion: the application's database and its owner are made where they are not there."""
    owner, database = recovery.get("owner", "app"), recovery.get("database", "app")
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (owner,)).fetchone():
        connection.execute(f'CREATE ROLE "{owner}" LOGIN')
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
        connection.execute(f'CREATE DATABASE "{database}" OWNER "{owner}"')
    connection.execute(f'ALTER DATABASE "{database}" OWNER TO "{owner}"')
