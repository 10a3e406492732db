"""A slow network before a server: each connection gets so many bytes a second, as behind a VPN or across regions.

In a process of its own: `python tests/bench/throttle.py HOST PORT BYTES_A_SECOND`; its first line is its own port.
"""

import selectors
import socket
import sys
import threading
import time

PIECE = 32 << 10


def pump(source, target, rate):
    """Pass bytes on until the source ends, no more than `rate` a second; 0: as they come."""
    due = time.monotonic()
    try:
        while piece := source.recv(PIECE):
            target.sendall(piece)
            if rate:
                due = max(due, time.monotonic() - 0.05) + len(piece) / rate
                time.sleep(max(0.0, due - time.monotonic()))
    except OSError:
        pass
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


def serve(host, port, rate):
    """Let everybody through to that server, at that pace."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - a program
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        while waiting.select():
            client, _ = listener.accept()
            server = socket.create_connection((host, port))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * PIECE)
            threading.Thread(target=pump, args=(client, server, 0), daemon=True).start()
            threading.Thread(target=pump, args=(server, client, rate), daemon=True).start()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
