"""The one terminal that all parts write their log lines to."""

from __future__ import annotations

import io
import re
import sys
import threading
from datetime import datetime
from typing import TextIO

_COLOURS = {"up": "1", "broker": "35", "builder": "32", "notifier": "36"}
"""SGR codes (ECMA-48): bold, magenta, green, cyan."""
_LOG_LINE = re.compile(r"(?P<time>\d\d:\d\d:\d\d) (?P<part>\w+)(?P<rest>\s.*)", re.DOTALL)


class Console:
    """Writes whole lines; any thread may."""

    def __init__(self, stream: TextIO, *, coloured: bool, as_json: bool = False) -> None:
        self._stream = stream
        self._coloured = coloured
        self._as_json = as_json
        self._guard = threading.Lock()

    def show(self, part: str, line: str) -> None:
        """Write a line of a part; one that is no log line is made to look like one."""
        text = line if self._as_json else self._dressed(part, line)
        with self._guard:
            try:
                print(text, file=self._stream, flush=True)
            except (OSError, ValueError):
                # The terminal is gone: nobody reads this, and the services don't need it.
                self._stream = io.StringIO()

    def _dressed(self, part: str, line: str) -> str:
        found = _LOG_LINE.fullmatch(line)
        if found is None:
            moment = datetime.now().strftime("%H:%M:%S")
            found = _LOG_LINE.fullmatch(f"{moment} {part:<9} {line}")
        if found is None or not self._coloured:
            return found[0] if found else line
        colour = _COLOURS.get(part, "0")
        return f"{found['time']} \x1b[{colour}m{found['part']}\x1b[0m{found['rest']}"


class ConsoleStream(io.TextIOBase):
    """What `logging` writes this process's own lines to."""

    def __init__(self, console: Console, part: str) -> None:
        self._console = console
        self._part = part

    def write(self, text: str) -> int:
        """Show the lines of one log record."""
        for line in text.splitlines():
            self._console.show(self._part, line)
        return len(text)


def has_colours(stream: TextIO, no_color: str | None) -> bool:
    """Return whether to use colours; `no_color` is what the environment's NO_COLOR says."""
    return stream.isatty() and not no_color and sys.platform != "win32"
