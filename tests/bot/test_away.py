"""Redis and Slack come and go: nobody waits for nothing, and everything goes on by itself."""

import subprocess
import time

import pytest
from redis import Redis
from redis.exceptions import RedisError

from mlflow_ops_sandbox.parts.redis import program
from mlflow_ops_sandbox.slack.client import wait_for, words


class RedisServer:
    """A Redis that can go away and come back, with a user who may no more than we need."""

    def __init__(self, folder, port):
        self.url = f"redis://mlflow-ops:s3cret-of-redis@127.0.0.1:{port}/0"
        self._port = port
        self._configuration = folder / "redis.conf"
        folder.mkdir()
        self._configuration.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nappendonly yes\nuser default off\n"
            "user mlflow-ops on >s3cret-of-redis ~mlflow-ops:* resetchannels &mlflow-ops:* +@all "
            "-@dangerous +info +client\n"
        )
        self.start()

    def start(self):
        self._process = subprocess.Popen([str(program()), str(self._configuration)], stdout=subprocess.DEVNULL)

        def answers():
            with Redis.from_url(self.url) as client:
                try:
                    return client.ping()
                except RedisError:
                    return None

        wait_for(answers)

    def stop(self):
        self._process.terminate()
        self._process.wait()


@pytest.fixture
def redis_server(tmp_path, free_port):
    server = RedisServer(tmp_path / "own-redis", free_port)
    yield server
    server.stop()


@pytest.fixture
def slack(local_slack, environment, started, redis_server):
    with local_slack() as slack:
        env = {**environment(slack), "REDIS_URL": redis_server.url}
        with started("bot", env=env), started("worker", "--queue", "quick", env=env):
            yield slack


def answered(vera, number):
    done = [message for message in vera.messages("C0OPS") if words(message).count("MLflow health")]
    return done if len(done) >= number else None


def test_without_redis_there_is_a_sentence_within_three_seconds_and_then_it_goes_on(slack, redis_server):
    vera = slack.person("vera")
    assert vera.command("C0OPS", "/mlflow health queues").ok
    vera.wait_for(lambda: answered(vera, 1), deadline=20)
    redis_server.stop()
    began = time.monotonic()
    outcome = vera.command("C0OPS", "/mlflow health queues")
    assert outcome.ok, outcome.message
    assert time.monotonic() - began < 3
    vera.wait_for(lambda: vera.find_ephemeral("C0OPS", "Nothing was done: Redis refuses connections."))
    redis_server.start()
    assert vera.command("C0OPS", "/mlflow health queues").ok
    vera.wait_for(lambda: answered(vera, 2), deadline=60)
    assert len(answered(vera, 2)) == 2


@pytest.mark.slow
def test_without_slack_the_answer_waits_for_it(slack):
    vera = slack.person("vera")
    assert vera.command("C0OPS", "/mlflow health queues").ok
    slack.sandbox.fault("error", method="chat.*", count=6, status=503)
    vera.wait_for(lambda: answered(vera, 1), deadline=60)
    assert len(answered(vera, 1)) == 1
