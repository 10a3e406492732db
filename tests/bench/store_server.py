"""The sandbox's object store behind a server that keeps connections, as real stores do.

The sandbox's own (werkzeug's) closes the connection after each answer; that would be most of what a benchmark of small
objects measures, for every client alike.
"""

import json
import signal
import sys
from pathlib import Path

import waitress
from moto import backends

from deploy.sandbox import objects_store


def main():
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    store = objects_store.Store(folder, json.loads((folder / "server.json").read_text(encoding="utf-8")))
    store.open()
    # The catalogue is for restarts, and while it is written nothing may change.
    objects_store._SETTLE_SECONDS = 3600
    # moto lists its own folder for every request.
    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
    server = waitress.create_server(
        store, host="127.0.0.1", port=port, threads=int(sys.argv[3]), clear_untrusted_proxy_headers=False
    )
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit))
    try:
        server.run()
    finally:
        store.close()


if __name__ == "__main__":
    main()
