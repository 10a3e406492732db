"""Fifty hostile inputs over HTTP, in a command's words and in Redis: what each gets. None harms, none gets a 500."""

import hashlib
import hmac
import json
import os
import pickle
import sys
import time
from urllib.parse import urlencode

import pytest
import requests
from rq import Queue

from mlflow_ops_sandbox.slack.client import wait_for
from workers.engine import queues
from workers.records.message import Message
from workers.records.record import Phase, Record
from workers.records.store import Records

FORM = "application/x-www-form-urlencoded"


def command(text="health queues", **changed):
    fields = {
        "command": "/mlflow",
        "text": text,
        "user_id": "U0VERA",
        "user_name": "vera",
        "channel_id": "C0OPS",
        "team_id": "T0SANDBOX",
        "trigger_id": f"{time.time_ns()}.1",
        "response_url": "https://hooks.slack.example/1",
        **changed,
    }
    return urlencode({name: value for name, value in fields.items() if value is not None}).encode()


@pytest.fixture
def stage(local_slack, environment, started, free_port):
    url = f"http://127.0.0.1:{free_port}/slack/events"
    with local_slack(mode="http", request_url=url) as slack:
        env = environment(slack)
        way = ["--http", "--host", "127.0.0.1", "--port", str(free_port)]
        with started("bot", *way, env=env), started("worker", "--queue", "quick", env=env):
            yield slack, url


@pytest.fixture
def post(stage):
    """Send a body, signed as Slack does unless told otherwise; the response."""
    slack, url = stage
    secret = slack.workspace.tokens.signing_secret

    def post(body, *, age=0, stamp=None, key=secret, signed=None, content_type=FORM, **headers):
        stamp = stamp or str(int(time.time()) - age)
        base = b"v0:" + stamp.encode() + b":" + (body if signed is None else signed)
        signature = "v0=" + hmac.new(key.encode(), base, hashlib.sha256).hexdigest()
        sent = {
            "Content-Type": content_type,
            "X-Slack-Request-Timestamp": stamp.encode(),
            "X-Slack-Signature": signature,
            **headers,
        }
        sent = {name: value for name, value in sent.items() if value is not None}
        return requests.post(url, data=body, headers=sent, timeout=10)

    return post


REQUESTS = {
    "no signature": (lambda post: post(command(), **{"X-Slack-Signature": None}), 401),
    "no timestamp": (lambda post: post(command(), **{"X-Slack-Request-Timestamp": None}), 401),
    "a signature of another secret": (lambda post: post(command(), key="guessed"), 401),
    "a signature that is no signature": (
        lambda post: post(command(), **{"X-Slack-Signature": "v0=\u00e9".encode()}),
        401,
    ),
    "six minutes old": (lambda post: post(command(), age=360), 401),
    "an hour ahead": (lambda post: post(command(), age=-3600), 401),
    "a timestamp in words": (lambda post: post(command(), stamp="soon"), 401),
    "a negative timestamp": (lambda post: post(command(), stamp="-1"), 401),
    "a timestamp in Arabic digits": (lambda post: post(command(), stamp="\u0661\u0662\u0663"), 401),
    "a timestamp of a thousand digits": (lambda post: post(command(), stamp="9" * 1000), 401),
    "a body changed after it was signed": (lambda post: post(command(), signed=command("health pods")), 401),
    "an empty body": (lambda post: post(b""), (400, 404)),
    "broken JSON as a payload": (lambda post: post(urlencode({"payload": "{"}).encode()), 400),
    "a payload that is a list": (lambda post: post(urlencode({"payload": "[1]"}).encode()), (400, 404)),
    "a payload without a type": (lambda post: post(urlencode({"payload": "{}"}).encode()), 404),
    "a payload nested ten thousand deep": (lambda post: post(urlencode({"payload": "[" * 10_000}).encode()), 400),
    "JSON that is none": (lambda post: post(b"{", content_type="application/json"), (400, 404)),
    "bytes that are no UTF-8": (lambda post: post(b"text=\xff\xfe"), 400),
    "another command": (lambda post: post(command(command="/rm")), 404),
    "two megabytes": (lambda post: requests.post(URL[0], b"x" * (2 << 20), timeout=10), 413),
    "a GET": (lambda post: requests.get(URL[0], timeout=10), 401),
    "no user": (lambda post: post(command(user_id=None)), 200),
    "no channel": (lambda post: post(command(channel_id=None)), 200),
    "no trigger": (lambda post: post(command(trigger_id=None)), 200),
}
URL = [""]

