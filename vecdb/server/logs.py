"""Sets up what the server itself has to say (starts, reloaded keys, incidents): JSON lines or text, on one stream.

Promises: whatever looks like an API key is masked, wherever it comes from. Of an exception the log has the places and
the types, not the texts, which may quote a request.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TextIO, TypeAlias

import msgspec

from vecdb.server.log_lines import LogLines
from vecdb.server.settings import ServerConfig

KEY_SHAPE = re.compile(r"vk_([A-Za-z0-9]{1,8})_[A-Za-z0-9_\-]{8,}")
ROOT = "vecdb"

ExceptionInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def masked(text: str) -> str:
    """`text` without the secrets of API keys; their ids stay."""
    return KEY_SHAPE.sub(r"vk_\1_***", text)


class MaskingFormatter(logging.Formatter):
    """Plain text, masked."""

    converter = staticmethod(time.gmtime)

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802 - logging's name
        """The places and types of an exception and of its causes, without their texts: those may quote a request."""
        lines: list[str] = []
        error = ei[1]
        while error is not None:
            frames = "".join(traceback.format_tb(error.__traceback__))
            lines.append(f"{type(error).__module__}.{type(error).__qualname__}\n{frames}")
            error = error.__cause__ or error.__context__
        return masked("caused by ".join(lines))

    def format(self, record: logging.LogRecord) -> str:
        """One entry, with its traceback when it has one."""
        return masked(super().format(record))


class JsonFormatter(MaskingFormatter):
    """One JSON document a line, masked."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback is a text in it."""
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "event": "log",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


@contextlib.contextmanager
def logging_to(stream: TextIO | LogLines, config: ServerConfig) -> Iterator[None]:
    """Send what vecdb and gRPC log to `stream` while the block lasts."""
    handler: logging.Handler = logging.StreamHandler(stream)
    text = MaskingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if config.log_format == "json" else text)
    root = logging.getLogger(ROOT)
    level = root.level
    for name in (ROOT, "grpc"):
        logging.getLogger(name).addHandler(handler)
    root.setLevel(config.log_level.upper())
    try:
        yield
    finally:
        for name in (ROOT, "grpc"):
            logging.getLogger(name).removeHandler(handler)
        root.setLevel(level)
