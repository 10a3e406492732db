"""Log lines: structured, one event a line, on standard error; the operation's id on every line of its work.

Standard library loggers (RQ, Slack, urllib3) are rendered by the same chain, so that one format serves a person
(`console`) and a log store (`json`). Every line passes the filter of workers.redaction, tracebacks too.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

from workers.redaction import redacted

Format = Literal["console", "json"]


def _without_secrets(_logger: object, _method: str, line: Any) -> Any:
    return redacted(line) if isinstance(line, str) else line


def configure(log_format: Format, level: str = "INFO") -> None:
    """Set up logging for this process. Call once, before anything logs."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        # The default shows the values of local variables, which may be secrets.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    chain: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format == "json":
        chain.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler()
    chain = [*chain, last, _without_secrets]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=chain))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("urllib3", "botocore", "slack_bolt", "slack_sdk", "kubernetes"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
