"""Places: no more than there are, none after the end, and one that was left early is free."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from datamill_builder.places import Places

PATIENCE_SECS = 20.0


def test_no_more_are_taken_than_there_are() -> None:
    places, lock = Places(2), threading.Lock()
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            with places.one() as place:
                assert place is not None
                with lock:
                    inside.append(number)
                    most.append(len(inside))
                with lock:
                    inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert 1 <= max(most) <= 2


def test_a_place_that_was_left_early_is_taken_by_the_next() -> None:
    places, taken = Places(1), threading.Event()

    def next_one() -> None:
        with places.one() as place:
            assert place is not None
            taken.set()

    thread = threading.Thread(target=next_one, daemon=True)
    with places.one() as mine:
        assert mine is not None
        thread.start()
        assert not taken.wait(0.2)
        mine.leave()
        assert taken.wait(PATIENCE_SECS)
    thread.join(PATIENCE_SECS)
    # Left once, however often it is said: one place is free now, not two.
    with places.one() as one:
        assert one is not None
        blocked = threading.Thread(target=next_one, daemon=True)
        taken.clear()
        blocked.start()
        assert not taken.wait(0.2)
    assert taken.wait(PATIENCE_SECS)


def test_who_waits_for_a_place_is_let_go_at_the_end() -> None:
    places, got = Places(1), []

    def waiting() -> None:
        with places.one() as place:
            got.append(place)

    with places.one():
        thread = threading.Thread(target=waiting, daemon=True)
        thread.start()
        places.stop()
        thread.join(PATIENCE_SECS)
    assert got == [None]
    with places.one() as late:
        assert late is None
