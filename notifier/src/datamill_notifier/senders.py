"""Threads that do nothing but hand files to sockets: the kernel copies, on several cores at once.

asyncio's `sendfile` takes a turn of the event loop whenever a socket has room again, which costs as
much as the kernel's work, and does all of it on one core.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator

_AT_ONCE_BYTES = 2 * 1024 * 1024
"""So much for one client before the next one has its turn."""
_MOST_THREADS = 4


class Sending:
    """Bytes of a file on their way to a socket.

    `done` belongs to the event loop; it ends when all are out, or with the `OSError` that broke it
    off. All else is the sending thread's.
    """

    def __init__(self, connection: int, file: int, position: int, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.sent_bytes = 0
        """So far; anybody may look."""
        self._position, self._left = position, count
        # Copies: if others close theirs meanwhile, the numbers don't come to mean something else.
        self.connection = os.dup(connection)
        self._file = os.dup(file)

    def step(self) -> bool:
        """Send what the socket takes just now; return whether there is nothing more to do."""
        try:
            sent = os.sendfile(
                self.connection, self._file, self._position, min(self._left, _AT_ONCE_BYTES)
            )
            if sent == 0:
                raise ConnectionResetError("the file ends early")
        except BlockingIOError:
            return False
        except OSError as error:
            self._tell(self.done.set_exception, error)
            return True
        self._position += sent
        self._left -= sent
        self.sent_bytes += sent
        if self._left == 0:
            self._tell(self.done.set_result, None)
        return self._left == 0

    def _tell(self, end: Callable[..., None], how: OSError | None) -> None:
        def tell() -> None:
            if not self.done.done():
                end(how)

        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(tell)

    def close(self) -> None:
        """Let go of the copies."""
        os.close(self.connection)
        os.close(self._file)


class Senders:
    """A few threads, each with the sockets that it serves; belongs to the event loop."""

    def __init__(self) -> None:
        count = min(os.cpu_count() or 1, _MOST_THREADS)
        self._threads = [_Sender(number) for number in range(count)]
        for thread in self._threads:
            thread.start()

    @contextlib.contextmanager
    def sending(self, connection: int, file: int, position: int, count: int) -> Iterator[Sending]:
        """Have bytes of a file sent to a socket that does not block; broken off at the exit."""
        thread = min(self._threads, key=lambda thread: thread.load)
        sending = Sending(connection, file, position, count)
        thread.load += 1
        thread.call(lambda: thread.add(sending))
        try:
            yield sending
        finally:
            thread.load -= 1
            if not sending.done.cancel():
                sending.done.exception()  # looked at: nobody else may have done so
            thread.call(lambda: thread.drop(sending))

    def stop(self) -> None:
        """End the threads, and what they send."""
        for thread in self._threads:
            thread.call(thread.end)
        for thread in self._threads:
            thread.join()


class _Sender(threading.Thread):
    """One thread. `call` may be called from another, and `load` is its; the rest is its own."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"send {number}", daemon=True)
        self.load = 0
        self._calls: deque[Callable[[], None]] = deque()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._under_way: set[Sending] = set()
        self._ending = False

    def call(self, what: Callable[[], None]) -> None:
        """Have the thread do something between two steps."""
        self._calls.append(what)
        with contextlib.suppress(OSError):  # it was woken already, often; or it has ended
            self._wake.send(b"\0")

    def add(self, sending: Sending) -> None:
        """Begin."""
        self._under_way.add(sending)
        self._selector.register(sending.connection, selectors.EVENT_WRITE, sending)

    def drop(self, sending: Sending) -> None:
        """End, if it has not ended."""
        if sending in self._under_way:
            self._under_way.remove(sending)
            self._selector.unregister(sending.connection)
            sending.close()

    def end(self) -> None:
        """End the thread."""
        self._ending = True

    def run(self) -> None:
        """Send until told to end."""
        while not self._ending:
            for key, _events in self._selector.select():
                if key.data is None:
                    self._do_as_told()
                elif key.data in self._under_way and key.data.step():
                    # Under way still: one that was told to end a moment ago has closed its files,
                    # and others may have got their numbers.
                    self.drop(key.data)
        for sending in list(self._under_way):
            self.drop(sending)
        self._selector.close()
        self._woken.close()
        self._wake.close()

    def _do_as_told(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        while self._calls:
            self._calls.popleft()()
