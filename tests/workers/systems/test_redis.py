"""Each way in which Redis may be of no use has a sentence of its own; and it is found by its sentinels."""

import random
import subprocess
import time
from contextlib import suppress

import pytest
import redis as client
from redis import exceptions

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import ports
from mlflow_ops_sandbox.parts.redis import program
from mlflow_ops_sandbox.patience import stretched
from workers import settings
from workers.settings import SettingsError
from workers.systems.errors import GatewayError
from workers.systems.redis import address_of, connect, explained, refuse_cluster, translated

WRITES = "redis.call('SET', KEYS[1], ARGV[1]) return 1"


@pytest.fixture
def serve(tmp_path):
    """Starts a Redis; the connection, by the product's own way."""
    started = []

    def serve(port, *arguments, url="redis://127.0.0.1:{port}/0"):
        command = [str(program()), *arguments] if arguments[:1] == (str(tmp_path / "sentinel.conf"),) else None
        command = command or [str(program()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *arguments]
        started.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL))
        deadline = time.monotonic() + stretched(20)
        with client.Redis(port=port) as asked:
            while True:
                try:
                    asked.execute_command("INFO")
                    break
                except exceptions.AuthenticationError:
                    break
                except exceptions.ConnectionError:
                    assert started[-1].poll() is None, f"{command} ended"
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
        return connect(settings.load({"REDIS_URL": url.format(port=port)}))

    yield serve
    for each in started:
        each.kill()
        each.wait()


def said(redis):
    with pytest.raises(GatewayError) as refused, translated(redis):
        redis.register_script(WRITES)(keys=["a"], args=["1"])
    return str(refused.value)


def test_a_replica_a_full_one_and_a_changed_password_each_say_so(serve, free_port):
    redis = serve(free_port)
    redis.config_set("maxmemory", "1")
    assert "is full: it has used up its maxmemory" in said(redis)
    redis.config_set("maxmemory", "0")
    redis.replicaof("127.0.0.1", 1)
    assert "is a replica and takes no writes, as after a failover" in said(redis)
    redis.replicaof("NO", "ONE")
    with translated(redis):
        redis.register_script(WRITES)(keys=["a"], args=["1"])
    redis.config_set("requirepass", "another")
    redis.connection_pool.disconnect()
    assert "does not accept our password" in said(redis)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (exceptions.BusyLoadingError("LOADING Redis is loading"), "is still loading its data"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "is a replica and takes no writes"),
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'"), "is full"),
        (exceptions.NoPermissionError("this user has no permissions"), "does not allow our user what we need"),
        (exceptions.ResponseError("MISCONF Redis is configured to save"), "cannot save to its disk"),
        (exceptions.ResponseError("MOVED 3999 127.0.0.1:6381"), "is a Redis Cluster, which cannot be used"),
        (exceptions.TimeoutError(), "does not answer in time"),
        (exceptions.ResponseError("ERR something new"), "answers: ERR something new"),
    ],
)
def test_each_refusal_has_its_sentence(error, sentence):
    assert sentence in str(explained(error))


def port_with_room_above():
    """A port on which nothing listens; nor does anything 10,000 above, where a cluster's bus is."""
    while True:
        port = random.choice(ports.QUIET[:2_000])
        with suppress(SandboxError):
            return ports.choose((), {}, {"redis": port, "its bus": port + 10_000})["redis"]


def test_a_cluster_is_refused_with_a_reason(serve):
    redis = serve(port_with_room_above(), "--cluster-enabled", "yes")
    with pytest.raises(SettingsError, match="one step of ours writes keys of several slots"):
        refuse_cluster(redis)


def test_its_sentinels_say_where_it_is(serve, free_port, tmp_path):
    serve(free_port, "--requirepass", "secret")
    port = ports.free()
    conf = tmp_path / "sentinel.conf"
    conf.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor ops 127.0.0.1 {free_port} 1\n"
                    "sentinel auth-pass ops secret\n")  # fmt: skip
    redis = serve(port, str(conf), "--sentinel", url="redis+sentinel://:secret@127.0.0.1:{port}/ops/0")
    assert redis.set("a", "1")
    assert address_of(redis) == "ops"
    nobody = connect(settings.load({"REDIS_URL": f"redis+sentinel://:secret@127.0.0.1:{port}/nobody/0"}))
    assert "no primary that its sentinels know" in said(nobody)


@pytest.mark.parametrize("url", ["redis+sentinel://127.0.0.1:26379", "redis+sentinel:///ops", "redis+sentinel://a/b/c"])
def test_an_address_of_sentinels_that_lacks_something_is_refused(url):
    with pytest.raises(SettingsError, match=r"must be like redis\+sentinel://"):
        connect(settings.load({"REDIS_URL": url}))
