"""What a restore puts things into, where even that is gone: MLflow's role, its database, its bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from workers.errors import OperatorError
from workers.systems.errors import BucketMissing, ObjectsError
from workers.systems.postgres.admin import DatabaseInfo, Server

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.s3.objects import Objects

ENABLED: Final = "Enabled"
_TABLES: Final = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"


def role_of(systems: Systems) -> str:
    """MLflow's role, by its address."""
    return str(conninfo_to_dict(systems.database.url).get("user") or "postgres")


def has_role(server: Server, role: str) -> bool:
    """Whether the server has a role. Raises DatabaseError."""
    with server.connected() as connection:
        return connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None


def make_role(server: Server, role: str, systems: Systems) -> None:
    """Make MLflow's role with the password of its address, and let ours make databases for it.

    The server gets the password's SCRAM verifier only, so its log never holds the password
    (https://www.postgresql.org/docs/current/libpq-misc.html, PQencryptPasswordConn). Raises OperatorError.
    """
    password = str(conninfo_to_dict(systems.database.url).get("password") or "")
    with server.connected() as connection:
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        name = sql.Identifier(role)
        try:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(verifier)))
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
        except psycopg.errors.InsufficientPrivilege:
            ours = connection.info.user
            raise OperatorError(
                f"The role {ours} of MLFLOW_OPS_DATABASE_ADMIN_URL may not create the role {role}.",
                f"As a superuser: CREATE ROLE {role} LOGIN; GRANT {role} TO {ours}; and set its password.",
            ) from None


def is_empty(systems: Systems) -> bool:
    """Whether MLflow's database, which is there, has no table. Raises DatabaseError."""
    try:
        with psycopg.connect(systems.database.url, autocommit=True, connect_timeout=5) as connection:
            row = connection.execute(_TABLES).fetchone()
    except psycopg.Error as error:
        raise systems.database.explained(error) from None
    return row is not None and row[0] == 0


def like_for(server: Server, role: str) -> DatabaseInfo:
    """What a new database for MLflow is to be like where there is none to copy: UTF-8, in the server's locale."""
    known = server.databases()
    other = known.get("postgres") or next(iter(known.values()))
    return DatabaseInfo("", role, "UTF8", other.collate, other.ctype, open=True, size_bytes=0, comment="")


def has_bucket(objects: Objects, bucket: str) -> bool:
    """Whether the store has it. Raises ObjectsError."""
    try:
        objects.head_bucket(bucket)
    except BucketMissing:
        return False
    return True


def make_bucket(objects: Objects, bucket: str) -> str:
    """Make a bucket that keeps versions; a sentence where it could not be told to. Raises ObjectsError."""
    region = objects.client.meta.region_name
    where = (
        {} if region in {"us-east-1", "aws-global"} else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    objects.ask(lambda: objects.client.create_bucket(Bucket=bucket, **where), bucket)
    try:
        objects.ask(
            lambda: objects.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": ENABLED}),
            bucket,
        )
    except ObjectsError as error:
        return f"It keeps no versions: {error.message}"
    return ""
