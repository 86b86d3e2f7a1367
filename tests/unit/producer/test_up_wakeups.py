"""Signals to the main thread; pytest runs tests in it."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from datamill_producer.up.wakeups import STOP_SIGNALS, Wakeups


def never() -> None:
    raise AssertionError("it was not told twice")


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_to_stop_is_noted_and_wakes(number: signal.Signals) -> None:
    wakeups = Wakeups(never)
    with wakeups.installed():
        os.kill(os.getpid(), number)
        started = time.monotonic()
        wakeups.wait(10.0)
        assert time.monotonic() - started < 5.0
        assert wakeups.told_to_stop


def test_a_child_that_ends_wakes() -> None:
    wakeups = Wakeups(never)
    with wakeups.installed():
        with subprocess.Popen(["true"]):
            started = time.monotonic()
            wakeups.wait(10.0)
            assert time.monotonic() - started < 5.0
        assert not wakeups.told_to_stop


def test_the_second_one_is_impatience() -> None:
    impatient: list[bool] = []
    wakeups = Wakeups(lambda: impatient.append(True))
    with wakeups.installed():
        os.kill(os.getpid(), signal.SIGINT)
        assert impatient == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert impatient == [True]


def test_what_takes_long_is_interrupted() -> None:
    wakeups = Wakeups(never)
    with wakeups.installed(), pytest.raises(KeyboardInterrupt), wakeups.interrupting():
        os.kill(os.getpid(), signal.SIGTERM)
    assert wakeups.told_to_stop


def test_nothing_long_begins_once_told_to_stop() -> None:
    wakeups = Wakeups(never)
    with wakeups.installed():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), wakeups.interrupting():
            raise AssertionError("it began")


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGCHLD)]
    with Wakeups(never).installed():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGCHLD)] == before
