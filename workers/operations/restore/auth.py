"""Basic-auth's own database: users and what they may, restored as MLflow's is, by the same code from another angle.

MLflow keeps them in a database of their own (docs of MLflow, Basic HTTP Authentication). So there are Systems whose
database is that one, and a manifest whose database part is that of basic-auth; all else follows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workers.errors import OperatorError

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems

NOT_SET = "MLFLOW_OPS_AUTH_DATABASE_URL is not set here"


def reason_against(systems: Systems, found: Manifest) -> str:
    """Why the set's database of basic-auth cannot be restored from here; empty where it can be, or there is none."""
    url = systems.settings.environment.auth_database_url
    if found.auth_database is None:
        return ""
    if url is None:
        return NOT_SET
    theirs, admin = systems_of(systems).database, systems.admin_database
    if theirs.address != admin.address:
        return f"it is on {theirs.address}, and MLFLOW_OPS_DATABASE_ADMIN_URL names {admin.address}"
    return ""


def restorable(systems: Systems, found: Manifest) -> bool:
    """Whether there is such a database in the set, and it can be restored from here."""
    return found.auth_database is not None and not reason_against(systems, found)


def left_out(systems: Systems, found: Manifest) -> str:
    """That basic-auth's database is in the set and will not be restored, and why; empty where that is not so."""
    why = reason_against(systems, found)
    return f"Basic-auth's users are in the backup and are not restored: {why}." if why else ""


def systems_of(systems: Systems) -> Systems:
    """The same systems, with basic-auth's database in the place of MLflow's. Raises SettingsError where none is set."""
    environment = systems.settings.environment
    environment.require("auth_database_url")
    changed = environment.model_copy(update={"database_url": environment.auth_database_url})
    return replace(systems, settings=systems.settings.model_copy(update={"environment": changed}))


def manifest_of(systems: Systems, found: Manifest) -> Manifest:
    """The same set, with basic-auth's part for its database. Raises OperatorError where it cannot be restored."""
    if found.auth_database is None:
        raise OperatorError(f"The backup {found.id} holds no database of basic-auth.", "See /mlflow backup show.")
    why = reason_against(systems, found)
    if why:
        raise OperatorError(f"Basic-auth's database cannot be restored: {why}.", "Set it for the workers.")
    return found.model_copy(update={"database": found.auth_database, "auth_database": None})
