"""Log lines of the services: text for people on a terminal, JSON for machines, no passwords.

A line names its dataset where it is known: `log.info("…", extra={"dataset_id": dataset_id})`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from datamill.settings import Settings

DATASET_ID = "dataset_id"
"""The name of the `extra` that carries the dataset id."""

_SHOWN_OF_ID = 12
_PART_WIDTH = 9  # the longest part is `notifier`
_PASSWORD = re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE)
_LIBRARIES = ("aiohttp", "asyncio", "filelock", "sqlalchemy", "urllib3")


def configure(settings: Settings, part: str, stream: TextIO | None = None) -> None:
    """Send this process's log lines to `stream` (stderr by default).

    `part` names the process in each line: `builder`, `notifier`, `broker`, `up`.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(settings.log_format, part, stream))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    # Libraries tell of their insides at INFO; of trouble from WARNING on.
    least = max(root.level, logging.WARNING)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(least)


def without_passwords(text: str) -> str:
    """Return text with the password of every address in it replaced by stars."""
    return _PASSWORD.sub(r"\g<kept>***", text)


def _formatter(log_format: str, part: str, stream: TextIO) -> logging.Formatter:
    if log_format == "text" or (log_format == "auto" and stream.isatty()):
        return TextFormatter(part)
    return JsonFormatter(part)


class TextFormatter(logging.Formatter):
    """`12:01:02 notifier  …`, local time; the level is said from WARNING on."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with a traceback below it where there is one."""
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        level = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        dataset_id = getattr(record, DATASET_ID, None)
        dataset = f" [{dataset_id[:_SHOWN_OF_ID]}]" if dataset_id else ""
        line = f"{moment} {self._part:<{_PART_WIDTH}} {level}{record.getMessage()}{dataset}"
        return without_passwords("\n".join([line, *_traceback(self, record)]))


class JsonFormatter(logging.Formatter):
    """A JSON object per line: time (RFC 3339, UTC), level, part, logger, message."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "part": self._part,
            "logger": record.name,
            "message": without_passwords(record.getMessage()),
        }
        if dataset_id := getattr(record, DATASET_ID, None):
            line[DATASET_ID] = dataset_id
        if trace := _traceback(self, record):
            line["traceback"] = without_passwords("\n".join(trace))
        return json.dumps(line, ensure_ascii=False)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return [formatter.formatException(record.exc_info)] if record.exc_info else []
