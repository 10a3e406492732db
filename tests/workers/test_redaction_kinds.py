"""One detector for every way out: none of the known kinds passes, and ordinary logs stay as they are."""

import base64
import importlib
import re
import time
import tracemalloc
from pathlib import Path

import pytest
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.base import RegexBasedDetector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers import ordinary_logs
from workers import redaction
from workers.operations.inspection import masking

CASES = Path(__file__).with_name("secrets.txt").read_text("utf-8")
LINES, _, NAMES = CASES.partition("# names of environment variables")
MARKED = re.compile("⟦(.*?)⟧")

NOT_A_SECRET = {"Public IP (ipv4)", "Hex High Entropy String", "Base64 High Entropy String"}
BY_NAME = {
    "Secret Keyword",
    "IBM Cloud IAM Key",
    "IBM COS HMAC Credentials",
    "Cloudant Credentials",
    "SoftLayer Credentials",
    "Telegram Bot Token",
}
"""A name and any value, as ours are judged below; Telegram's begin with AA, as all that were given out do."""


@pytest.mark.parametrize("line", LINES.splitlines())
def test_no_kind_passes(line):
    said = redaction.redacted(MARKED.sub(r"\1", line))
    assert all(part not in said for secret in MARKED.findall(line) for part in (secret, *secret.split()))


@pytest.mark.parametrize("name", NAMES.splitlines()[1:])
def test_what_is_called_a_secret_is_masked_wherever_it_stands(name):
    for shown in (
        redaction.redacted(f"{name}=zq7hunter2"),
        redaction.redacted(f'"{name}": "zq7hunter2"'),
        redaction.redacted(f"{name.lower()}: zq7 hunter2").replace("zq7 hunter2", ""),
        masking.value_of(name, "zq7hunter2"),
        masking.variable_of(name, "zq7hunter2"),
        str(masking.masked({"kind": "ConfigMap", "data": {name: "zq7hunter2"}})),
        str(masking.masked({"spec": {"containers": [{"env": [{"name": name, "value": "zq7hunter2"}]}]}})),
        str(masking.masked({"spec": {"containers": [{"args": [f"--{name.lower()}", "zq7hunter2"]}]}})),
    ):
        assert "zq7" not in shown, shown


def detectors():
    for name, kind in sorted(get_mapping_from_secret_type_to_class().items()):
        if issubclass(kind, RegexBasedDetector) and name not in NOT_A_SECRET | BY_NAME:
            yield from ((name, pattern) for pattern in kind().denylist)


@pytest.mark.parametrize(("kind", "pattern"), detectors(), ids=lambda each: each if isinstance(each, str) else "")
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_detect_secrets_finds_by_its_shape_is_blotted_out(kind, pattern, data):
    # As they are written: the detectors' own flags also let every case and every alphabet pass.
    written = re.compile(pattern.pattern, re.ASCII | pattern.flags & re.VERBOSE)
    made = data.draw(st.from_regex(written, fullmatch=True, alphabet=PRINTED))
    assert "***" in redaction.redacted(f"before {made} after"), (kind, made)


PRINTED = st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"')
QUOTES = st.sampled_from(
    [
        "{}={}",
        "{}: {}",
        '"{}": "{}"',
        "'{}': '{}'",
        '\\"{}\\": \\"{}\\"',
        "--{} {}",
        "--{}={}",
        "('{}', '{}')",
        "b'{}': b'{}'",
        "{} = {}",
        "{}='{}'",
    ]
)
SECRET = st.text("abcdefgh0123456789+/_-", min_size=12, max_size=40).map(lambda text: f"Zq{text}")
NAMED = st.sampled_from(
    [
        "password",
        "PASSWORD",
        "db_password",
        "dbPassword",
        "passwd",
        "pwd",
        "DB_PWD",
        "pass",
        "SMTP_PASS",
        "passphrase",
        "secret",
        "client_secret",
        "secretKey",
        "api_key",
        "apiKey",
        "API-KEY",
        "aws_secret_access_key",
        "token",
        "access_token",
        "authToken",
        "AUTH_TOKEN",
        "jwt",
        "dsn",
        "SENTRY_DSN",
        "credential",
        "authorization",
        "Authorization",
        "private_key",
        "signing_key_v2",
        "basic_auth",
        "connection_string",
    ]
)


@given(name=NAMED, form=QUOTES, value=SECRET, before=st.sampled_from(["", "a log line: ", '{"user":"bob",', "k=v; "]))
def test_a_value_with_a_telling_name_never_passes(name, form, value, before):
    assert value[2:] not in redaction.redacted(before + form.format(name, value) + " and more")


