"""Fill a bucket with artifacts as training runs leave them: `python tests/bench/seed_artifacts.py --objects 20000`.

The store and its credentials are those of the environment (AWS_*, AWS_ENDPOINT_URL_S3), as `mlflow-ops sandbox env`
prints them. The same arguments make the same objects; `--first` goes on from there.
"""

import argparse
import random
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

THREADS = 8


def artifact(number, size):
    """The key and the bytes of one artifact: 20 to a run, 7 experiments."""
    run = number // 20
    key = f"{run % 7}/{random.Random(run).getrandbits(128):032x}/artifacts/model/file-{number % 20:02}.bin"
    return key, random.Random(number).randbytes(size)


def seed(client, bucket, objects, size, first=0):
    """Put so many artifacts of that size into a bucket."""

    def put(number):
        key, body = artifact(number, size)
        client.put_object(Bucket=bucket, Key=key, Body=body)

    with ThreadPoolExecutor(THREADS) as pool:
        for done, _ in enumerate(pool.map(put, range(first, first + objects)), 1):
            if done % 1000 == 0:
                print(f"{done:,} of {objects:,} artifacts", flush=True)  # noqa: T201 - a program


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bucket", default="mlflow-artifacts")
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=4_000)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    config = Config(request_checksum_calculation="when_required", max_pool_connections=THREADS)
    seed(boto3.client("s3", config=config), asked.bucket, asked.objects, asked.size, asked.first)
