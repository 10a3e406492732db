"""What is done: operations, the engine that runs them, and the gateways to the outside world."""

import os

# RQ reads its key prefix when it is first imported; every key of ours in Redis stands under one prefix.
os.environ.setdefault("RQ_KEY_PREFIX", "mlflow-ops:rq")
