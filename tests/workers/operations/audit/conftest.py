"""A record in a real Redis, and moto's S3 to export it to."""

import base64
import logging
import time
import uuid

import boto3
import pytest
import yaml
from moto import backends
from moto.server import ThreadedMotoServer

from workers import settings
from workers.operation import Unwatched
from workers.operations.audit.export import AuditExport
from workers.operations.audit.verify import AuditVerify
from workers.records import audit_seals
from workers.records.audit_seals import SealKeys
from workers.records.message import Message
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.systems import Systems

KEY = base64.b64encode(b"k" * 32).decode()
ROOT = Message("asked", [])


@pytest.fixture(scope="session")
def store():
    """The address of moto's S3 server."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    patch = pytest.MonkeyPatch()
    modules = tuple(backends.list_of_moto_modules())
    # It looks at its own folder for each call.
    patch.setattr(backends, "list_of_moto_modules", lambda: modules)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()
    patch.undo()


class Kept:
    """A record of commands, its export, and what anybody does to either."""

    def __init__(self, systems, s3, bucket):
        self.systems, self.redis, self.s3, self.bucket = systems, systems.redis, s3, bucket
        self.keys = SealKeys.of(systems.settings)
        self.commands = 0

    def run(self, number=5, words="health"):
        """Some commands, each with three moments."""
        records = Records(self.redis)
        for _ in range(number):
            self.commands += 1
            asked = Record(
                operation="health",
                arguments={},
                words=f"{words} {self.commands}",
                requester="U0VERA",
                channel="C0OPS",
            )
            records.accept(asked, asked.id, ROOT)
            records.start(asked.id, worker="w")
            records.finish(asked.id, Ending(Phase.DONE, "all is well"))

    def seal(self):
        return audit_seals.seal(self.redis, self.keys)

    def export(self):
        return AuditExport().run(self.systems, Unwatched())

    def verify(self, **about):
        return AuditVerify(**about).run(self.systems, Unwatched())

    def files(self):
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", ())]

    def entries(self):
        return self.redis.xrange("mlflow-ops:mlflow:audit")

    def seals(self):
        return self.redis.xrange("mlflow-ops:mlflow:audit:sealed")

    def put(self, entries=None, seals=None):
        """Make both streams anew, as whoever owns Redis can."""
        for name, rows in (("audit", entries), ("audit:sealed", seals)):
            key = f"mlflow-ops:mlflow:{name}"
            if rows is not None:
                self.redis.delete(key)
                for entry_id, fields in rows:
                    self.redis.xadd(key, fields, id=entry_id)


@pytest.fixture
def made(store, redis_url, redis, tmp_path, monkeypatch):
    """Makes a record with its bucket; words of ops.yaml and variables as given."""

    def make(*, lock=False, ops=None, **environ):
        bucket = f"backups-{uuid.uuid4().hex[:8]}"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "moto")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "moto-secret")
        s3 = boto3.client("s3", endpoint_url=store, region_name="us-east-1")
        s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=lock)
        path = tmp_path / f"{bucket}.yaml"
        path.write_text(yaml.safe_dump({"storage": {"backups_bucket": bucket}, **(ops or {})}), encoding="utf-8")
        told = {"MLFLOW_OPS_AUDIT_KEY": KEY, **environ}
        loaded = settings.load(
            {"REDIS_URL": redis_url, "AWS_ENDPOINT_URL_S3": store, "MLFLOW_OPS_CONFIG": str(path), **told}
        )
        return Kept(Systems(loaded), s3, bucket)

    return make


@pytest.fixture
def kept(made):
    """One with a key."""
    return made()


def later():
    """Have the next entry's id be another one."""
    time.sleep(0.002)
