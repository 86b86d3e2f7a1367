"""Which shards a builder takes whose machine lacks the environment of some."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datamill.settings import Settings
from datamill_builder import shard_claims
from datamill_builder.attempts import PutOff
from datamill_builder.catalog import Catalog, PatientChanges, tasks
from datamill_builder.handlers.environments import Environment, EnvironmentFailed
from datamill_builder.shard_claims import ShardClaims
from datamill_builder.workbench import Workbench
from tests.unit.builder.life import KEY, Life, request
from tests.unit.builder.waiting import until

OTHER = "d" * 64


def environment(name: str) -> Environment:
    return Environment(name, name, "1.0.0", f"{name}:X", f"{name}.whl", "e" * 64, "here", name)


class Machine:
    """What environments there are here; a real one takes minutes to make."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.broken: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.begun: list[str] = []

    def is_made(self, wanted: Environment) -> bool:
        return wanted.package in self.made

    def python(self, wanted: Environment) -> Path:
        self.begun.append(wanted.package)
        assert self.go_on.wait(20)
        if wanted.package in self.broken:
            raise EnvironmentFailed("no compiler")
        self.made.add(wanted.package)
        return Path("python")


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def claims(catalog: Catalog, tmp_path: Path, machine: Machine) -> Iterator[ShardClaims]:
    nothing: Any = None
    settings = Settings(home=tmp_path, workers=2)
    bench = Workbench(settings, catalog, PatientChanges(catalog), nothing, nothing, nothing)
    made: Any = machine
    claims = ShardClaims("me", bench, made)
    yield claims
    machine.go_on.set()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are over at once."""
    monkeypatch.setattr(shard_claims, "_FIRST_PAUSE_SECS", 0.0)
    monkeypatch.setattr(shard_claims, "_GIVE_BACK_SECS", 0.0)


def test_what_can_be_made_is_made_and_then_worked_on(
    claims: ShardClaims, life: Life, machine: Machine
) -> None:
    life.building(request(), shards=2)
    with pytest.raises(PutOff):
        claims.demand(KEY, environment("a"))
    claims.make_missing(KEY)
    claims.demand(KEY, environment("a"))
    assert claims.take() is not None
    assert machine.begun == ["a"]


def test_while_it_is_made_others_go_on_and_tickets_go_back(
    claims: ShardClaims, life: Life, machine: Machine, soon: None
) -> None:
    life.building(request(number=1), KEY, shards=2)
    life.building(request(number=2), OTHER, shards=1)
    with pytest.raises(PutOff):
        claims.demand(KEY, environment("a"))
    machine.go_on.clear()
    making = threading.Thread(target=claims.make_missing, args=[KEY])
    making.start()
    until(lambda: machine.begun == ["a"])
    claim = claims.take()
    assert claim is not None and claim.subject == OTHER
    life.forget_told()
    assert claims.take() is None
    assert life.woken() == [("shard", KEY, 0)], "somebody else may make it now"
    claims.stop()
    assert claims.take() is None
    assert life.woken() == [("shard", KEY, 0)], "the last ticket is not lost either"
    machine.go_on.set()
    making.join(20)
    claim = claims.take()
    assert claim is not None and claim.subject == KEY


def test_what_somebody_else_here_has_made_is_not_passed_over_any_more(
    claims: ShardClaims, life: Life, machine: Machine, soon: None
) -> None:
    """All turns may be taken by environments that take longer."""
    life.building(request(), shards=1)
    machine.go_on.clear()
    with pytest.raises(PutOff):
        claims.demand(OTHER, environment("slow"))
    making = threading.Thread(target=claims.make_missing, args=[OTHER])
    making.start()
    until(lambda: machine.begun == ["slow"])
    with pytest.raises(PutOff):
        claims.demand(KEY, environment("a"))
    claims.make_missing(KEY)
    assert claims.take() is None, "no turn"
    machine.made.add("a")
    claim = claims.take()
    assert claim is not None and claim.subject == KEY
    machine.go_on.set()
    making.join(20)


def test_a_machine_that_can_not_make_it_leaves_it_to_those_who_can(
    claims: ShardClaims, life: Life, machine: Machine, soon: None
) -> None:
    life.building(request(), shards=100)
    machine.broken.add("a")
    for number in range(20):
        with pytest.raises(PutOff):
            claims.demand(KEY, environment("a"))
        claims.make_missing(KEY)
        life.shard(number)  # by somebody else
    assert len(machine.begun) == 20


def test_what_nobody_can_make_is_tried_for_good_in_the_end(
    claims: ShardClaims, life: Life, machine: Machine, soon: None
) -> None:
    life.building(request(), shards=2)
    machine.broken.add("a")
    for _ in range(shard_claims._TRIALS):
        with pytest.raises(PutOff):
            claims.demand(KEY, environment("a"))
        claims.make_missing(KEY)
    claims.demand(KEY, environment("a"))  # its making is a part of the attempt now, and its error


def test_pauses_between_trials_grow(
    claims: ShardClaims, life: Life, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_claims, "_GIVE_BACK_SECS", 0.0)
    now = [1000.0]
    monkeypatch.setattr(shard_claims.time, "monotonic", lambda: now[0])
    life.building(request(), shards=2)
    machine.broken.add("a")
    pauses = []
    for _ in range(4):
        with pytest.raises(PutOff):
            claims.demand(KEY, environment("a"))
        claims.make_missing(KEY)
        began = now[0]
        while (claim := claims.take()) is None:
            now[0] += 1.0
        pauses.append(now[0] - began)
        with life.catalog.write() as change:
            tasks.hand_back(change, claim)
    assert pauses == [4.0, 8.0, 16.0, 32.0]
