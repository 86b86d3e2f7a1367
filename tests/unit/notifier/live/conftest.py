"""What pages are made from: a real catalog and store, without a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from datamill_builder.catalog import Catalog
from datamill_builder.store import Store
from datamill_notifier.live.parts import live_parts
from datamill_notifier.live.progress import LatestProgress
from datamill_notifier.service import Service
from tests.support.archives import example, pack
from tests.support.catalog_steps import Steps


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def service(catalog: Catalog, tmp_path: Path) -> Service:
    """Those parts of a notifier that pages look at."""
    parts = {
        "catalog": catalog,
        "store": Store(tmp_path / "store"),
        "live": live_parts(catalog, LatestProgress(), 1000),
        "broker_connected": lambda: True,
    }
    return cast(Service, SimpleNamespace(**parts))


@pytest.fixture
def steps(service: Service) -> Callable[..., Steps]:
    """Make datasets of different content: each call takes another one to its beginning."""
    made = 0

    def make(config: dict[str, Any] | None = None, **fields: Any) -> Steps:
        nonlocal made
        made += 1
        name = fields.get("dataset_name", "toy")
        payloads = [[example(number=made, text=b"x")], [example(number=0, text=b"y")]]
        archive = pack(
            {"train": payloads},
            dataset_name=name,
            content_key=f"{made:064x}",
            extra={"preview.jpg": b"\xff\xd8 a picture \xff\xd9"},
        )
        config = {"number": made} if config is None else config
        return Steps(service.catalog, service.store, config, archive=archive, **fields)

    return make
