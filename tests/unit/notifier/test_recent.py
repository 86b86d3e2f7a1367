"""The newest events: what came since."""

from __future__ import annotations

import asyncio

from datamill_notifier.hub import Hub
from datamill_notifier.recent import MOST_BYTES, MOST_EVENTS, Message, Recent

ONE, OTHER = "1" * 64, "2" * 64


def message(number: int, dataset_id: str = ONE, event: str = "shard", body: str = "{}") -> Message:
    return Message(f"m{number}", event, dataset_id, body)


def ids(events: list[Message] | None) -> list[str] | None:
    return None if events is None else [event.id for event in events]


def test_what_came_since_a_position() -> None:
    kept = Recent()
    beginning = kept.position
    assert ids(kept.since(beginning)) == []
    for number in range(3):
        kept.add(message(number))
    assert kept.position == "m2"
    assert ids(kept.since(beginning)) == ["m0", "m1", "m2"]
    assert ids(kept.since("m0")) == ["m1", "m2"]
    assert ids(kept.since("m2")) == []
    assert kept.since("m3") is None
    assert kept.since("") is None


def test_an_event_that_came_twice_counts_from_its_last_time() -> None:
    kept = Recent()
    for number in (1, 2, 1, 3):
        kept.add(message(number))
    assert ids(kept.since("m1")) == ["m3"]


def test_after_a_gap_no_earlier_position_is_known() -> None:
    kept = Recent()
    beginning = kept.position
    kept.add(message(1))
    kept.forget()
    assert kept.position not in (beginning, "m1")
    assert kept.since(beginning) is None
    assert kept.since("m1") is None
    kept.add(message(2))
    assert kept.since(beginning) is None


def test_the_oldest_are_forgotten() -> None:
    kept = Recent()
    beginning = kept.position
    for number in range(MOST_EVENTS + 1):
        kept.add(message(number))
    assert kept.since(beginning) is None
    assert kept.since("m0") is None
    assert len(kept.since("m1") or []) == MOST_EVENTS - 1


def test_large_events_do_not_fill_the_memory() -> None:
    kept = Recent()
    for number in range(20):
        kept.add(message(number, body="x" * (MOST_BYTES // 4)))
    assert ids(kept.since("m16")) == ["m17", "m18", "m19"]
    assert kept.since("m15") is None
    kept.add(message(99, body="x" * (MOST_BYTES + 1)))
    assert kept.since("m19") is None
    assert ids(kept.since(kept.position)) == []


def test_who_comes_back_gets_what_it_listens_to() -> None:
    async def scenario() -> None:
        hub = Hub()
        first = hub.subscribe(frozenset([ONE]))
        assert first.missed is None
        hub.unsubscribe(first)
        await hub.publish([message(1, ONE), message(2, OTHER), message(3, ONE)])
        assert ids(hub.subscribe(frozenset([ONE]), first.position).missed) == ["m1", "m3"]
        assert ids(hub.subscribe(frozenset(), first.position).missed) == ["m1", "m2", "m3"]
        assert ids(hub.subscribe(frozenset([OTHER]), "m2").missed) == []
        again = hub.subscribe(frozenset([ONE]), "unheard of")
        assert (again.missed, again.position) == (None, "m3")

    asyncio.run(scenario())
