"""A store as a process of its own, and what the AWS CLI takes to start."""

import json
import socket
import statistics
import subprocess
import time
import urllib.request
from pathlib import Path

from mlflow_ops_sandbox.patience import stretched

ROOT = Path(__file__).resolve().parents[2]
LIGHT = "tests/bench/light_store.py"
"""One that costs little for each call."""


class Store:
    """An S3 server as a process."""

    def __init__(self, command, port):
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + stretched(30)
        while not self._answers(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    @staticmethod
    def _answers(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def order(self, words):
        with urllib.request.urlopen(f"{self.url}/_/{words}") as answer:
            return json.load(answer)

    def stop(self):
        self._process.terminate()
        self._process.wait()


def starting(aws):
    took = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([aws, "--version"], check=True, capture_output=True)
        took.append(time.perf_counter() - began)
    return statistics.median(took)
