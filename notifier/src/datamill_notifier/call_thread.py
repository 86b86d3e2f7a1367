"""One thread that does calls in order, for what must not run in the event loop's pool.

The pool's threads are waited for at the end of the process; a call that hangs on the network, or
hashes for minutes, would hold it up. This one is left behind.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


class CallThread:
    """Does one call after the other; `call` belongs to the event loop."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def call(self, function: Callable[[], Result]) -> asyncio.Future[Result]:
        """Return the future result of a call; what it logs is about what the caller does."""
        future: Future[Result] = Future()
        context = contextvars.copy_context()
        self._calls.put(lambda: context.run(_fulfil, future, function))
        return asyncio.wrap_future(future)

    def stop(self) -> None:
        """End after the calls that wait."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _fulfil(future: Future[Result], function: Callable[[], Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
        future.set_exception(error)
