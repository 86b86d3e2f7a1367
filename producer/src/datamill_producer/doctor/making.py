"""Making checks: all at once, each for a limited time, whatever hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from datamill.checkup import Check, Found, error
from datamill.errors import DatamillError, first_line
from datamill.logs import without_passwords

LIMIT_SECS = 15.0
"""How long a check may take: an address that answers nothing takes ten seconds to give up on."""

_NO_ANSWER = error("it came to no end", "its traceback is above: that is a bug of Datamill")


@dataclass
class _Made:
    check: Check
    found: list[Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A daemon: what hangs must not keep the command from ending.
        self.thread = threading.Thread(target=self._run, name=self.check.name, daemon=True)

    def _run(self) -> None:
        try:
            for found in self.check.look():
                self.found.append(found)
        except (DatamillError, OSError) as failure:
            self.found.append(error(first_line(failure), "see the message"))


def make(
    checks: Iterable[Check], limit_secs: float = LIMIT_SECS
) -> Iterator[tuple[str, list[Found]]]:
    """Yield (name, what was found) in order, each as soon as it and those before it are done.

    No password is in what they say.
    """
    made = [_Made(check) for check in checks]
    for each in made:
        each.thread.start()
    deadline = time.monotonic() + limit_secs
    for each in made:
        each.thread.join(max(0.0, deadline - time.monotonic()))
        if each.thread.is_alive():
            each.check.give_up()
            yield each.check.name, [_took_too_long(limit_secs)]
        else:
            yield each.check.name, [_clean(found) for found in each.found] or [_NO_ANSWER]


def _took_too_long(limit_secs: float) -> Found:
    return error(
        f"no answer within {limit_secs:g} s", "something hangs: see whether its address is right"
    )


def _clean(found: Found) -> Found:
    advice = None if found.advice is None else without_passwords(found.advice)
    return Found(found.level, without_passwords(found.says), advice)
