"""A node of a module's own, whose tests stop it, kill it, or do it other harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from datamill_producer.rabbitmq import Installation, PrivateNode


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, installation: Installation
) -> Iterator[PrivateNode]:
    """In the place of the one that the whole run shares."""
    with PrivateNode(tmp_path_factory.mktemp("node"), installation) as running:
        yield running
