"""Handing events on: to whom, in which order, and how long for the slow."""

from __future__ import annotations

import asyncio

from datamill_notifier.hub import BACKLOG, Hub, Message, Subscription

ONE, OTHER = "1" * 64, "2" * 64


def message(dataset_id: str = ONE, number: int = 0) -> Message:
    return Message(str(number), "progress", dataset_id, "{}")


async def taken(subscription: Subscription) -> list[Message]:
    """Everything up to the end."""
    result = []
    while (each := await subscription.next()) is not None:
        result.append(each)
    return result


def test_each_gets_what_it_listens_to_in_order() -> None:
    async def scenario() -> None:
        hub = Hub()
        of_one, of_both, of_all = (
            hub.subscribe(frozenset(ids)) for ids in ([ONE], [ONE, OTHER], [])
        )
        sent = [message(ONE, 1), message(OTHER, 2), message("3" * 64, 3), message(ONE, 4)]
        await hub.publish(sent)
        hub.close()
        assert [m.id for m in await taken(of_one)] == ["1", "4"]
        assert [m.id for m in await taken(of_both)] == ["1", "2", "4"]
        assert [m.id for m in await taken(of_all)] == ["1", "2", "3", "4"]

    asyncio.run(scenario())


def test_a_slow_receiver_is_dropped_and_holds_up_nobody() -> None:
    async def scenario() -> None:
        hub = Hub()
        slow, quick = hub.subscribe(frozenset([ONE])), hub.subscribe(frozenset([ONE]))
        reading = asyncio.create_task(taken(quick))
        await hub.publish([message(number=n) for n in range(3 * BACKLOG)])
        assert slow.dropped
        assert hub.receivers == 1
        assert await slow.next() is None
        hub.close()
        assert len(await reading) == 3 * BACKLOG
        assert not quick.dropped

    asyncio.run(scenario())


def test_who_left_is_forgotten() -> None:
    async def scenario() -> None:
        hub = Hub()
        for ids in (frozenset([ONE, OTHER]), frozenset[str]()):
            subscription = hub.subscribe(ids)
            assert hub.receivers == 1
            hub.unsubscribe(subscription)
            hub.unsubscribe(subscription)
            assert hub.receivers == 0
        assert not hub._of_dataset

    asyncio.run(scenario())


def test_after_the_end_there_is_nothing_to_listen_to() -> None:
    async def scenario() -> None:
        hub = Hub()
        hub.close()
        assert await hub.subscribe(frozenset([ONE])).next() is None
        assert await hub.subscribe(frozenset()).next() is None

    asyncio.run(scenario())