WORDS = {
    "an open quote": ('health "pods', "A quote is opened"),
    "ten thousand characters": ("x" * 10_000, "10,000 characters long"),
    "a null byte": ("health\x00 pods", ""),
    "right-to-left override": ("health \u202epods", ""),
    "a zero-width space": ("health\u200b", ""),
    "a Cyrillic letter": ("h\u0435alth", "There is no command"),
    "everybody": ("<!channel>", "“@channel”"),
    "somebody": ("<@U0ANNA>", "“@U0ANNA”"),
    "a link": ("<https://evil.example|health>", "“https://evil.example”"),
    "formatting": ("*bold* _it_ `code`", "There is no command"),
    "a code fence": ("```", "There is no command"),
    "lines": ("health\npods", ""),
    "a shell": ("health; rm -rf /", "There is no"),
    "a substitution": ("health $(reboot)", "is not known here"),
    "a format string": ("%s%s%n", "There is no command"),
    "a deadline below zero": ("health --deadline -1", "deadline"),
    "a deadline that is no number": ("health --deadline nan", "deadline"),
    "a deadline without end": ("health --deadline 1e999", "deadline"),
    "an unknown option": ("health --force", "--force"),
    "a thousand checks": ("health " + "pods " * 500, ""),
}


def record(**changed):
    fields = {"operation": "health", "arguments": {"checks": ["queues"]}, "words": "health queues"}
    return Record(**{**fields, **changed}, requester="U0VERA", channel="C0OPS")


def crafted(redis, witness):
    """Jobs and records that somebody with Redis' password might put there; each with what must become of it."""
    plain = Queue("quick", connection=redis, serializer="json")
    yield "a job of os.system", plain.enqueue("os.system", f"touch {witness}"), None
    yield "a job of builtins.eval", plain.enqueue("builtins.eval", f"open('{witness}','w')"), None
    yield "a job of our own worker", plain.enqueue("workers.engine.worker.work", "quick"), None
    yield "a pickle", Queue("quick", connection=redis, serializer="pickle").enqueue(os.system, f"touch {witness}"), None
    job = queues.queue("quick", redis).enqueue("workers.engine.running.run", {"id": "x"})
    yield "an id that is no text", job, None
    yield "an operation that there is not", None, record(operation="os.system")
    yield "arguments of another kind", None, record(arguments={"checks": "queues", "deadline_seconds": "soon"})


class _Bomb:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_fifty_hostile_inputs(stage, post, redis, tmp_path, capsys):
    slack, URL[0] = stage
    witness = tmp_path / "witness"
    table = []
    for name, (send, expected) in REQUESTS.items():
        got = send(post).status_code
        table.append((name, f"HTTP {got}"))
        assert got in (expected if isinstance(expected, tuple) else (expected,)), name
        assert got < 500, name
    body, stamp = command(), str(int(time.time()))
    assert post(body, stamp=stamp).status_code == 200
    replayed = post(body, stamp=stamp)
    table.append(("a request sent again as it was", f"HTTP {replayed.status_code} {replayed.text.strip()}"))
    assert (replayed.status_code, replayed.text.strip()) == (401, "delivered before")
    assert len(Records(redis).open()) <= 2

    for name, (text, said) in WORDS.items():
        answer = post(command(text))
        assert answer.status_code == 200, name
        shown = answer.text
        table.append((name, " ".join(shown.split())[:70] or "accepted"))
        assert said in shown, name
        for ping in ("<!channel>", "<@U0ANNA>", "<https://"):
            assert ping not in shown, name

    redis.rpush("mlflow-ops:mlflow:rq:queue:quick", pickle.dumps(_Bomb()))
    table.append(("bytes on the queue that are no job", "dropped"))
    for name, job, forged in crafted(redis, witness):
        if forged is not None:
            Records(redis).accept(forged, forged.id, Message("asked", []))
            ended = wait_for(lambda forged=forged: _ended(redis, forged.id), 30)
            table.append((name, ended.outcome))
            assert ended.phase is Phase.FAILED, name
        else:
            wait_for(lambda job=job: job.get_status(refresh=True) in {"failed", "finished"} or None, 30)
            table.append((name, str(job.get_status())))
    assert not witness.exists()

    # After all of it, the next command works.
    vera = slack.person("vera")
    fine = record()
    Records(redis).accept(fine, fine.id, Message("asked", []))
    assert wait_for(lambda: _ended(redis, fine.id), 30).phase is Phase.DONE
    assert {ping["target"] for ping in slack.sandbox.pings()} <= {"U0VERA"}
    assert vera.command("C0OPS", "/mlflow health queues").ok
    assert len(table) >= 50
    with capsys.disabled():
        width = max(len(name) for name, _ in table)
        lines = (f"  {name:<{width}}  {json.dumps(got, ensure_ascii=True)[1:-1]}\n" for name, got in table)
        sys.stdout.write("\n" + "".join(lines))


def _ended(redis, record_id):
    found = Records(redis).get(record_id)
    return found if found and found.phase.ended else None
