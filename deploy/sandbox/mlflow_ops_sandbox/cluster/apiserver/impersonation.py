"""Who acts: the sender of a request, or the one in whose name it is sent (``kubectl --as``).

Whoever impersonates needs the verb "impersonate" on the user, the service account and each group. A server that does
not know these headers answers with the rights of the sender, so that ``kubectl auth can-i --as`` would always say yes.
"""

from __future__ import annotations

from multidict import CIMultiDictProxy

from mlflow_ops_sandbox.cluster.api.status import internal_error
from mlflow_ops_sandbox.cluster.apiserver.access import Attributes, Authorizer
from mlflow_ops_sandbox.cluster.apiserver.identity import ANONYMOUS, User, service_account

_USER, _GROUP = "Impersonate-User", "Impersonate-Group"
_EVERYBODY = "system:authenticated"


def acting_user(sender: User, headers: CIMultiDictProxy[str], authorizer: Authorizer) -> User:
    """Return who a request is to be judged as. Raises ApiError 403 where the sender may not, 500 for groups alone."""
    name, groups = headers.get(_USER, ""), tuple(headers.getall(_GROUP, ()))
    if not name and not groups:
        return sender
    if not name:
        raise internal_error(f"requested {list(groups)} without impersonating a user")
    wanted = User(name, groups)
    account = wanted.service_account
    if account is not None:
        namespace, short = account
        asked = Attributes("impersonate", resource="serviceaccounts", namespace=namespace, name=short)
        wanted = wanted if groups else service_account(namespace, short)
    else:
        asked = Attributes("impersonate", resource="users", name=name)
    authorizer.require(sender, asked)
    for group in groups:
        authorizer.require(sender, Attributes("impersonate", resource="groups", name=group))
    if name == ANONYMOUS.name:
        return ANONYMOUS
    return User(name, tuple(dict.fromkeys((*wanted.groups, _EVERYBODY))))
