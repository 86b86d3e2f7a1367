"""The outbox against a real broker: what goes out before its commit, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datamill.broker import Outbound
from datamill.events import Accepted
from datamill_builder.catalog import Catalog
from datamill_builder.catalog.outbox import tell, unsent
from datamill_builder.relay import OutboxRelay
from tests.broker.test_consumers import until
from tests.broker.test_publishing import declare
from tests.support.listener import PlainClient

ID = "a" * 64
ANSWER = Accepted(dataset_id=ID, state="ready", waiting=0, ahead=0)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    yield catalog
    catalog.close()


@pytest.fixture
def relay(broker_url: str, catalog: Catalog) -> Iterator[OutboxRelay]:
    relay = OutboxRelay(broker_url, catalog)
    relay.start()
    yield relay
    relay.stop(5.0)


@pytest.fixture
def listening(broker_url: str, client: Callable[[], PlainClient]) -> PlainClient:
    declare(broker_url)
    return client()


def waiting(catalog: Catalog) -> list[Outbound]:
    with catalog.read() as connection:
        return unsent(connection)


def test_what_is_true_in_any_case_arrives_before_the_commit(
    catalog: Catalog, listening: PlainClient, relay: OutboxRelay
) -> None:
    with catalog.write() as change:
        tell(change, ANSWER, now=True)
        listening.wait(ID, "accepted")
        until(relay.publisher.idle)
    until(lambda: not waiting(catalog))
    listening.listen(1.5)  # until the relay has looked at the outbox once more
    assert listening.seen(ID) == ["accepted"]


def test_what_is_taken_back_is_not_waited_for(
    catalog: Catalog, listening: PlainClient, relay: OutboxRelay
) -> None:
    with pytest.raises(ZeroDivisionError), catalog.write() as change:
        tell(change, ANSWER, now=True)
        listening.wait(ID, "accepted")
        raise ZeroDivisionError
    with catalog.write() as change:
        tell(change, ANSWER)
    listening.wait(ID, "accepted", after=1)
    until(lambda: not waiting(catalog))
    assert relay._uncommitted == set()


def test_what_is_not_committed_yet_survives_a_new_connection(
    catalog: Catalog, listening: PlainClient, broker_url: str
) -> None:
    relay = OutboxRelay(broker_url, catalog)
    with catalog.write() as change:
        tell(change, ANSWER, now=True)
        relay.start()  # it asks the outbox what is to be sent, which does not show it yet
        listening.wait(ID, "accepted")
    until(lambda: not waiting(catalog))
    relay.stop(5.0)
