"""A whole service for the commands, and homes for services of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datamill_producer.rabbitmq import Installation, PrivateNode
from tests.support.toy import make_toy, write_items
from tests.support.up import UpProcess


@pytest.fixture(scope="session", autouse=True)
def rabbitmq(installation: Installation) -> None:
    """`datamill up` needs a server to start."""


def furnish(home: Path) -> Path:
    """Put the toy handler and its raw data into a home; `slow` takes a second per shard."""
    make_toy(home / "wheels")
    write_items(home / "raw", [f"item {number}" for number in range(20)])
    slow = ["sleep 1", "item", "item", "item"] * 15
    write_items(home / "raw", slow, dataset="slow")
    (home / "datamill.toml").write_text('[datasets.slow]\nhandler = "toy"\nraw = "slow"\n')
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the toy handler and its raw data."""
    return furnish(tmp_path / "home")


@pytest.fixture
def start_up(home: Path) -> Iterator[Callable[..., UpProcess]]:
    """Make services on the home; all are ended with the test."""
    made: list[UpProcess] = []

    def make(**settings: str) -> UpProcess:
        made.append(UpProcess(home, **settings))
        return made[-1]

    yield make
    for up in made:
        up.stop()


@pytest.fixture(scope="package")
def service(node: PrivateNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    """One running service for all commands; tests keep apart by their configs' prefixes."""
    home = furnish(tmp_path_factory.mktemp("service") / "home")
    up = UpProcess(home, DATAMILL_BROKER_URL=node.add_vhost("commands"))
    try:
        yield up.start()
    finally:
        up.stop()
        node.delete_vhost("commands")
