"""What can go wrong with the outside world, as sentences for people.

The gateways translate their libraries' exceptions into these, so that whoever judges an answer needs no client
library to tell "refused" from "forbidden". Every message names the system and its address; none holds a secret.
"""

# ruff: noqa: N818 - they are named after what happened, and all end in a sentence for people

from __future__ import annotations

from workers.errors import OperatorError


class GatewayError(OperatorError):
    """A system refused, did not answer, or answered what makes no sense."""


class Unreachable(GatewayError):
    """Nobody answers at a system's address, or not in time: whatever else was to be asked there stays unknown."""


class Nonsense(GatewayError):
    """An answer that is not what the protocol promises: HTML for JSON, half a document, a list for a number."""


class ClusterError(GatewayError):
    """Kubernetes did not do what it was asked."""


class ClusterUnreachable(ClusterError, Unreachable):
    """Nobody answers at the API server's address, or not in time."""


class ClusterForbidden(ClusterError):
    """The account may not do this; the message says which verb on which resource it lacks."""


class ClusterNotFound(ClusterError):
    """The object, or the whole kind of object, does not exist."""


class ClusterConflict(ClusterError):
    """Somebody else has changed the object since it was read (409)."""


class ClusterInvalid(ClusterError):
    """The object would not be valid (422); the message is the API server's."""


class ClusterUnavailable(ClusterError):
    """The API server answers, but what stands behind this part of the API does not (503)."""


class ClusterNotReady(ClusterError):
    """The container has not started, so it has no log yet (HTTP 400 from the log endpoint)."""


class CatalogTooLarge(GatewayError):
    """A database has more objects, and rights on them, than are described and compared."""


class DatabaseError(GatewayError):
    """PostgreSQL did not do what it was asked."""


class DatabaseUnreachable(DatabaseError, Unreachable):
    """Nobody answers at PostgreSQL's address, or not in time."""


class DatabaseRefused(DatabaseError):
    """PostgreSQL answers and does not let us in: password, role, pg_hba.conf, no connection left, starting up."""


class DatabaseClosed(DatabaseRefused):
    """PostgreSQL answers; the database takes no sessions (ALLOW_CONNECTIONS false)."""


class DatabasePooled(DatabaseRefused):
    """A pooler answers in PostgreSQL's place."""


class DatabaseFull(DatabaseError):
    """The server's disk has no room left."""


class DatabaseOccupied(DatabaseError):
    """Somebody stayed in a database that was to get another name."""


class DatabaseTaken(DatabaseError):
    """There is a database of that name already, or another session is making it."""


class DatabaseMissing(DatabaseError):
    """PostgreSQL answers; the database does not exist."""


class ObjectsError(GatewayError):
    """The object store did not do what it was asked."""


class ObjectsUnreachable(ObjectsError, Unreachable):
    """Nobody answers at the object store's address, or not in time."""


class AccessDenied(ObjectsError):
    """The credentials are wrong or may not do this."""


class BucketMissing(ObjectsError):
    """The bucket does not exist."""


class ObjectMissing(ObjectsError):
    """The object does not exist."""


class TrackingError(GatewayError):
    """MLflow did not do what it was asked."""


class TrackingUnreachable(TrackingError, Unreachable):
    """Nobody listens at MLflow's address."""


class TrackingTimeout(TrackingError, Unreachable):
    """MLflow's address accepts connections and does not answer in time."""


class TrackingHostRefused(TrackingError):
    """MLflow's own host check turned us away (403, DNS-rebinding protection)."""


class TrackingUnauthorized(TrackingError):
    """MLflow asks for a user and password, or does not accept ours (its own 401)."""


class TrackingForbidden(TrackingError):
    """MLflow knows our user, who may not do that (its own 403, PERMISSION_DENIED)."""


class TrackingGuarded(TrackingError):
    """Not MLflow answered but what stands before it: a sign-in page, a redirect, a gate that turned us away."""


class TrackingBusy(TrackingError):
    """Too many requests (429), and waiting for as long as the call may take did not help."""


class TrackingTooLarge(TrackingError):
    """What stands before MLflow takes no request of that size (413)."""


class TrackingBehindProxy(TrackingError):
    """A proxy answered that it does not reach MLflow, or not in time (502, 503, 504)."""


class TrackingLate(TrackingBehindProxy):
    """A proxy passed the request on, and MLflow did not answer it in time (504)."""


class TrackingUnavailable(TrackingError):
    """MLflow answered with a server error (5xx): it cannot do its work, most often for want of its database."""


class PartsNotCopied(ObjectsError):
    """The store says that it has copied a part of an object, and gives nothing to put it together by."""


class ObjectChanged(ObjectsError):
    """The object is no longer the one that was meant: its entity tag is another."""


class ObjectArchived(ObjectsError):
    """The object is in an archive tier, and must be restored from there before it can be read."""


class StoreFull(ObjectsError):
    """The object store, or the bucket's quota, has no room left."""


class TrackingMissing(TrackingError):
    """MLflow knows nothing of that name or id (RESOURCE_DOES_NOT_EXIST)."""


class TrackingTaken(TrackingError):
    """The name is taken, perhaps by something deleted (RESOURCE_ALREADY_EXISTS)."""


class TrackingInvalid(TrackingError):
    """MLflow does not do that with these values or in this state; the message is MLflow's."""


class SilenceMissing(GatewayError):
    """Alertmanager knows no silence with that id."""


class PagerError(GatewayError):
    """PagerDuty did not take an event."""


class GitError(GatewayError):
    """The Git host did not do what it was asked."""


class GitUnreachable(GitError, Unreachable):
    """Nobody answers at the Git host's address, or not in time."""


class GitMissing(GitError):
    """The repository, the branch, the file or the request does not exist, or our token may not see it."""


class GitConflict(GitError):
    """The file was changed since it was read."""


class GitTaken(GitError):
    """There is a branch of that name already."""


class KeyServiceError(GatewayError):
    """The key service did not do what it was asked."""


class KeyServiceUnreachable(KeyServiceError, Unreachable):
    """Nobody answers at the key service's address, or not in time."""


class KeyDenied(KeyServiceError):
    """We may not use the key, or what is to be unwrapped was not wrapped with it."""
