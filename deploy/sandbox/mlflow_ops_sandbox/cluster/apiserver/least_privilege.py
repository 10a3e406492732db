"""Which permissions the product has used, whatever process served it, and how that compares with the Roles that it has.

Each API server appends what is new to a file of its own in the folder that `SANDBOX_PERMISSIONS_USED` names, so those
of all test processes add up. What counts is what the workers' account did with the product's own client, known by its
User-Agent (a WebSocket for a program in a pod has none).

Trap: what that account may not do is refused, and not every refusal fails a test: the product does without much that it
would like to know. So what was refused is noted as well, and when, which tells the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from mlflow_ops_sandbox.cluster.seed.access import WORKER_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlflow_ops_sandbox.cluster.apiserver.access import Attributes
    from mlflow_ops_sandbox.cluster.apiserver.identity import User

FOLDER: Final = "SANDBOX_PERMISSIONS_USED"
PROCESS: Final = "SANDBOX_TESTED_BY"
"""Whose API server it is, where several processes test."""
PROGRAM: Final = "mlflow-ops/"
"""How the product names itself (workers/systems/cluster)."""
EVERYBODYS: Final = frozenset({"authorization.k8s.io"})
"""Reviews of one's own permissions: every account may ask (system:basic-user)."""


@dataclass(frozen=True, order=True)
class Permission:
    """A verb on a resource with its subresource. name: of one object only; everywhere: not within a namespace."""

    verb: str
    group: str
    resource: str
    name: str = ""
    everywhere: bool = False

    def __str__(self) -> str:
        """As kubectl writes it."""
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {kind}{f' {self.name}' if self.name else ''}{' everywhere' if self.everywhere else ''}"


@dataclass(frozen=True)
class Noted:
    """The first time that an API server was asked for something. at: seconds since 1970. by: the process that tests."""

    permission: Permission
    at: float
    by: str
    allowed: bool


class Used:
    """What one API server has seen. file: where it is kept; nothing is kept without one."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen: set[tuple[Permission, bool]] = set()

    @classmethod
    def here(cls) -> Used:
        """In the folder that the environment names."""
        folder = os.environ.get(FOLDER)
        return cls(Path(folder) / f"{os.getpid()}-{secrets.token_hex(4)}.jsonl" if folder else None)

    def note(self, user: User, wanted: Attributes, program: str, *, allowed: bool = True) -> None:
        """Somebody did it, or wanted to. program: the User-Agent."""
        account = user.service_account
        ours = program.startswith(PROGRAM) or (not program and wanted.subresource == "exec")
        ours = ours and account is not None and account[1] == WORKER_ACCOUNT
        if self._file is None or not ours or wanted.group in EVERYBODYS:
            return
        # A server before 1.35 asks for get where a program is started over a WebSocket, a later one for create.
        verbs = ("get", "create") if wanted.subresource == "exec" else (wanted.verb,)
        for verb in verbs:
            found = Permission(verb, wanted.group, wanted.full_resource, wanted.name, not wanted.namespace)
            if (found, allowed) not in self._seen:
                self._seen.add((found, allowed))
                line = json.dumps(asdict(Noted(found, time.time(), os.environ.get(PROCESS, ""), allowed)))
                # The tests may have ended, and their folder gone, while a part is still running.
                with contextlib.suppress(FileNotFoundError), self._file.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


def noted(folder: Path) -> list[Noted]:
    """What all API servers have seen, in the order of time."""
    lines = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    found = [Noted(**{**line, "permission": Permission(**line["permission"])}) for line in lines]
    return sorted(found, key=lambda each: each.at)


def used(folder: Path) -> set[Permission]:
    """What was done."""
    return {each.permission for each in noted(folder) if each.allowed}


def granted(files: Iterable[Path]) -> set[Permission]:
    """What Roles and ClusterRoles allow."""
    return {
        Permission(verb, group, resource, name, role["kind"] == "ClusterRole")
        for role in (yaml.safe_load(file.read_text()) for file in files)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def differences(allowed: set[Permission], done: set[Permission]) -> list[str]:
    """Sentences: what was done and is not allowed, and what is allowed and nobody did."""
    nameless = {replace(each, name="") for each in done}
    kinds = {replace(each, name="") for each in allowed}
    more = sorted(each for each in allowed if each not in (done if each.name else nameless))
    return [
        *(f"no Role has it, and it was used: {each}" for each in sorted(nameless - kinds)),
        *(f"a Role has it, and nothing used it: {each}" for each in more),
    ]
