"""What aiohttp has to say, with a line where it would write a traceback for anybody's garbage."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger

from datamill.errors import first_line


def server_log() -> logging.Logger:
    """Return the logger to give to aiohttp's server."""
    if not any(isinstance(each, _OneLine) for each in server_logger.filters):
        server_logger.addFilter(_OneLine())
    return server_logger


class _OneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.levelno, record.levelname = logging.INFO, "INFO"
            record.msg, record.args = "a client does not speak HTTP: %s", (first_line(error),)
            record.exc_info = None
        return True
