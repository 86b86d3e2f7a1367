"""Builders on the real raw data, one after the other on a machine of few cores."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datamill_producer.rabbitmq import PrivateNode
from tests.flow.handlers.shipped import SHIPPED
from tests.support.mill import Mill


@pytest.fixture(scope="module")
def start_mill(
    node: PrivateNode,
    shipped_wheels: Path,
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[int], Mill]]:
    """Start builders with so many workers; `bad_<name>` are the bad raw data of a handler."""
    started: list[tuple[Mill, str]] = []
    bad = {
        f"bad_{name}": {"handler": name, "raw": str(shared_data / "bad" / handler.raw)}
        for name, handler in SHIPPED.items()
    }

    def start(workers: int) -> Mill:
        vhost = f"test-{uuid.uuid4().hex[:12]}"
        mill = Mill(
            tmp_path_factory.mktemp("mill") / "home",
            node.add_vhost(vhost),
            shipped_wheels,
            DATAMILL_RAW_ROOT=str(shared_data),
            DATAMILL_WORKERS=str(workers),
            DATAMILL_DATASETS=json.dumps(bad),
        )
        started.append((mill, vhost))
        return mill

    yield start
    for mill, vhost in started:
        mill.close()
        node.delete_vhost(vhost)
