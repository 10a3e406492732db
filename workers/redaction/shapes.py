"""What is a secret by its own shape: a token's prefix, a password in an address, a signature in a link, a private key.

The kinds are those of detect-secrets' detectors (tests/workers/test_redaction_kinds.py holds them against these), and
tokens that it doesn't know. Its detectors by entropy and by keyword are left out: each finds secrets in ordinary logs.

Every line of every log passes here, so a kind is looked for only if a piece of text that all of it have is there.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from typing import Final

MASK: Final = "***"

_KINDS: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    # Slack: tokens, and addresses that whoever knows them may post to.
    (("xox", "xapp-"), r"\b(?:xox[a-z](?:\.xox[a-z])?-[\w-]{3,}|xapp-[\w-]{8,})"),
    (("hooks.slack.com",), r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/-]+"),
    # AWS: access keys and their temporary kind; the secret behind a name that says so.
    (("AKIA", "ASIA", "ABIA", "ACCA", "A3T"), r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}"),
    (("aws", "AWS", "Aws"), r"(?i)(?<=aws).{0,20}?(?:key|pwd|pw|password|pass|token).{0,20}?['\"][0-9a-z/+]{40}['\"]"),
    # Signed and shared links.
    (
        ("sig=", "ignature=", "oken=", "redential=", "key=", "Key=", "secret=", "assword="),
        (
            r"(?i)(?<=[?&;])((?:x-(?:amz|goog)-(?:signature|credential|security-token)|sig|signature|token|access_token|"
            r"id_token|refresh_token|api_?key|client_secret|secret|password)=|key=(?=[\w-]{20}))[^&\s\"'<>]+"
        ),
    ),
    (
        ("ccountKey=", "ccessKey=", "ccessSignature="),
        r"(?i)((?:AccountKey|SharedAccessKey|SharedAccessSignature)=)[^;\s\"']+",
    ),
    # What follows the name of a scheme of HTTP authentication, whatever stands before it (RFC 9110, 11.4).
    (
        ("earer", "EARER"),
        (
            r"(?i)\b(bearer(?:[ _-]?token)?(?:\s*[:=]\s*|\s+|%20)[\"'\\<]*)"
            r"(?:(?=[\w.~+/-]*\d)(?=[\d.~+/_-]*[a-z])[\w.~+/-]{8,}|\d{16,}|[a-z]{24,})=*"
        ),
    ),
    (
        ("oken ", "OKEN ", "ey ", "EY "),
        r"(?i)\b((?:token|api[ _-]?key)\s+[\"'\\<]*)(?=[a-z_-]*\d)(?=[\d_-]*[a-z])[\w-]{32,}=*",
    ),
    (
        ("egotiate ", "EGOTIATE ", "NTLM ", "erberos "),
        r"((?i:\b(?:negotiate|ntlm|kerberos))\s+[\"'\\]*)(?=[A-Za-z+/]*\d)(?=[a-z\d+/]*[A-Z])[A-Za-z\d+/]{16,}={0,2}",
    ),
    (("AWS4-HMAC",), r"(AWS4-HMAC-SHA256\b[^\n]{0,400}?Signature=)[0-9a-f]{64}"),
    (("igest ", "IGEST "), r"(?i)(\bdigest\s[^\n]{0,400}?\bresponse=[\"'\\]*)[0-9a-f]{32,}"),
    # JSON Web Tokens.
    (("eyJ",), r"\beyJ[\w=-]+\.[\w=-]+(?:\.[\w.+/=-]*)?"),
    # Git hosts, package indexes, container registries.
    (("gh", "github_pat_"), r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,})"),
    (("gl", "GR1348941"), r"\b(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-[\w-]{20,}|GR1348941[\w-]{20,})"),
    (("npm_", "_authToken"), r"\bnpm_[A-Za-z0-9]{20,}|(?<=_authToken=)\s*\S+"),
    (("pypi-Ag",), r"\bpypi-Ag[\w-]{20,}"),
    (("dckr_pat_",), r"\bdckr_pat_[\w-]{20,}"),
    # Models and data: Hugging Face, OpenAI and Anthropic, Databricks, Google.
    (("hf_",), r"\bhf_[A-Za-z0-9]{20,}"),
    (("sk-",), r"\bsk-[\w-]{20,}"),
    (("dapi", "dose", "dkea"), r"\b(?:dapi|dose|dkea)[0-9a-f]{32}(?:-\d)?\b"),
    (("AIza", "ya29.", "GOCSPX-"), r"\b(?:AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})"),
    # Clouds and services.
    (("hvs.", "hvb."), r"\bhv[sb]\.[\w-]{20,}"),
    (("do", "v1_"), r"\bdo[opr]_v1_[0-9a-f]{40,}"),
    (("SG.",), r"\bSG\.[\w-]{16,}\.[\w-]{16,}"),
    (("k_live_", "k_test_"), r"\b[rsp]k_(?:live|test)_[0-9a-zA-Z]{16,}"),
    (("sq0",), r"\bsq0[a-z]{3}-[\w\\-]{22,}"),
    (("-us",), r"\b[0-9a-z]{32}-us[0-9]{1,2}"),
    (("AC", "SK"), r"(?:AC|SK)[a-z0-9]{32}"),
    (("AKC", "AP"), r"(?:(?<=[\s=:\"])|^)(?:AKC[a-zA-Z0-9]{10,}|AP[0-9ABCDEF][a-zA-Z0-9]{8,})(?=[\s\"]|$)"),
    (("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[0-9A-Z]{20,}"),
    ((":AA",), r"\b\d{8,10}:AA[0-9A-Za-z_-]{33}"),
    ((".",), r"\b[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27}"),
    (("softlayer.com/soap/",), r"(?<=softlayer\.com/soap/)v3(?:\.1)?/[a-z0-9]{64}"),
    # Private keys.
    (
        ("PRIVATE KEY",),
        (
            r"(?:-----)?BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?(?:-----)?"
            r"(?:.|\n)*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
        ),
    ),
    (("PuTTY-User-Key-File-",), r"PuTTY-User-Key-File-\d(?:.|\n)*"),
)
_URL_SAFE: Final = str.maketrans("-_", "+/")
_BASIC: Final = re.compile(r"\b((?i:basic)(?:\s+|%20)[\"'\\]*)([A-Za-z\d+/_-]{4,}={0,2})")
_ADDRESS: Final = re.compile(r"://[^\s/@:\"']*:[^\s/\"']*@")


def without_shapes(text: str) -> str:
    """The text, and *** in place of what has a secret's shape."""
    if "://" in text:
        text = _ADDRESS.sub(f"://{MASK}@", text)
    if "asic" in text or "ASIC" in text:
        text = _BASIC.sub(_credentials, text)
    for hints, pattern in _KINDS:
        for hint in hints:
            if hint in text:
                text = _compiled(pattern).sub(_masked, text)
                break
    return text


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Once it is needed: most never are, and every program waits for what is compiled at its start."""
    return re.compile(pattern)


def _credentials(found: re.Match[str]) -> str:
    """Of `Basic …`, only what is a name and a password: base64 with a colon in it (RFC 7617). Words are not."""
    coded = found[2].rstrip("=").translate(_URL_SAFE)
    try:
        said = base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True)
    except binascii.Error:
        return found[0]
    return f"{found[1]}{MASK}" if b":" in said and said.isascii() else found[0]


def _masked(found: re.Match[str]) -> str:
    """The name before a value stays, where the pattern has one."""
    return (found[1] if found.re.groups else "") + MASK
