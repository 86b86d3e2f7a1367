"""What takes long is found out by one at a time, and kept."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from datamill_notifier.live import kept
from datamill_notifier.live.kept import Kept
from tests.support.eventually import eventually


def test_it_is_found_once_and_kept() -> None:
    found: list[int] = []
    value = Kept(lambda: found.append(1) or len(found))
    assert [value.get() for _ in range(5)] == [1] * 5


def test_it_is_found_anew_when_it_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_LEAST_SECS", 0.0)
    found: list[int] = []
    value = Kept(lambda: found.append(1) or len(found))
    assert value.get() == 1
    eventually(lambda: value.get() > 1)


def test_the_longer_it_takes_the_longer_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_LEAST_SECS", 0.0)
    moments = iter([100.0, 102.0])  # two seconds: kept for forty
    found: list[int] = []
    value = Kept(lambda: found.append(1) or len(found))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    assert value.get() == 1
    monkeypatch.setattr(time, "monotonic", lambda: 141.0)
    assert value.get() == 1
    monkeypatch.setattr(time, "monotonic", lambda: 142.5)
    assert value.get() == 2


def test_those_who_come_meanwhile_find_it_once() -> None:
    go, found = threading.Event(), list[int]()

    def find() -> int:
        found.append(1)
        assert go.wait(10)
        return len(found)

    value = Kept(find)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(value.get) for _ in range(4)]
        eventually(lambda: found)
        go.set()
        assert [each.result() for each in waiting] == [1] * 4


def test_an_error_is_not_kept() -> None:
    answers = iter([ValueError("no"), 7])

    def find() -> int:
        answer = next(answers)
        if isinstance(answer, ValueError):
            raise answer
        return answer

    value = Kept(find)
    with pytest.raises(ValueError, match="no"):
        value.get()
    assert value.get() == 7