HEX = st.text("0123456789abcdef", min_size=30, max_size=64).map(lambda text: f"{text}0f")
TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/", min_size=20, max_size=80).map(
    lambda text: f"a{text}7"
)
BASIC = st.builds(
    lambda user, password: base64.b64encode(f"{user}:{password}".encode()).decode(),
    st.text("abcdefgh", min_size=1, max_size=8),
    st.text("abcdefgh0123456789!#", min_size=4, max_size=20),
)
SCHEMES = st.one_of(
    st.tuples(st.sampled_from(["Bearer", "bearer", "BEARER", "Bearer token"]), st.one_of(HEX, TOKEN)),
    st.tuples(st.sampled_from(["Token", "token", "ApiKey", "Api-Key", "API key"]), HEX),
    st.tuples(st.sampled_from(["Basic", "basic", "BASIC"]), BASIC),
    st.tuples(
        st.sampled_from(["Negotiate", "NTLM", "negotiate"]),
        st.binary(min_size=30, max_size=90).map(lambda held: f"YII7{base64.b64encode(held).decode()}"),
    ),
)


@given(
    scheme=SCHEMES,
    around=st.sampled_from(
        [
            "{}",
            "sent {} to the proxy",
            "curl -H '{}'",
            'said "{}", then left',
            "{}\nnext line",
            "401 for {}: try again",
            "headers=['{}']",
            "({})",
        ]
    ),
)
def test_a_credential_behind_the_name_of_its_scheme_needs_no_other_name(scheme, around):
    name, credential = scheme
    shown = redaction.without_secrets(around.format(f"{name} {credential}"))
    assert credential.rstrip("=") not in shown
    assert name in shown


@pytest.mark.parametrize(
    "line",
    [
        "Bearer authentication is required",
        'WWW-Authenticate: Bearer realm="mlflow2", error="invalid_token"',
        "the bearer token is missing",
        "bearer token expires in 3600 s",
        "Basic authentication failed for user bob",
        "basic auth is on, with BasicAuthMiddleware2",
        "Basic configuration of logging",
        'WWW-Authenticate: Basic realm="mlflow"',
        "Negotiate authentication failed",
        "token bucket 12 of 64 is empty",
        "The API key is wrong",
        "key 0123456789abcdef0123456789abcdef of the cache",
        "digest sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "Token limit 4096 reached by gpt-4o-2026-11-30",
    ],
)
def test_words_behind_the_name_of_a_scheme_stay(line):
    assert redaction.without_secrets(line) == line


def test_signatures_in_headers_go():
    signature = "0123456789abcdef" * 4
    said = f"Authorization: AWS4-HMAC-SHA256 Credential=me/20261130/s3, SignedHeaders=host;date, Signature={signature}"
    assert signature not in redaction.without_secrets(said)
    said = f'Digest username="bob", realm="mlflow", nonce="x", response="{signature[:32]}"'
    assert signature[:32] not in redaction.without_secrets(said)


@pytest.mark.parametrize("seed", range(3))
def test_of_ten_thousand_ordinary_lines_fewer_than_five_are_changed(seed):
    changed = [line for line in ordinary_logs.lines(10_000, seed) if redaction.redacted(line) != line]
    assert len(changed) < 5, changed


def test_it_is_quick_and_takes_no_memory():
    """Measured on one core: about 60,000 lines of 110 characters a second; the bound is for a machine that is busy."""
    lines = list(ordinary_logs.lines(20_000))
    began = time.process_time()
    for line in lines:
        redaction.redacted(line)
    assert len(lines) / (time.process_time() - began) > 8_000
    tracemalloc.start()
    for line in lines[:5_000]:
        redaction.redacted(line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize(
    "hostile",
    [
        "pass" * 100_000,
        'password="' * 30_000,
        "a:b@" * 50_000,
        "://x:" * 50_000,
        "key " * 100_000,
        "-----BEGIN PRIVATE KEY" * 5_000,
        "bearer " * 60_000,
        "Bearer " + "a" * 400_000,
        "Basic " + "a" * 400_000,
        "token " * 60_000,
        "AWS4-HMAC-SHA256 " * 20_000,
        "digest " * 60_000,
    ],
)
def test_no_line_takes_long(hostile):
    began = time.process_time()
    redaction.redacted(hostile)
    assert time.process_time() - began < 5


def test_each_way_out_passes_the_one_detector():
    """Whoever says something imports it, and nobody has patterns of their own."""
    for room in (
        "workers.records.message",
        "workers.logging",
        "workers.operations.logs.lines",
        "workers.operations.inspection.masking",
        "workers.operations.incident.account",
        "workers.operations.deployment.proposal",
    ):
        source = Path(importlib.import_module(room).__file__).read_text("utf-8")
        assert "redaction import" in source, room
