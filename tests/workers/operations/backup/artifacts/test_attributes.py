"""What an artifact has besides its bytes: set again by a restore, or counted and named in the set."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.operations.backup.artifacts import Tuning, object_copying, restoring
from workers.operations.backup.artifacts.copying import whole
from workers.operations.backup.artifacts.known import Sources
from workers.operations.backup.artifacts.pairing import Wanted
from workers.operations.backup.encryption import Keys
from workers.systems.s3 import attributes

KEYS = Keys((b"k" * 32,))
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
SET_AGAIN = {
    "ContentType": "text/html",
    "ContentEncoding": "gzip",
    "ContentLanguage": "de",
    "ContentDisposition": "attachment",
    "CacheControl": "no-cache",
    "Metadata": {"by": "bob"},
    "WebsiteRedirectLocation": "/elsewhere",
}
NAMED = {
    "kms": ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "our-key"}, "server-side encryption aws:kms"),
    "governance": (
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": LATER},
        "Object Lock GOVERNANCE",
    ),
    "compliance": (
        {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": LATER},
        "Object Lock COMPLIANCE",
    ),
    "hold": ({"ObjectLockLegalHoldStatus": "ON"}, "legal hold"),
}
ACLS = "ACLs of single objects"
CLASSES = ("STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")


@pytest.fixture
def locking(place):
    """The source, as a bucket that takes locks."""
    place.direct.delete_bucket(Bucket=place.source)
    place.direct.create_bucket(Bucket=place.source, ObjectLockEnabledForBucket=True)
    return place


def backup(place, listening, number, done=None):
    before = (f"sets/{number - 1}/",) if done else ()
    sources = Sources(
        place.source,
        place.backups,
        f"sets/{number}/",
        before,
        tuning=Tuning(at_once=4),
        keys=KEYS,
        encrypt=True,
        sha256=done.listing.sha256 if done else "",
        objects=done.objects if done else 0,
    )
    return whole(place.objects, sources, listening())


@pytest.mark.parametrize("size", [10, object_copying.SMALL + 10])
def test_each_is_set_again_or_counted_and_named(size, locking, listening):
    body = b"x" * size
    for name, value in SET_AGAIN.items():
        locking.put(f"again/{name}", body, **{name: value})
    locking.put("again/Tagging", body, Tagging="a=1&b=two%20words")
    for name, (asked, _) in NAMED.items():
        locking.put(f"named/{name}", body, ChecksumAlgorithm="SHA256", **asked)
    locking.put("named/both", body, ChecksumAlgorithm="SHA256", **NAMED["kms"][0], **NAMED["hold"][0])
    locking.put("named/default", body, ServerSideEncryption="AES256")
    for name in CLASSES:
        locking.put(f"class/{name}", body, StorageClass=name)
    done = backup(locking, listening, 1)
    counted = {kind: 1 for _, kind in NAMED.values()}
    counted |= {"server-side encryption aws:kms": 2, "legal hold": 2}
    assert done.attributes == counted
    assert done.classes == dict.fromkeys(CLASSES, 1)
    assert done.left_out == ()
    # Who copies nothing says the same.
    again = backup(locking, listening, 2, done)
    assert (again.copied_objects, again.attributes, again.classes) == (0, counted, done.classes)

    target = f"{locking.source}-new"
    locking.direct.create_bucket(Bucket=target)
    wanted = Wanted(locking.backups, "sets/2/", target, sha256=again.listing.sha256, keys=KEYS)
    restored = restoring.restore(locking.objects, wanted, listening())
    assert (restored.added, restored.lost) == (done.objects, [])
    for name, value in SET_AGAIN.items():
        assert locking.direct.head_object(Bucket=target, Key=f"again/{name}")[name] == value
    tags = locking.direct.get_object_tagging(Bucket=target, Key="again/Tagging")["TagSet"]
    assert sorted((each["Key"], each["Value"]) for each in tags) == [("a", "1"), ("b", "two words")]
    for name in (*(f"named/{name}" for name in NAMED), *(f"class/{name}" for name in CLASSES)):
        back = locking.direct.head_object(Bucket=target, Key=name)
        assert attributes.of(back["ResponseMetadata"]["HTTPHeaders"]) == {}
        assert back.get("StorageClass", "STANDARD") == "STANDARD"


@pytest.mark.parametrize(
    ("ownership", "said"),
    [
        ("BucketOwnerEnforced", ""),
        ("BucketOwnerPreferred", f"{ACLS}, which {{}} allows"),
        ("ObjectWriter", f"{ACLS}, which {{}} allows"),
        (None, f"{ACLS}, which {{}} allows"),
    ],
)
def test_acls_are_named_where_the_bucket_allows_them(ownership, said, place):
    if ownership:
        rules = {"Rules": [{"ObjectOwnership": ownership}]}
        place.direct.put_bucket_ownership_controls(Bucket=place.source, OwnershipControls=rules)
    assert attributes.acls(place.objects, place.source) == said.format(place.source)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((501, "NotImplemented"), ""),
        ((405, "MethodNotAllowed"), ""),
        (
            (403, "AccessDenied"),
            f"{ACLS}, if {{}} allows them: we may not ask (s3:GetBucketOwnershipControls)",
        ),
    ],
)
def test_a_store_without_acls_has_none_and_one_that_does_not_say_may(answer, said, place, way):
    way.meet = lambda _request: answer
    assert attributes.acls(place.objects, place.source) == said.format(place.source)
