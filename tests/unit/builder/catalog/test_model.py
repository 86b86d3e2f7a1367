"""Whatever happens in whatever order, the catalog holds what a plain model says.

`DATAMILL_TEST_EXAMPLES=5000` makes a long run of it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    run_state_machine_as_test,
)

from datamill_builder.catalog import Catalog
from datamill_builder.leases import Identity
from tests.unit.builder.catalog.machine import CLASSIC, TOY, Clock, Machine
from tests.unit.builder.catalog.moves import Moves
from tests.unit.builder.catalog.parts import Parts

EXAMPLES = int(os.environ.get("DATAMILL_TEST_EXAMPLES", "25"))


@pytest.fixture
def machine(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[RuleBasedStateMachine]]:
    """The machine, over a catalog and a store of its own."""
    with tempfile.TemporaryDirectory(dir=memory) as name, Moves() as heard:
        folder = Path(name)
        owner = Identity(folder / "builders")
        played_clock = Clock()
        monkeypatch.setattr(time, "time", played_clock)
        catalog = Catalog(f"sqlite:///{folder / 'catalog.sqlite'}")
        builder = Parts(catalog, folder)
        known = {}
        for raw in (False, True):
            builder.write_raw(more=raw)
            for asked in (TOY, CLASSIC):
                known[asked.dataset_config["n"], raw] = builder.content_key(asked)

        class Placed(Machine):
            parts, keys, identity, clock, moves = builder, known, owner, played_clock, heard

        yield Placed
        catalog.close()
        owner.release()


def test_the_catalog_holds_what_the_model_says(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
