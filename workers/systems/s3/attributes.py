"""What an object has and its copy does not: how the store encrypts it, Object Lock. Named, as nobody sets it again.

Its storage class is told by a listing, for all objects; ACLs by the bucket, which has them switched off or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from botocore import exceptions as boto

from workers.systems.errors import AccessDenied

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.systems.s3.objects import Objects

_DEFAULT: Final = "AES256"
"""What S3 encrypts every object with (S3 user guide, default encryption)."""
_HEADERS: Final = {
    "encryption": "x-amz-server-side-encryption",
    "kms_key_id": "x-amz-server-side-encryption-aws-kms-key-id",
    "lock": "x-amz-object-lock-mode",
    "locked_until": "x-amz-object-lock-retain-until-date",
    "legal_hold": "x-amz-object-lock-legal-hold",
}
_NO_ACLS: Final = {"NotImplemented", "MethodNotAllowed", "NoSuchKey", "InvalidRequest", "404", "405", "501"}
"""How stores without ACLs answer to whoever asks who owns what is in a bucket."""


def of(headers: Mapping[str, str]) -> dict[str, str]:
    """By the headers of what GetObject answers, in lower case: only what is not the default."""
    found = {name: headers[header] for name, header in _HEADERS.items() if headers.get(header)}
    if found.get("encryption", _DEFAULT) == _DEFAULT:
        found.pop("encryption", None)
    if found.get("legal_hold") != "ON":
        found.pop("legal_hold", None)
    return found


def kinds(attributes: Mapping[str, str]) -> list[str]:
    """As people count them: "server-side encryption aws:kms", "Object Lock COMPLIANCE", "legal hold"."""
    told = []
    if encryption := attributes.get("encryption"):
        told.append(f"server-side encryption {encryption}")
    if lock := attributes.get("lock"):
        told.append(f"Object Lock {lock}")
    if "legal_hold" in attributes:
        told.append("legal hold")
    return told


def acls(objects: Objects, bucket: str) -> str:
    """Whether objects of a bucket may have ACLs of their own, in a sentence; empty where they cannot.

    S3 ignores ACLs where the bucket owns all that is in it, as new ones do (S3 user guide, about object ownership).
    Raises ObjectsError.
    """

    def ask() -> dict[str, Any]:
        try:
            answer: dict[str, Any] = objects.client.get_bucket_ownership_controls(Bucket=bucket)
        except boto.ClientError as error:
            if error.response["Error"]["Code"] == "OwnershipControlsNotFoundError":
                return {"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}}
            if error.response["Error"]["Code"] in _NO_ACLS:
                return {}
            raise
        return answer

    try:
        rules = (objects.ask(ask, bucket).get("OwnershipControls") or {}).get("Rules") or []
    except AccessDenied:
        return f"ACLs of single objects, if {bucket} allows them: we may not ask (s3:GetBucketOwnershipControls)"
    if any(rule.get("ObjectOwnership") != "BucketOwnerEnforced" for rule in rules):
        return f"ACLs of single objects, which {bucket} allows"
    return ""
