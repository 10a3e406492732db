"""The object store, over S3.

Traps this avoids: boto3 waits 60 s and tries three times by default (here: seconds, once); it adds checksum trailers
to uploads that older S3 servers refuse (only where required); HEAD answers carry no error code, only a status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

import botocore.session
from botocore import exceptions as boto
from botocore.config import Config
from botocore.parsers import ResponseParserError
from botocore.utils import parse_timestamp

from workers.settings import SettingsError
from workers.systems import connections
from workers.systems.errors import (
    AccessDenied,
    BucketMissing,
    Nonsense,
    ObjectArchived,
    ObjectChanged,
    ObjectMissing,
    ObjectsError,
    ObjectsUnreachable,
    StoreFull,
)

if TYPE_CHECKING:
    from pydantic import SecretStr

    from workers.settings import Settings
    from workers.settings.ops import CopyTo
    from workers.settings.values import HttpUrl

CONNECT_SECONDS: Final = 3.0
DEFAULT_REGION: Final = "us-east-1"
"""For stores that have no regions (MinIO) where AWS_REGION and AWS_DEFAULT_REGION are not set."""
BULK_SECONDS: Final = 60.0
"""How long one call of bulk work may be silent: a store copies up to 5 GiB before it answers."""
BULK_ATTEMPTS: Final = 8
"""With botocore's backoff (up to 20 s a time) a store may be away for about a minute."""

_DENIED: Final = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "Forbidden"}
_FULL: Final = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"}

_ARCHIVED: Final = {"InvalidObjectState", "ObjectNotInActiveTierError"}
"""GetObject and CopyObject of an object in an archive (API_GetObject, API_CopyObject: Errors)."""
_UNLOCKED: Final = {"ObjectLockConfigurationNotFoundError", "ObjectLockConfigurationNotFound", "NotFound"}

_BULK_CONNECTIONS: Final = 24
"""That a client for bulk work may keep, at least; none is opened before it is needed."""

T = TypeVar("T")


