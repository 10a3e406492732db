"""Lines as MLflow, gunicorn, uvicorn, Alembic, SQLAlchemy and boto write them on an ordinary day, without a secret.

The forms (ordinary_logs.txt) are those of MLflow 2.11 to 3.x under gunicorn and uvicorn; names, ids, numbers and paths
come from a seed.
"""

import json
import random
import uuid
from pathlib import Path

FORMS = Path(__file__).with_suffix(".txt").read_text("utf-8").splitlines()
WORDS = (
    "churn",
    "fraud-2026",
    "iris_baseline",
    "llm-eval",
    "ranking/v2",
    "Demand Forecast",
    "resnet50",
    "secretary_problem",
)


def line(chance):
    """One line."""
    hexes = uuid.UUID(int=chance.getrandbits(128))
    when = f"2026-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    clock = f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:{chance.randint(0, 59):02}"
    about = {
        "ip": ".".join(str(chance.randint(1, 254)) for _ in range(4)),
        "clock": f"{chance.randint(1, 28):02}/Nov/2026:{clock} +0000",
        "iso": f"{when} {clock}",
        "iso2": f"{when.replace('-', '/')} {clock}",
        "n": chance.randint(0, 10 ** chance.randint(1, 7)),
        "d": chance.randint(1, 9),
        "pid": chance.randint(1, 99_999),
        "port": chance.randint(1024, 65_535),
        "v": chance.choice(("2.11.3", "2.22.0", "3.1.4", "3.17.2")),
        "hex": hexes.hex,
        "uuid": str(hexes),
        "sha": f"{chance.getrandbits(256):064x}",
        "sha8": f"{chance.getrandbits(32):08x}",
        "md5": f"{chance.getrandbits(128):032x}",
        "alembic": f"{chance.getrandbits(48):012x}",
        "b64": json.dumps("".join(chance.choices("ABCDEFGHabcdefgh0123456789_-", k=40)))[1:-1] + "==",
        "word": chance.choice(WORDS),
    }
    return chance.choice(FORMS).format(**about)


def lines(number, seed=0):
    """So many of them."""
    chance = random.Random(seed)
    for _ in range(number):
        yield line(chance)
