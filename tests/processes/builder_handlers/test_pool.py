"""Lending handler processes, and ending them all."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from datamill_builder.handlers.environments import Environment
from datamill_builder.handlers.pool import HandlerPool, Opening
from datamill_builder.handlers.process import HandlerStopped
from datamill_builder.store import Store
from tests.unit.builder.waiting import until

ENVIRONMENT = Environment("slow", "slow", "1", "slow:Slow", "slow.whl", "d" * 64, "here", "# py\n")


class Made:
    """An environment that is made already, as the pool sees it."""

    def __init__(self, python: Path) -> None:
        self._python = python

    def python(self, _environment: Environment) -> Path:
        return self._python


@pytest.fixture
def pool(handler_python: Path, raw_root: Path, tmp_path: Path) -> HandlerPool:
    environments: Any = Made(handler_python)
    return HandlerPool(environments, raw_root, Store(tmp_path / "store"), 2, 60.0)


def opening(kind: str) -> Opening:
    environment = Environment(**{**ENVIRONMENT.__dict__, "entry_point": f"trouble:{kind}"})
    return Opening(environment, "trouble", {}, None)


def test_a_handler_that_is_being_opened_ends_with_the_pool(
    pool: HandlerPool, raw_root: Path
) -> None:
    """One whose import takes minutes must not hold up a builder that stops."""
    ended: list[BaseException] = []

    def lend() -> None:
        try:
            with pool.lend(opening("Slow")):
                raise AssertionError("it was lent")
        except HandlerStopped as stopped:
            ended.append(stopped)

    thread = threading.Thread(target=lend)
    thread.start()
    until((raw_root / "trouble" / "opening").exists)
    pool.stop_all()
    thread.join(10)
    assert not thread.is_alive()
    assert len(ended) == 1


def test_nothing_is_opened_once_all_were_ended(pool: HandlerPool) -> None:
    with pool.lend(opening("Trouble")) as opened:
        assert opened.info["mode"] == "sharded"
    pool.stop_all()
    with pytest.raises(HandlerStopped), pool.lend(opening("Trouble")):
        pytest.fail("it was lent")
