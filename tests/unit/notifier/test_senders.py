"""Files on their way to sockets, by threads of their own."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamill_notifier.senders import Senders, Sending, _Sender

BODY = os.urandom(5_000_000)


@pytest.fixture
def senders() -> Iterator[Senders]:
    made = Senders()
    yield made
    made.stop()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(BODY)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


class Receiver:
    """A connection whose other end is read by a thread, as far as it may."""

    def __init__(self, most_bytes: int = 1 << 30) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.received = bytearray()
        self._most_bytes = most_bytes
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        with self._theirs:
            while len(self.received) < self._most_bytes and (body := self._theirs.recv(65536)):
                self.received += body

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.ours.close()
        self._thread.join(10)
        assert not self._thread.is_alive(), "somebody else holds the connection open"


async def send(senders: Senders, to: Receiver, file: int, position: int, count: int) -> int:
    with senders.sending(to.ours.fileno(), file, position, count) as sending:
        await asyncio.wait_for(sending.done, 10)
        return sending.sent_bytes


def test_a_part_of_a_file(senders: Senders, file: int) -> None:
    with Receiver() as receiver:
        sent = asyncio.run(send(senders, receiver, file, 1000, 4_000_000))
    assert sent == 4_000_000
    assert receiver.received == BODY[1000:4_001_000]


def test_many_at_once(senders: Senders, file: int) -> None:
    async def send_all(receivers: list[Receiver]) -> None:
        await asyncio.gather(*(send(senders, each, file, 0, len(BODY)) for each in receivers))

    receivers = [Receiver() for _ in range(20)]
    for receiver in receivers:
        receiver.__enter__()
    asyncio.run(send_all(receivers))
    for receiver in receivers:
        receiver.__exit__()
        assert receiver.received == BODY


def test_who_does_not_read_holds_up_nobody(senders: Senders, file: int) -> None:
    async def both(slow: list[socket.socket], reader: Receiver) -> None:
        stuck = [senders.sending(one.fileno(), file, 0, len(BODY)) for one in slow]
        held = [each.__enter__() for each in stuck]
        await send(senders, reader, file, 0, len(BODY))
        assert not any(each.done.done() for each in held)
        for each in stuck:
            each.__exit__(None, None, None)

    pairs = [socket.socketpair() for _ in range(10)]
    for ours, _ in pairs:
        ours.setblocking(False)
    with Receiver() as reader:
        asyncio.run(both([ours for ours, _ in pairs], reader))
    assert reader.received == BODY
    for pair in pairs:
        for one in pair:
            one.close()


def test_the_connection_ends_when_it_is_broken_off(senders: Senders, file: int) -> None:
    async def break_off(ours: socket.socket, theirs: socket.socket) -> bytes:
        with senders.sending(ours.fileno(), file, 0, len(BODY)) as sending:
            while not sending.sent_bytes:
                await asyncio.sleep(0.001)
        ours.close()
        return await asyncio.to_thread(_until_the_end, theirs)

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with theirs:
        received = asyncio.run(break_off(ours, theirs))
    assert len(received) < len(BODY)
    assert BODY.startswith(received)


def _until_the_end(connection: socket.socket) -> bytes:
    received = b""
    while body := connection.recv(65536):
        received += body
    return received


def test_a_client_that_goes_away(senders: Senders, file: int) -> None:
    with Receiver(most_bytes=1) as receiver, pytest.raises(ConnectionError):
        asyncio.run(send(senders, receiver, file, 0, len(BODY)))


def test_a_file_that_ends_early(senders: Senders, file: int) -> None:
    with Receiver() as receiver, pytest.raises(ConnectionResetError, match="ends early"):
        asyncio.run(send(senders, receiver, file, 0, len(BODY) + 1))


def test_it_stops_while_something_is_sent(file: int) -> None:
    async def stop(ours: socket.socket) -> None:
        senders = Senders()
        with senders.sending(ours.fileno(), file, 0, len(BODY)):
            senders.stop()

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        asyncio.run(stop(ours))


def test_what_was_told_to_end_is_not_sent_with_numbers_that_others_have(file: int) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    steps: list[bool] = []

    class Watched(Sending):
        def step(self) -> bool:
            steps.append(True)
            return super().step()

    async def tell_all_at_once() -> None:
        sending, sender = Watched(ours.fileno(), file, 0, len(BODY)), _Sender(0)
        # It hears of all of this in one look, before it finds that the socket has room.
        sender.call(lambda: sender.drop(sending))
        sender.call(sender.end)
        sender.add(sending)
        sender.run()

    with ours, theirs:
        asyncio.run(tell_all_at_once())
        assert not steps
