"""Structured logs that cannot carry keys or patients.

Every record, also those of libraries that use the standard `logging`, passes `redact` before it is
written: only numbers, short text, paths and enumerations get through. What people may not see here
is patient data (reports, images) and whatever opens an update (keys, seeds of openers, tokens).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, TextIO

import structlog

MAX_TEXT: Final = 500
"""Longer texts are cut: a log line is no place for a report or a payload."""

REDACTED: Final = "<redacted>"

_SECRET_KEY: Final = re.compile(
    r"secret|passw|passphrase|private|credential|token(?!s|izer)|api_?key|(^|_)pin$"
    r"|(signing|sealing?|hpke|tls|session|encryption|ckks|wrap(ping)?)_?key|^key$",
    re.IGNORECASE,
)
_PUBLIC_KEY: Final = re.compile(r"public|epoch|hash|digest|count|maker|fingerprint", re.IGNORECASE)
_PATIENT_KEY: Final = re.compile(
    r"^(report|reports|findings|impression|indication|text|note|prompt|generated|reference|image"
    r"|images|pixels|patient(_?(id|name))?|record_id|study_id|birth.*|accession.*)$",
    re.IGNORECASE,
)
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?(-----END \1-----|\Z)", re.DOTALL)
_LEVELS: Final = ("debug", "info", "warning", "error")


def configure_logging(
    *,
    level: str = "info",
    as_json: bool = True,
    file: Path | None = None,
    stream: TextIO | None = None,
    **always: str,
) -> None:
    """Send this process's logs to stderr, or to a file that is appended to.

    Args:
        level: debug, info, warning or error.
        as_json: one JSON object a line; else plain lines for people.
        file: where to append instead of stderr.
        stream: another text stream instead of stderr.
        always: fields of every record, e.g. ``party="spain"``.

    Raises:
        ValueError: an unknown level.
        OSError: the file cannot be opened.
    """
    if level not in _LEVELS:
        raise ValueError(f"level must be one of {', '.join(_LEVELS)}, got {level!r}")
    handler: logging.Handler
    handler = logging.FileHandler(file) if file else logging.StreamHandler(stream or sys.stderr)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
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
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**always)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger: ``get_logger(__name__).info("round closed", round=3, sites=4)``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the event with everything secret, personal or opaque replaced.

    Guarantee:
        The result holds text of at most `MAX_TEXT` characters, numbers, truth values and lists and
        mappings of these; no bytes, no PEM block, no value of a key that names a secret or a
        patient's data.

    Assumes:
        A secret or a patient's words are not pasted into the message itself; the messages of this
        package's errors hold neither.
    """
    return {str(key): _clean(str(key), value) for key, value in event.items()}


def _clean(key: str, value: object) -> object:
    if _SECRET_KEY.search(key) and not _PUBLIC_KEY.search(key) and not _is_plain_number(value):
        return REDACTED
    if _PATIENT_KEY.search(key) and not _is_plain_number(value):
        return REDACTED
    if isinstance(value, Enum):
        return _clean(key, value.value)
    if isinstance(value, str | Path):
        return _clean_text(str(value))
    if value is None or _is_plain_number(value):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return {str(inner): _clean(str(inner), each) for inner, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", each) for each in value]
    if isinstance(value, BaseException):
        return _clean_text(f"{type(value).__name__}: {value}")
    return f"<{type(value).__name__}>"


def _is_plain_number(value: object) -> bool:
    return isinstance(value, bool | int | float)


def _clean_text(text: str) -> str:
    text = _PEM.sub(lambda found: f"<{found[1].lower()}>", text)
    limit = MAX_TEXT if "Traceback (most recent call last)" not in text else 20 * MAX_TEXT
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
