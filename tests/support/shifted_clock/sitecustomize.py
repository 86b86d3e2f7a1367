"""Loaded by any Python that finds it on its path: its wall clock is off by what a file says.

The monotonic clock and the times of files stay as they are, as when a machine's clock is set.
"""

import os
import time
from pathlib import Path

_file = Path(os.environ["DATAMILL_TEST_CLOCK"])
_time, _time_ns = time.time, time.time_ns
_gmtime, _localtime = time.gmtime, time.localtime


def _shift_secs() -> float:
    return float(_file.read_text())


time.time = lambda: _time() + _shift_secs()
time.time_ns = lambda: _time_ns() + int(_shift_secs() * 1e9)
time.gmtime = lambda secs=None: _gmtime(time.time() if secs is None else secs)
time.localtime = lambda secs=None: _localtime(time.time() if secs is None else secs)
