"""Who sends a request: bearer tokens and the users behind them.

Tokens are made once and kept in ``identities.json`` (0600). No token at all is system:anonymous, who is then
refused by authorisation (403); a token that is not known is refused here (401). The two are often confused; a real
server tells them apart like this.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.status import unauthorized

ADMIN = "kubernetes-admin"
MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who sends requests."""

    name: str
    groups: tuple[str, ...]

    @property
    def service_account(self) -> tuple[str, str] | None:
        """Return (namespace, name) of a service account, None for anybody else."""
        parts = self.name.split(":")
        if self.name.startswith("system:serviceaccount:") and len(parts) == 4:  # noqa: PLR2004
            return parts[2], parts[3]
        return None


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def admin() -> User:
    """Return the user of the main kubeconfig."""
    return User(ADMIN, (MASTERS, "system:authenticated"))


def service_account(namespace: str, name: str) -> User:
    """Return the user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


class Identities:
    """The tokens that are known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokens: dict[str, User] = {}
        if path.exists():
            for entry in json.loads(path.read_text()):
                self._tokens[entry["token"]] = User(entry["name"], tuple(entry["groups"]))

    def token_for(self, user: User) -> str:
        """Return the token of a user; it is made and kept when first asked for."""
        for token, known in self._tokens.items():
            if known == user:
                return token
        token = _web_token(user) if user.service_account else secrets.token_urlsafe(32)
        self._tokens[token] = user
        self._path.touch(mode=0o600)
        entries = [{"token": key, "name": entry.name, "groups": entry.groups} for key, entry in self._tokens.items()]
        self._path.write_text(json.dumps(entries))
        return token

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """Return who sends a request with these headers. Raises ApiError 401."""
        header = headers.get("Authorization", "")
        if not header:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        user = self._tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def user_of(self, token: str) -> User | None:
        """Return the user behind a token, if it is known."""
        return self._tokens.get(token)


def _web_token(user: User) -> str:
    """Return a token in the shape of a service account's: a JWT, signed with nothing that anybody checks."""

    def part(body: Object) -> str:
        return base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=").decode()

    header: Object = {"alg": "RS256", "kid": secrets.token_urlsafe(8)}
    claims: Object = {"aud": ["https://kubernetes.default.svc"], "iss": "sandbox", "sub": user.name}
    return ".".join((part(header), part(claims), secrets.token_urlsafe(64)))
