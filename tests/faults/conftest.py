"""Each test here injects one fault of the table for real; afterwards all invariants hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from datamill_producer.rabbitmq import PrivateNode
from tests.support.builder import Start
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.prepared import home, mischief_home, prepared_home, prepared_mischief

__all__ = ["home", "mischief_home", "prepared_home", "prepared_mischief"]

_PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def fault(
    request: pytest.FixtureRequest, node: PrivateNode, start_builder: Start, client: Connect
) -> Iterator[Fault]:
    """The fault that the test's marker names: `@pytest.mark.fault(5, "what happens")`."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "a test with the fixture `fault` needs the marker `fault`"
    number, what = marker.args
    recorded = Fault(number, what, request.node.name.removeprefix("test_")[:80], node)
    yield recorded
    if request.node.stash.get(_PASSED, False):
        recorded.end()
