"""Turns at making environments: who gets none waits without a thread."""

from __future__ import annotations

import pytest

from datamill_builder.catalog.states import TaskKind
from datamill_builder.installers import Installers, NoTurn, Task

ONE, TWO, THREE = ((TaskKind.RESOLVE, name) for name in ("one", "two", "three"))


def test_who_needs_no_turn_never_waits() -> None:
    installers = Installers(1, [].append)
    with installers.turn("a", needed=True), installers.turn("b", needed=False):
        pass


def test_there_are_so_many_turns_and_no_more() -> None:
    installers = Installers(2, [].append)
    turn = installers.turn
    with (
        turn("a", needed=True),
        turn("b", needed=True),
        pytest.raises(NoTurn),
        turn("c", needed=True),
    ):
        pytest.fail("a third turn of two")
    with turn("c", needed=True):
        pass


def test_an_environment_is_made_in_one_turn_and_keeps_the_others_free() -> None:
    called: list[Task] = []
    installers = Installers(2, called.append)
    with installers.turn("slow", needed=True):
        with pytest.raises(NoTurn) as wait, installers.turn("slow", needed=True):
            pytest.fail("a second turn for one environment")
        installers.line_up(ONE, wait.value.environment)
        installers.line_up(TWO, "quick")
        assert called == [TWO], "who needs another one is called past those who wait"
        with installers.turn("quick", needed=True):
            pass
        assert called == [TWO]
    assert called == [TWO, ONE]


def test_who_was_called_and_failed_leaves_its_turn_to_the_next() -> None:
    called: list[Task] = []
    installers = Installers(1, called.append)
    with installers.turn("a", needed=True):
        installers.line_up(ONE, "a")
        installers.line_up(TWO, "a")
    with pytest.raises(OSError, match="refused"), installers.turn("a", needed=False):
        raise OSError("refused")
    assert called == [ONE, TWO]
    installers.line_up(THREE, "b")
    installers.call_next()
    assert called == [ONE, TWO, THREE]


def test_the_line_is_called_in_order_one_per_turn() -> None:
    called: list[Task] = []
    installers = Installers(1, called.append)
    with installers.turn("a", needed=True):
        for work in (ONE, TWO, ONE, THREE):
            installers.line_up(work, "b")
        assert called == []
    assert called == [ONE]
    for _ in range(3):
        with installers.turn("b", needed=True):
            pass
    assert called == [ONE, TWO, THREE], "what stands in line twice is called once"


def test_work_that_fails_gives_its_turn_back() -> None:
    called: list[Task] = []
    installers = Installers(1, called.append)
    with pytest.raises(OSError, match="no index"), installers.turn("a", needed=True):
        installers.line_up(TWO, "b")
        raise OSError("no index")
    assert called == [TWO]


def test_who_lines_up_after_the_last_turn_has_ended_is_called_at_once() -> None:
    called: list[Task] = []
    Installers(1, called.append).line_up(ONE, "a")
    assert called == [ONE]
