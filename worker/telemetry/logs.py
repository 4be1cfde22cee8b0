"""Structured log lines on stderr: JSON for machines, readable on a terminal."""

import logging
import sys
from typing import Any, Literal

import structlog

Log = structlog.stdlib.BoundLogger
_REDACTED = ("password", "secret", "token", "authorization", "pan", "cvv", "cvc", "card_number")


def configure_logs(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Send structlog's and the standard library's lines to stderr in one form."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        structlog.processors.format_exc_info,
    ]
    if console:
        shared.pop()  # the console renderer draws tracebacks itself
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # one write a line: processes share stderr
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def redact(_logger: object, _method: str, event: Any) -> Any:
    """Mask values whose key says that they are secret."""
    for key in event:
        if key.lower() in _REDACTED:
            event[key] = "[redacted]"
    return event


def get_log(**bound: object) -> Log:
    """Return a logger that adds ``bound`` to each line."""
    log: Log = structlog.get_logger(**bound)
    return log
