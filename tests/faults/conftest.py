"""Each test here injects one fault of the table for real; afterwards all invariants hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault import Fault
from tests.support.notifier import NotifierProcess, StartNotifier
from tests.support.prepared import home, mischief_home, prepared_home, prepared_mischief
from tests.support.undisturbed import undisturbed, undisturbed_digest

__all__ = [
    "home",
    "mischief_home",
    "prepared_home",
    "prepared_mischief",
    "undisturbed",
    "undisturbed_digest",
]

_PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def start_notifier(home: Path, broker_url: str) -> Iterator[StartNotifier]:
    """Start notifiers on the home; all are ended with the test."""
    started: list[NotifierProcess] = []

    def start(*arguments: str) -> NotifierProcess:
        started.append(NotifierProcess(home, broker_url).start(*arguments))
        return started[-1]

    yield start
    for notifier in started:
        notifier.stop()


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Iterator[Fault]:
    """The fault that the test's marker names: `@pytest.mark.fault(5, "what happens")`."""
    used = {
        # Only what the test has anyway: it is ended after the last look at it.
        name: request.getfixturevalue(name)
        for name in ("node", "start_builder", "client")
        if name in request.fixturenames
    }
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "a test with the fixture `fault` needs the marker `fault`"
    number, what = marker.args
    name = request.node.name.removeprefix("test_")
    recorded = Fault(number, what, name, used.get("node"))
    yield recorded
    if request.node.stash.get(_PASSED, False):
        recorded.end()
