"""The HTTP server of all that the bot serves: Slack's requests, Alertmanager's webhook, metrics.

The trap: clients keep their connections open between two requests (Alertmanager one for each group that fires, an
ingress hundreds). waitress serves 100 at a time unless told otherwise and lets the rest wait in the backlog, where a
client believes to be connected: in a storm of alerts its calls ended at their deadline, unheard.
"""

from __future__ import annotations

import resource
from typing import Any, Final

CONNECTIONS: Final = 4000
"""At once; an idle one costs a few kilobytes. poll(), because select() ends at 1,024 of them."""
OTHER_FILES: Final = 256
"""What the process opens besides; where the system allows it few files, it serves fewer connections."""


def wsgi_server(app: Any, *, host: str, port: int, threads: int, **more: Any) -> Any:
    """A waitress server of `app` that listens and is yet to be run; more: of waitress' own settings.

    Raises OSError where the port is taken.
    """
    from waitress.server import create_server

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return create_server(
        app,
        host=host,
        port=port,
        threads=threads,
        connection_limit=max(100, min(CONNECTIONS, allowed - OTHER_FILES)),
        backlog=CONNECTIONS,
        asyncore_use_poll=True,
        ident=None,
        **more,
    )
