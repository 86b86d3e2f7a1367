"""What this process logs, as the services write it where no person looks: a JSON object a line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datamill import logs
from datamill.settings import Settings

LogLines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log_lines(tmp_path: Path) -> Iterator[LogLines]:
    """Returns the lines so far."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    logs.configure(Settings(home=tmp_path, log_format="json"), "builder", written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)  # not by the attribute: loggers remember what is enabled
