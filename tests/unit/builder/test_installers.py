"""Turns at making environments: who gets none waits without a thread."""

from __future__ import annotations

import pytest

from datamill_builder.catalog.states import TaskKind
from datamill_builder.installers import Installers, NoTurn, Task

ONE, TWO, THREE = ((TaskKind.RESOLVE, name) for name in ("one", "two", "three"))


def test_who_needs_no_turn_never_waits() -> None:
    installers = Installers(1, [].append)
    with installers.turn(needed=True), installers.turn(needed=False):
        pass


def test_there_are_so_many_turns_and_no_more() -> None:
    installers = Installers(2, [].append)
    turn = installers.turn
    with turn(needed=True), turn(needed=True), pytest.raises(NoTurn), turn(needed=True):
        pytest.fail("a third turn of two")
    with installers.turn(needed=True):
        pass


def test_the_line_is_called_in_order_one_per_turn() -> None:
    called: list[Task] = []
    installers = Installers(1, called.append)
    with installers.turn(needed=True):
        for work in (ONE, TWO, ONE, THREE):
            installers.line_up(work)
        assert called == []
    assert called == [ONE]
    for _ in range(3):
        with installers.turn(needed=True):
            pass
    assert called == [ONE, TWO, THREE], "what stands in line twice is called once"


def test_work_that_fails_gives_its_turn_back() -> None:
    called: list[Task] = []
    installers = Installers(1, called.append)
    with pytest.raises(OSError, match="no index"), installers.turn(needed=True):
        installers.line_up(TWO)
        raise OSError("no index")
    assert called == [TWO]


def test_who_lines_up_after_the_last_turn_has_ended_is_called_at_once() -> None:
    called: list[Task] = []
    Installers(1, called.append).line_up(ONE)
    assert called == [ONE]
