"""Failpoints: named lines at which a fault test ends, pauses or slows what reaches them.

Nothing but a look into the environment, unless `DATAMILL_FAILPOINT` is set:

    DATAMILL_FAILPOINT=intake.committed            killed as by a power cut
    DATAMILL_FAILPOINT=shard.kept:stop             paused (SIGSTOP) until somebody sends SIGCONT
    DATAMILL_FAILPOINT=pack.entry:rest             this thread alone rests for a moment
    DATAMILL_FAILPOINT=shard.written@3,pack.half   at the third time; more than one point
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter

VARIABLE = "DATAMILL_FAILPOINT"

_POINT = re.compile(r"(?P<name>[a-z_.]+)(:(?P<action>kill|stop|rest))?(@(?P<time>[0-9]+))?")
_REST_SECS = 0.3
"""Long enough for what other threads have under way: nothing outside can see when that is over."""
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_lock = threading.Lock()
_reached: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """End or pause this process here, if the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if wanted:
        _reach(name, wanted)


def _reach(name: str, wanted: str) -> None:
    with _lock:
        _reached[name] += 1
        times = _reached[name]
    for word in wanted.split(","):
        point = _POINT.fullmatch(word.strip())
        if point is None:
            raise ValueError(
                f"{VARIABLE}: {word!r} is no failpoint: name[:kill|:stop|:rest][@time]"
            )
        if point["name"] == name and times == int(point["time"] or 1):
            if point["action"] == "rest":
                time.sleep(_REST_SECS)
                continue
            # To this very thread: one sent to the process may find another, and this one goes on.
            signal.pthread_kill(threading.get_ident(), _SIGNALS[point["action"] or "kill"])
