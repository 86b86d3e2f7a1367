"""Many connections to the broker in one process: clients that ask, or wait."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop

_PERSISTENT = pika.BasicProperties(content_type="application/json", delivery_mode=2)


@dataclass
class Crowd:
    """Connections on one loop; `run_until` turns it."""

    url: str
    size: int
    loop: IOLoop = field(default_factory=IOLoop)
    channels: list[Any] = field(default_factory=list)
    _turning: bool = False

    def connect(self) -> None:
        """Open all connections and a channel on each."""
        for _ in range(self.size):
            pika.SelectConnection(
                pika.URLParameters(self.url),
                on_open_callback=lambda it: it.channel(on_open_callback=self.channels.append),
                custom_ioloop=self.loop,
            )
        self.run_until(lambda: len(self.channels) == self.size)

    def run_until(self, condition: Callable[[], bool], timeout_secs: float = 300.0) -> None:
        """Turn the loop until a condition holds; it is looked at after each turn."""
        deadline = time.monotonic() + timeout_secs
        if not self._turning:
            self.loop.activate_poller()
            self._turning = True
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("the crowd waited in vain")
            self.loop.poll()
            self.loop.process_timeouts()

    def wait_for(self, exchange: str, key: str) -> list[float]:
        """Bind a queue per connection; return the list that gets the times of what arrives."""
        arrived: list[float] = []
        bound: list[bool] = []

        def on_declared(channel: Any, frame: Any) -> None:
            queue = frame.method.queue
            channel.basic_consume(queue, lambda *_: arrived.append(time.monotonic()), auto_ack=True)
            channel.queue_bind(queue, exchange, key, callback=lambda _: bound.append(True))

        for channel in self.channels:
            channel.queue_declare(
                "", exclusive=True, callback=lambda frame, it=channel: on_declared(it, frame)
            )
        self.run_until(lambda: len(bound) == len(self.channels))
        return arrived

    def publish(self, exchange: str, key: str, body: bytes, each: int) -> None:
        """Publish `each` messages on every connection at once; return when all are confirmed."""
        confirmed = 0

        def on_answer(frame: Any, last: dict[str, int]) -> None:
            nonlocal confirmed
            method = frame.method
            if isinstance(method, pika.spec.Basic.Nack):
                raise RuntimeError("the broker refused a message")
            confirmed += method.delivery_tag - last["tag"] if method.multiple else 1
            last["tag"] = max(last["tag"], method.delivery_tag)

        for channel in self.channels:
            last = {"tag": 0}
            channel.confirm_delivery(lambda frame, last=last: on_answer(frame, last))
        for _ in range(each):
            for channel in self.channels:
                channel.basic_publish(exchange, key, body, _PERSISTENT, mandatory=True)
        self.run_until(lambda: confirmed >= each * len(self.channels))


def in_process(work: Callable[..., None], *arguments: Any) -> Any:
    """Start a crowd in a process of its own; return our end of its pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=work, args=(theirs, *arguments), daemon=True).start()
    return ours
