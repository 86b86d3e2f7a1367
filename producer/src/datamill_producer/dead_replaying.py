"""Publishing dead letters again, and what becomes of the requests among them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

from datamill.session import REPEAT_SECS, Session
from datamill.tracker import Tracker
from datamill_producer.dead_letters import DeadLetter, DeadLetters
from datamill_producer.dead_log import DeadLog

HELD_SECS = 1500.0
"""So long letters may be held: a broker takes back after 30 minutes what was not acknowledged."""


def publish_letters(
    letters: DeadLetters,
    found: Sequence[DeadLetter],
    log: DeadLog,
    per_sec: float | None = None,
    session: Session | None = None,
) -> Iterator[tuple[DeadLetter, Tracker | None]]:
    """Publish letters as they were at first; yield each, with what gets its answer.

    A tracker is there where `session` is given and the letter is a request. `per_sec` limits how
    many go in a second.
    """
    started = time.monotonic()
    for count, letter in enumerate(found):
        if per_sec is not None:
            letters.pause(max(0.0, started + count / per_sec - time.monotonic()))
        tracker = None
        if session is not None and (request := letter.request) is not None:
            tracker = Tracker(request.dataset_id, request)
            tracker.message_id = letter.message_id or tracker.message_id
            session.watch(tracker)
        # First, since a letter may be sent and not be struck out: twice is seen, never is not.
        log.write(letter, "replayed")
        letters.replay(letter)
        yield letter, tracker


def await_answer_of(session: Session, tracker: Tracker, deadline: float | None) -> None:
    """Return when a letter's tracker has its answer, or `deadline` (monotonic clock) is there.

    An event may have been missed: the request is made again now and then, as the same one.
    """
    asked = False
    while not tracker.settled:
        left = math.inf if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        tracker.wait_until(lambda: tracker.settled, min(left, REPEAT_SECS))
        if not (tracker.settled or asked) and left > REPEAT_SECS:
            session.ask(tracker)  # which repeats it from here on
            asked = True