@dataclass(frozen=True)
class Objects:
    """The object store. Safe for threads. Methods raise ObjectsError or Nonsense.

    answer_within_seconds: how long one call may be silent.
    """

    client: Any
    answer_within_seconds: float
    session: Any = None
    endpoint: str | None = None
    _bulk: dict[int, Objects] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def connect(cls, settings: Settings, *, backups: bool = False) -> Objects:
        """From AWS_* and AWS_ENDPOINT_URL_S3. Asks nothing yet, save where credentials are to be fetched.

        backups: the store of the backups, where that is another one, from MLFLOW_OPS_BACKUP_S3_*.
        """
        environment = settings.environment
        endpoint = environment.backup_s3_endpoint_url if backups else environment.s3_endpoint_url
        if not backups:
            return cls._at(settings, _session(), endpoint)
        pair = environment.backup_s3_access_key_id, environment.backup_s3_secret_access_key
        return cls._at(settings, _session(*pair, environment.backup_s3_region), endpoint)

    @classmethod
    def of_copy(cls, settings: Settings, to: CopyTo) -> Objects:
        """A store of backup.copies, with the credentials of MLFLOW_OPS_COPIES_S3_*, or those of the backups' store."""
        environment = settings.environment
        pair = environment.copies_s3_access_key_id, environment.copies_s3_secret_access_key
        if not all(pair):
            pair = environment.backup_s3_access_key_id, environment.backup_s3_secret_access_key
        return cls._at(settings, _session(*pair, to.region or None), to.endpoint_url)

    @classmethod
    def _at(cls, settings: Settings, session: botocore.session.Session, endpoint: HttpUrl | None) -> Objects:
        # Ahead of a health check's deadline, so that the sentence says what is wrong.
        patience = 0.8 * settings.ops.health.deadline_seconds
        named = str(endpoint) if endpoint else None
        client = session.create_client(
            "s3",
            endpoint_url=named,
            region_name=session.get_config_variable("region") or DEFAULT_REGION,
            config=Config(
                connect_timeout=min(CONNECT_SECONDS, patience),
                read_timeout=patience,
                retries={"total_max_attempts": 1},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                max_pool_connections=16,
            ),
        )
        return cls(client, patience, session, named)

    def for_bulk(self, at_once: int) -> Objects:
        """The same store through a client for long work: patient, and trying again what may be repeated.

        at_once: how many threads will use it. A client takes longer to make than a call does, so there is one for all.
        """
        at_once = max(at_once, _BULK_CONNECTIONS)
        if at_once in self._bulk:
            return self._bulk[at_once]
        session = self.session or _session()
        client = session.create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.client.meta.region_name,
            config=self.client.meta.config.merge(
                Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=BULK_SECONDS,
                    retries={"total_max_attempts": BULK_ATTEMPTS, "mode": "standard"},
                    max_pool_connections=at_once,
                )
            ),
        )
        return self._bulk.setdefault(at_once, Objects(client, BULK_SECONDS, session, self.endpoint))

    @property
    def address(self) -> str:
        """host:port of the endpoint."""
        return urlsplit(str(self.client.meta.endpoint_url)).netloc

    def head_bucket(self, bucket: str) -> None:
        """Returns where the bucket exists and may be used."""
        self._ask(lambda: self.client.head_bucket(Bucket=bucket), bucket)

    def versioning(self, bucket: str) -> str:
        """Enabled, Suspended, or Off where it was never switched on."""
        answer = self._ask(lambda: self.client.get_bucket_versioning(Bucket=bucket), bucket)
        return str(answer.get("Status") or "Off")

    def object_lock(self, bucket: str) -> str:
        """How long new objects cannot be removed, as "GOVERNANCE 30 days"; Off where the bucket has no such rule."""

        def fetch() -> dict[str, Any]:
            try:
                answer: dict[str, Any] = self.client.get_object_lock_configuration(Bucket=bucket)
            except boto.ClientError as error:
                if error.response["Error"]["Code"] not in _UNLOCKED:
                    raise
                return {}
            return answer

        try:
            answer = self.ask(fetch, bucket)
        except ObjectsError:
            return "unknown"
        rule = ((answer.get("ObjectLockConfiguration") or {}).get("Rule") or {}).get("DefaultRetention") or {}
        if not rule:
            return "Off"
        length = f"{rule['Days']} days" if rule.get("Days") else f"{rule.get('Years', 0)} years"
        return f"{rule.get('Mode', '')} {length}".strip()

    def folders(self, bucket: str, prefix: str, *, after: str = "") -> Iterator[str]:
        """The names directly under `prefix`, with it and a slash at their ends, in key order from `after` on."""
        query: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
        if after:
            query["StartAfter"] = after
        last = ""
        while True:
            page = self._ask(lambda: self.client.list_objects_v2(**query), bucket)
            for found in page.get("CommonPrefixes") or ():
                yield str(found.get("Prefix", ""))
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken", "")
            found = [str(each.get("Prefix", "")) for each in page.get("CommonPrefixes") or ()]
            if not token or token == query.get("ContinuationToken") or (found and found[-1] <= last):
                raise self.stuck(bucket)
            last = found[-1] if found else last
            query["ContinuationToken"] = token

    def read(self, bucket: str, key: str, *, at_most: int) -> bytes:
        """The first `at_most` bytes of an object."""

        def fetch() -> bytes:
            body = self.client.get_object(Bucket=bucket, Key=key)["Body"]
            with body:
                content: bytes = body.read(at_most)
            return content

        return self._ask(fetch, bucket)

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self._ask(lambda: self.client.head_object(Bucket=bucket, Key=key), bucket)
        except ObjectMissing:
            return False
        return True

    def any(self, bucket: str, prefix: str) -> bool:
        """Whether there is any object whose key begins so."""
        query = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": 1}
        return bool(self._ask(lambda: self.client.list_objects_v2(**query), bucket).get("Contents"))

    def first(self, bucket: str) -> str:
        """The first key of a bucket; empty where it has none."""
        found = self._ask(lambda: self.client.list_objects_v2(Bucket=bucket, MaxKeys=1), bucket).get("Contents") or [{}]
        return str(found[0].get("Key") or "")

    def write(self, bucket: str, key: str, body: bytes) -> None:
        """Put a small object."""
        self._ask(lambda: self.client.put_object(Bucket=bucket, Key=key, Body=body), bucket)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object, or hide it where the bucket keeps versions; that it is not there is no error."""
        self._ask(lambda: self.client.delete_object(Bucket=bucket, Key=key), bucket)

    def another(self, bucket: str) -> ObjectChanged:
        """What is said of an object that is no longer the one that was meant."""
        return ObjectChanged(
            f"The object store at {self.address} has another version of the object in {bucket} by now."
        )

    def stuck(self, bucket: str) -> Nonsense:
        """What is said of a listing whose next page isn't further on: it would be listed for ever."""
        return Nonsense(
            f"The object store at {self.address} lists the same page of {bucket} again and again.",
            "Its listing does not go on where it should (continuation-token): that store can't be used like this.",
        )

    def ask(self, call: Callable[[], T], bucket: str) -> T:
        """What `call` returns; what the client library raises becomes a sentence about `bucket`."""
        return self._ask(call, bucket)

    def _ask(self, call: Callable[[], T], bucket: str) -> T:
        try:
            return call()
        except boto.ClientError as error:
            raise self._refusal(error, bucket) from None
        except (boto.NoCredentialsError, boto.PartialCredentialsError):
            msg = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set: they must hold credentials of the store."
            raise SettingsError(msg) from None
        except (boto.ConnectTimeoutError, boto.ReadTimeoutError):
            raise self._unreachable(f"does not answer within {self.answer_within_seconds:g} s") from None
        except (ResponseParserError, boto.IncompleteReadError, KeyError):
            msg = f"The object store at {self.address} answered something that is not S3."
            raise Nonsense(msg, "Check AWS_ENDPOINT_URL_S3: it may be the console's port, or a proxy's.") from None
        except boto.SSLError:
            raise self._unreachable("does not present a certificate that we trust") from None
        except boto.EndpointConnectionError as error:
            raise self._unreachable(connections.words(error.kwargs["error"], self.answer_within_seconds)) from None
        except boto.HTTPClientError:
            raise self._unreachable("broke off in the middle of its answer") from None
        except boto.BotoCoreError as error:
            msg = f"The object store at {self.address}: {str(error).splitlines()[0][:200].rstrip('.')}."
            raise ObjectsError(msg) from None

    def _refusal(  # noqa: PLR0911 - a table of answers
        self, error: boto.ClientError, bucket: str
    ) -> ObjectsError | Nonsense:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        at = f"The object store at {self.address}"
        # A copy has two buckets: where the store says which one it means, that is the one.
        bucket = str(error.response.get("Error", {}).get("BucketName") or bucket)
        if code == "NoSuchKey" or (code == "404" and error.operation_name in {"HeadObject", "GetObject"}):
            return ObjectMissing(f"{at} has no such object in {bucket}.")
        if code == "NoSuchBucket" or (code == "404" and error.operation_name == "HeadBucket"):
            return BucketMissing(f"{at} has no bucket {bucket}.", f"Make it: aws s3 mb s3://{bucket}")
        if code in _FULL or status == 507:  # noqa: PLR2004
            return StoreFull(f"{at} has no room left in {bucket} ({code}).", "Make room or raise the quota.")
        if status == 412:  # noqa: PLR2004
            return self.another(bucket)
        if code in _ARCHIVED:
            return ObjectArchived(
                f"{at} keeps an object of {bucket} in an archive tier.", "Restore it from there first."
            )
        if code == "RequestTimeTooSkewed":
            return AccessDenied(f"{at} refuses us because {_skew(error)}.", "Set this machine's clock, with NTP.")
        if code in _DENIED or status == 403:  # noqa: PLR2004
            known = f" ({code})" if not code.isdigit() else ""
            return AccessDenied(
                f"{at} denies us access to {bucket}{known}.", "Check AWS_ACCESS_KEY_ID, its secret and its policy."
            )
        if status in {301, 307, 400} and code in {"301", "PermanentRedirect", "AuthorizationHeaderMalformed"}:
            return ObjectsError(f"{at} keeps {bucket} in another region.", "Set AWS_REGION to the bucket's.")
        return ObjectsError(f"{at} answers {status} {code} for {bucket}.")

    def _unreachable(self, words: str) -> ObjectsUnreachable:
        return ObjectsUnreachable(f"The object store at {self.address} {words}.", "Check its pods and the address.")


