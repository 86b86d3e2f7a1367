"""A wall clock that a test sets, of the processes that it starts with `environment`."""

from __future__ import annotations

import time
from pathlib import Path


class ShiftedClock:
    """Off by nothing at first."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.shift(0)
        self.environment = {
            "PYTHONPATH": str(Path(__file__).with_name("shifted_clock")),
            "DATAMILL_TEST_CLOCK": str(self._file),
        }

    def shift(self, secs: float) -> None:
        """Set it so many seconds ahead, or back if negative."""
        new = self._file.with_suffix(".new")
        new.write_text(str(secs))
        new.replace(self._file)

    def set(self, moment: float) -> None:
        """Set it to a time, in seconds since the epoch."""
        self.shift(moment - time.time())
