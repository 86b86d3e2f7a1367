"""One `ready` to 1,000 clients that wait for it, beside the broker's own fan-out.

Each client has a connection and a queue of its own, bound to the dataset's topic. Bare: a message
of the same size to the same number of queues, from its publication to the last arrival. Ours: from
a request for the finished dataset to the last arrival.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pika

from benchmarks.command import answer
from benchmarks.crowd import Crowd, in_process
from benchmarks.measuring import Comparison, Limit, in_turns
from benchmarks.service import service
from datamill import topology
from datamill.request import Request
from tests.support.toy import make_toy, write_items

LIMIT = 1.3
CLIENTS = 1000


def measure(rounds: int) -> list[Comparison]:
    """Tell everybody, in turns."""
    with service() as running:
        make_toy(running.home / "wheels")
        write_items(running.raw, ["one", "two"])
        request = Request.of("toy", "1.0.0", {})
        client = running.client()
        client.ask("toy")
        size = len(str(client.wait(request.dataset_id)))
        key = f"dataset.ready.{request.dataset_id}"
        waiting = in_process(_wait, running.broker_url, key)
        assert waiting.recv() == "connected"
        with pika.BlockingConnection(pika.URLParameters(running.broker_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()

            def bare() -> None:
                channel.basic_publish(topology.EVENTS_EXCHANGE, key, b"x" * size)

            ours, peer = in_turns(
                [
                    _until_all_know(waiting, lambda: client.ask("toy")),
                    _until_all_know(waiting, bare),
                ],
                rounds * 4,
                warm_up=3,
            )
    return [
        Comparison(
            "ready to 1,000 clients", "s", ours, "bare fan-out", peer, Limit.times_at_most(LIMIT)
        )
    ]


def _until_all_know(waiting: Any, tell: Callable[[], object]) -> Callable[[], float]:
    def secs() -> float:
        waiting.send("again")
        assert waiting.recv() == "listening"
        began = time.monotonic()
        tell()
        last: float = waiting.recv()
        return last - began

    return secs


def _wait(pipe: Any, url: str, key: str) -> None:
    crowd = Crowd(url, CLIENTS)
    crowd.connect()
    arrived = crowd.wait_for(topology.EVENTS_EXCHANGE, key)
    pipe.send("connected")
    while True:
        pipe.recv()
        arrived.clear()
        pipe.send("listening")
        crowd.run_until(lambda: len(arrived) >= CLIENTS)
        pipe.send(max(arrived))


if __name__ == "__main__":
    answer(__doc__, measure)