def _skew(error: boto.ClientError) -> str:
    """By how much our clock differs from the store's, as its answer says the time (RFC 9110, Date)."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        seconds = (datetime.now(UTC) - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return "the clock here and its own are too far apart"
    return f"the clock here is {abs(seconds) / 60:.0f} min {'ahead of' if seconds > 0 else 'behind'} its own"


@cache
def _descriptions() -> Any:
    """One for the process: S3's description takes longer to read than all of a health check."""
    return botocore.session.Session().get_component("data_loader")


def _moment(text: Any) -> datetime:
    """Of a listing's times, botocore's own parser (dateutil) takes longer to read than all else of the listing."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        other: datetime = parse_timestamp(text)
        return other
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _session(
    key_id: str | None = None, secret: SecretStr | None = None, region: str | None = None
) -> botocore.session.Session:
    """With these credentials, or with those of AWS_*."""
    session = botocore.session.Session()
    session.register_component("data_loader", _descriptions())
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    if key_id and secret:
        session.set_credentials(key_id, secret.get_secret_value())
    if region:
        session.set_config_variable("region", region)
    return session


def preload() -> None:
    """Read what a client is made from, so that processes forked later have it."""
    _session().create_client("s3", region_name=DEFAULT_REGION, aws_access_key_id="-", aws_secret_access_key="-")  # noqa: S106 - none
