"""Log lines of the services: text for people on a terminal, JSON for machines, no passwords.

A line names the dataset that it is about. Who works for one says so once, `with About(id)`: then
every line does that is written inside, by whomever; or for one line, with
`extra={"dataset_id": id}`. What is done for all ids that mean one content names the first that was
asked for (one whose request belongs to a trace before others), and the content key. Where the work
belongs to a trace, lines name that too.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from datamill import tracing

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from structlog.typing import Processor

    from datamill.settings import Settings

    Line = MutableMapping[str, Any]

DATASET_ID = "dataset_id"
"""The name of the `extra` that carries the dataset id."""

CONTENT_KEY = "content_key"
"""The name of the `extra` that carries the content key."""

_TRACE_ID = "trace_id"
_OURS = ("event", "part", "record", DATASET_ID, CONTENT_KEY, _TRACE_ID, "exception", "stack")
_SHOWN_OF_ID = 12
_PART_WIDTH = 9  # the longest part is `notifier`
_PASSWORD = re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)", re.IGNORECASE)
_LIBRARIES = ("aiohttp", "asyncio", "filelock", "sqlalchemy", "urllib3")

_about: ContextVar[tuple[str | None, str | None]] = ContextVar("about", default=(None, None))
"""Dataset id and content key."""


class About:
    """In a `with`: what is done, and logged, is done for a dataset.

    `content_key`: where it is done for all that mean the same content.
    """

    def __init__(self, dataset_id: str | None, content_key: str | None = None) -> None:
        self._about = dataset_id, content_key

    def __enter__(self) -> None:
        self._token: Token[tuple[str | None, str | None]] = _about.set(self._about)

    def __exit__(self, *_error: object) -> None:
        _about.reset(self._token)


def about() -> str | None:
    """Return the dataset that something is being done for."""
    return _about.get()[0]


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
    # Commands that are no service write no such lines, and should not wait for this.
    import structlog

    text = log_format == "text" or (log_format == "auto" and stream.isatty())
    ours: list[Processor] = [
        _add_origin(part),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
    ]
    # What a library logs with structlog itself comes out the same way.
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return structlog.stdlib.ProcessorFormatter(
        processors=[*ours, _as_text if text else _as_json],
        use_get_message=True,
    )


def _add_origin(part: str) -> Processor:
    """Return what adds to a line which part wrote it, and what for."""

    def add(_logger: object, _method: str, line: Line) -> Line:
        record = line.pop("_record")
        line.pop("_from_structlog")
        line["part"], line["record"] = part, record
        for name, value in zip((DATASET_ID, CONTENT_KEY), _about.get(), strict=True):
            line[name] = getattr(record, name, None) or line.get(name) or value
        context = tracing.here()
        line[_TRACE_ID] = context.trace_id if context else None
        return line

    return add


def _as_text(_logger: object, _method: str, line: Line) -> str:
    """`12:01:02 notifier  …`, local time; the level is said from WARNING on."""
    record = line["record"]
    moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
    level = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
    said = [str(line["event"])]
    said += [f"{name}={value}" for name, value in _fields(line).items()]
    if dataset_id := line[DATASET_ID]:
        said.append(f"[{dataset_id[:_SHOWN_OF_ID]}]")
    if trace_id := line[_TRACE_ID]:
        said.append(f"[trace {trace_id}]")
    text = f"{moment} {line['part']:<{_PART_WIDTH}} {level}{' '.join(said)}"
    return without_passwords("\n".join([text, *_traceback(line)]))


def _as_json(_logger: object, _method: str, line: Line) -> str:
    """A JSON object per line: time (RFC 3339, UTC), level, part, logger, message."""
    record = line["record"]
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    document: dict[str, Any] = {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "part": line["part"],
        "logger": record.name,
        "message": without_passwords(str(line["event"])),
    }
    document |= {name: line[name] for name in (DATASET_ID, CONTENT_KEY, _TRACE_ID) if line[name]}
    document |= _fields(line)
    if trace := _traceback(line):
        document["traceback"] = without_passwords("\n".join(trace))
    return json.dumps(document, ensure_ascii=False)


def _fields(line: Line) -> dict[str, str]:
    """Return what a library gave to structlog beside the message."""
    given = {name: line[name] for name in line if name not in _OURS}
    return {name: without_passwords(str(value)) for name, value in given.items()}


def _traceback(line: Line) -> list[str]:
    return [line["exception"]] if line.get("exception") else []
