"""Log lines: readable on a terminal, one JSON object a line elsewhere, never with a secret.

Everything goes through structlog, also what libraries send to the standard library's logging.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

MASK = "***"
SECRET_NAMES = re.compile(r"password|secret|token|api_?key|authorization|cookie|credential", re.IGNORECASE)
URL_PASSWORD = re.compile(r"(\w+://[^:/@\s]*:)[^\s]+@")
"""Up to the last ``@``: a password may hold slashes and at signs, though it should not."""
URL_PARAMETER = re.compile(r"([?&]\w*(?:password|secret|token|api_?key)\w*=)[^&\s'\"]+", re.IGNORECASE)
BEARER = re.compile(r"(bearer\s+)[\w.~+/=-]+", re.IGNORECASE)
NOISY = ("aiokafka", "faust", "mode", "uvicorn", "kafka", "asyncio", "clickhouse_connect")
"""Libraries of which only warnings are told, unless everything is asked for (level debug)."""
TELLTALE = ("httpx", "httpcore")
"""Libraries of which only warnings are told at any level: they tell of URLs, and a webhook's may be its secret."""
WORDY = ("numba",)
"""Of which neither more is told: with every step of its compiler a start takes minutes and a hundred megabytes."""


def configure(level: str, *, to: Path | None = None) -> None:
    """Set logging up for this process: ``level`` debug to error, to standard error or to the end of a file."""
    stream: TextIO = sys.stderr if to is None else to.open("a", encoding="utf-8")
    handler = logging.StreamHandler(stream)
    handler.addFilter(_is_worth_a_line)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    for name in (*TELLTALE, *WORDY):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leave out that each of Faust's services starts and stops, which it tells in the name of our modules."""
    return record.levelno != logging.INFO or not str(record.msg).startswith("[^")


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values under telling names, passwords in URLs and bearer tokens in any text (a structlog processor)."""
    for name, value in event.items():
        if SECRET_NAMES.search(name):
            event[name] = MASK
        else:
            event[name] = _masked(value)
    return event


def _masked(value: Any) -> Any:
    """Return a text, or a list of texts, without its secrets; anything else as it is."""
    if isinstance(value, list | tuple):
        return [_masked(one) for one in value]
    if not isinstance(value, str):
        return value
    text = URL_PARAMETER.sub(rf"\g<1>{MASK}", URL_PASSWORD.sub(rf"\g<1>{MASK}@", value))
    return BEARER.sub(rf"\g<1>{MASK}", text)
