"""Acknowledgement under load: so many commands a second, in both modes; each acknowledged in time and none lost.

MLFLOW_OPS_BENCH_SECONDS sets how long, 30 for the full claim. The bot tells the channel of each meanwhile, at the rate
that Slack bears: what waits to be told must not take from those who ask.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from workers.records.record import Record
from workers.records.store import Records

PER_SECOND = 100
SECONDS = int(os.environ.get("MLFLOW_OPS_BENCH_SECONDS", "30"))


def records(redis):
    for key in redis.scan_iter("mlflow-ops:mlflow:record:*", count=1000):
        if key.count(b":") == 3:
            yield Records(redis).get(key.decode().rsplit(":", 1)[1])


@pytest.mark.bench
@pytest.mark.timeout(60 + SECONDS * 20)
@pytest.mark.parametrize("mode", ["socket", "http"])
def test_acknowledged_within_a_quarter_second_and_none_lost(
    mode, local_slack, environment, started, redis, free_port, say
):
    url = f"http://127.0.0.1:{free_port}/slack/events"
    changed = {"mode": "http", "request_url": url} if mode == "http" else {}
    way = ["--http", "--host", "127.0.0.1", "--port", str(free_port)] if mode == "http" else []
    total = PER_SECOND * SECONDS
    with local_slack(**changed) as slack:
        env = environment(slack)
        with started("bot", *way, env=env), ThreadPoolExecutor(64) as pool:
            vera = slack.person("vera")
            assert vera.command("C0OPS", "/mlflow health queues").ok
            began = time.monotonic()

            def send(number):
                time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
                return vera.command("C0OPS", "/mlflow health queues")

            outcomes = list(pool.map(send, range(total)))
            took = time.monotonic() - began
            # Equal reads that wait are told as one, which counts them.
            known: list[Record] = list(records(redis))
            asked = sum(1 + record.more for record in known)
            waits = sorted(outcome.seconds for outcome in outcomes)
            p50, p99 = waits[total // 2], waits[total * 99 // 100]
            say(
                f"\n{mode}: {total} commands in {took:.1f} s; acknowledged after p50 {p50 * 1000:.0f} ms, "
                f"p99 {p99 * 1000:.0f} ms, worst {waits[-1] * 1000:.0f} ms; recorded {asked}"
            )
            assert all(outcome.ok for outcome in outcomes)
            assert asked == total + 1
            assert p99 < 0.25
            assert waits[-1] < 1
