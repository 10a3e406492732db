"""An S3 server as a process of its own: moto's, made durable.

moto keeps everything in memory. Here each object's bytes are written to a file once, and the catalogue of buckets
(names, versions, metadata, references to those files) is written whole after changes have settled for a second, and at
the end. Killed without warning, it loses at most what happened since the last catalogue. Only those who sign with
the sandbox's key pair are served.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

from mlflow_ops_sandbox.parts.ports import HOST

if TYPE_CHECKING:
    from types import FrameType

# Objects above this size are spilled to a temporary file by moto: memory does not grow with them.
os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(1024 * 1024))
# Nobody asks from a browser; each answer would be looked at for it.
os.environ.setdefault("MOTO_DISABLE_GLOBAL_CORS", "true")


_OPEN_FILES = 65_536


class _Handler(WSGIRequestHandler):
    """HTTP/1.1, so that clients keep their connections."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log without the query, which holds the signature of a presigned address."""
        logging.getLogger("objects").info("%s %s %s %s", self.command, self.path.partition("?")[0], code, size)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="objects")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    # Each object that was spilled holds a file open.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    # moto takes a second to import: after the arguments are known to be right.
    from mlflow_ops_sandbox.parts.s3.store import Store

    configuration: dict[str, Any] = json.loads((arguments.data / "server.json").read_text(encoding="utf-8"))
    store = Store(arguments.data, configuration)
    store.open()
    server = make_server(HOST, arguments.port, store, threaded=True, request_handler=_Handler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        # shutdown() waits for the loop, which this very thread may be running.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        store.close()


if __name__ == "__main__":
    main()
