"""Values that have a name and no sentence around them: variables of a container, keys of a ConfigMap, arguments."""

from __future__ import annotations

import re
from typing import Final

from workers.redaction.names import names_a_secret

_HARMLESS: Final = re.compile(
    r"(?i)(?:.*_)?(?:host|hostname|port|region|endpoint|endpoint_url|tracking_uri|registry_uri|uri|address|bucket|namespace|"
    r"name|level|mode|format|timeout|timeout_seconds|seconds|ms|workers|threads|processes|concurrency|connections|"
    r"pool_size|max_overflow|overflow|recycle|retries|interval|limit|limits|size|bytes|count|max|min|days|hours|enabled|"
    r"disabled|enable|disable|debug|verbose|version|protocol|scheme|dir|directory|path|root|home|file|destination|prefix|"
    r"suffix|class|backend|driver|dialect|database|db|user|username|lang|locale|tz|timezone|environment|env|stage|tier|"
    r"app|service|cluster|node|pod|ip|tls|insecure_tls|ssl|verify|proxy_headers|forwarded_allow_ips|allowed_hosts|"
    r"cors_allowed_origins|origins|hosts|execution|buffered|encoding|hashseed|dontwritebytecode|parallelism)"
    r"|(?:PATH|PYTHON\w+|LC_\w+|OMP_\w+|MALLOC_\w+|PROMETHEUS_\w+|GIT_PYTHON_REFRESH)"
)
"""What a container's environment may say in the open: the whole name or its last words. What isn't known is masked; and
of what is, passwords in addresses and the shapes of secrets are.
"""


def hides(name: str) -> bool:
    """Whether a setting of this name is not shown: it is called a secret, or a key."""
    return names_a_secret(name) or name.lower().endswith(("_key", "-key"))


def open_variable(name: str) -> bool:
    """Whether a container's variable may be shown: its name is known to be harmless."""
    return not hides(name) and _HARMLESS.fullmatch(name) is not None
