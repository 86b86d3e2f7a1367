"""The moves between states: the tables are whole, and nothing else writes a state."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import pytest

import datamill_builder
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.moves import ImpossibleTransition, move
from datamill_builder.catalog.schema import builds
from datamill_builder.catalog.states import (
    BUILD_MOVES,
    DATASET_MOVES,
    HOOK_CALL_MOVES,
    TASK_MOVES,
    BuildState,
    DatasetState,
    HookCallState,
    TaskState,
)
from tests.unit.builder.catalog.moves import ALLOWED

PACKAGE = Path(datamill_builder.__file__).parent
BORN_IN = {"accept_new", "resolved", "ensure", "add_many", "call_hooks"}
"""The functions that insert rows, in their first state."""


@pytest.mark.parametrize(
    ("name", "moves", "states"),
    [
        ("tasks", TASK_MOVES, TaskState),
        ("datasets", DATASET_MOVES, DatasetState),
        ("builds", BUILD_MOVES, BuildState),
        ("hook_calls", HOOK_CALL_MOVES, HookCallState),
    ],
)
def test_every_state_has_its_moves(
    name: str, moves: Mapping[StrEnum, frozenset[StrEnum]], states: type[StrEnum]
) -> None:
    assert set(moves) == set(states)
    assert {origin: set(to) for origin, to in moves.items()} == ALLOWED[name]


def test_a_move_that_is_in_no_table_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ImpossibleTransition, match="evicted → ready"), catalog.write() as change:
        move(change, builds, BuildState.EVICTED, BuildState.READY, builds.c.epoch == 1)


def test_one_place_writes_over_a_state() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in _writes(ast.parse(path.read_text()))
    ]
    assert [place.split(":")[0] for place in found] == ["catalog/moves.py"], found


def test_a_bare_write_would_be_seen() -> None:
    source = """
def accept_new(change):
    insert(change, {"state": "resolving"})

def bare(change):
    change.execute(update(builds).values(state="ready"))
    change.execute(update(builds).values({builds.c.state: "ready"}))
    change.execute(update(builds).values({"state": "ready"}))
    change.execute(update(builds).values(**{"state": "ready"}))
    change.execute(text("UPDATE builds SET state = 'ready'"))
"""
    assert sorted(_writes(ast.parse(source))) == [6, 7, 8, 9, 10]


def _writes(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that give the column `state` a value, but for rows that are born."""
    born = {
        inner
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name in BORN_IN
        for inner in ast.walk(function)
        if isinstance(inner, ast.Dict)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="values"), keywords=given):
                yield from (word.value.lineno for word in given if word.arg == "state")
            case ast.Dict(keys=keys) if node not in born:
                yield from (key.lineno for key in keys if key is not None and _is_state(key))
            case ast.Constant(value=str(words)) if "SET state" in words:
                yield node.lineno


def _is_state(key: ast.expr) -> bool:
    match key:
        case ast.Constant(value="state") | ast.Attribute(attr="state"):
            return True
    return False
