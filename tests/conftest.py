"""Fixtures that all tests share: real raw data, a real broker, real builders."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uv

from datamill_producer.rabbitmq import (
    Installation,
    NoRabbitMQ,
    PrivateNode,
    ensure_installation,
)
from tests.support.builder import BuilderProcess
from tests.support.listener import PlainClient

# Tests start many processes of ours: without cached bytecode each would compile everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

REPOSITORY = Path(__file__).resolve().parents[1]
VERSION_SETTING = "DATAMILL_TEST_RABBITMQ_VERSION"
"""The version of RabbitMQ that the run is for, where it is for a certain one."""
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real raw data, which is no part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data: real raw data, which is no part of the repository")
    return SHARED_DATA


@pytest.fixture(scope="session")
def installation() -> Installation:
    """The RabbitMQ server that all nodes of the run are made of."""
    try:
        return ensure_installation(log=print)
    except NoRabbitMQ as error:
        if os.environ.get("CI") or os.environ.get(VERSION_SETTING):
            raise
        pytest.skip(f"needs RabbitMQ: {error}")


@pytest.fixture(scope="session")
def node(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateNode]:
    """One RabbitMQ node for the whole run, of the version that the run is for."""
    with PrivateNode(tmp_path_factory.mktemp("node"), installation) as running:
        # `make test-brokers` would otherwise show nothing where it got the wrong server.
        assert running.version() == os.environ.get(VERSION_SETTING, running.version())
        yield running


@pytest.fixture
def broker_url(node: PrivateNode) -> Iterator[str]:
    """A virtual host of the test's own."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    url = node.add_vhost(name)
    yield url
    node.delete_vhost(name)


@pytest.fixture(scope="session")
def shipped_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of the handlers that ship with Datamill."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [uv.find_uv_bin(), "build", "--quiet", "--wheel", "--no-build-isolation"]
    subprocess.run([*build, "--out-dir", str(folder), str(REPOSITORY / "handlers")], check=True)
    return folder


@pytest.fixture
def start_builder(tmp_path: Path, broker_url: str) -> Iterator[Callable[..., BuilderProcess]]:
    """Start builders; settings are given as DATAMILL_… names. All are ended with the test."""
    started: list[BuilderProcess] = []

    def start(home: Path | None = None, **settings: Any) -> BuilderProcess:
        settings = {"broker_url": broker_url, **settings}
        builder = BuilderProcess(home or tmp_path / "home", **settings).start()
        started.append(builder)
        return builder

    yield start
    for builder in started:
        builder.stop()


@pytest.fixture
def client(
    broker_url: str, start_builder: Callable[..., BuilderProcess]
) -> Iterator[Callable[[], PlainClient]]:
    """Connect plain clients; call it after a builder has started."""
    connected: list[PlainClient] = []

    def connect() -> PlainClient:
        connected.append(PlainClient(broker_url))
        return connected[-1]

    yield connect
    for one in connected:
        one.close()
