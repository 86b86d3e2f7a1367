"""Clients that do not speak HTTP, or stop in the middle: cut off, and nobody else notices."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.catalog_steps import Steps
from tests.support.door import Door, read
from tests.support.notifier import NotifierProcess

POST = b"POST /requests HTTP/1.1\r\nHost: x\r\n"
OLDEST = b"GET /healthz\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"

GARBAGE = {
    "empty lines": b"\r\n\r\n",
    "binary": bytes(range(256)) * 8,
    "TLS": bytes.fromhex("16030100f8010000f40303") + b"\0" * 300,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": OLDEST,
    "a version of tomorrow": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "AMQP": b"AMQP\x00\x00\x09\x01",
    "a space after a name": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a length and chunks": POST
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk that lies": POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx\r\n",
    "a chunk of no number": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nff\r\nx",
    "half a body": POST + b"Content-Length: 100\r\n\r\n{",
    "half a head": GET,
    "NUL in a field": GET + b"X: a\0b\r\n\r\n",
    "a folded field": GET + b"X: a\r\n b\r\n\r\n",
    "10,000 fields": GET + b"X: y\r\n" * 10_000 + b"\r\n",
    "a field of 1 MiB": GET + b"X: " + b"y" * 2**20 + b"\r\n\r\n",
    "an address of 1 MiB": b"GET /" + b"y" * 2**20 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "no end of line": b"G" * 2**20,
}
UNDERSTOOD = (GET, OLDEST)
REFUSED = {b"400", b"404", b"413", b"414", b"431", b"505"}


@pytest.fixture(scope="module")
def door(notifier: NotifierProcess) -> Iterator[Door]:
    yield Door(notifier)
    assert "Traceback" not in notifier.log() and "not foreseen" not in notifier.log()


@pytest.fixture(scope="module")
def archive(steps: Callable[..., Steps]) -> str:
    """The address of an archive that is ready."""
    made = steps()
    made.ready()
    return f"/datasets/{made.archive.name}"


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_http_is_refused_or_cut_off(
    door: Door, notifier: NotifierProcess, said: bytes
) -> None:
    with door.open() as connection:
        with contextlib.suppress(OSError):  # it may be cut off before all is said
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
        answer = read(connection)
    if answer:
        status = answer.split(b" ", 2)[1]
        assert status in REFUSED or (status == b"200" and said.startswith(UNDERSTOOD)), answer[:200]
    assert notifier.ask("/healthz").status == 200


BEGINNINGS = [
    b"",
    b"G",
    b"GET /datasets HTTP/1.1\r\nHost:",
    POST + b"Content-Length: 1000\r\n\r\n{",
    POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff\xfe\xfd",
    b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
]


def test_clients_that_hang_or_break_off_hold_up_nobody(
    door: Door, notifier: NotifierProcess, archive: str
) -> None:
    """Two hundred at once: half a head, half a body, no word, no ear for the answer."""
    waiting = [door.open() for _ in range(200)]
    for number, connection in enumerate(waiting):
        beginning = BEGINNINGS[number % len(BEGINNINGS)]
        connection.sendall(beginning.replace(b"%s", archive.encode()))
    stop = threading.Event()
    slow = threading.Thread(target=_drip, args=(door, stop))
    slow.start()
    took = [_others_are_served(notifier, archive) for _ in range(20)]
    stop.set()
    slow.join()
    for number, connection in enumerate(waiting):
        if number % 2:  # a reset in place of a good-bye
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    took.append(_others_are_served(notifier, archive))
    assert sorted(took)[len(took) // 2] < 1.0 and max(took) < 10.0


def _others_are_served(notifier: NotifierProcess, archive: str) -> float:
    began = time.monotonic()
    assert notifier.ask("/healthz").status == 200
    assert notifier.ask(archive, headers={"Range": "bytes=0-9"}).status == 206
    return time.monotonic() - began


def _drip(door: Door, stop: threading.Event) -> None:
    """Send a head a byte at a time."""
    with door.open() as connection:
        for byte in GET + b"X-Slow: " + b"a" * 10_000:
            if stop.wait(0.01):
                return
            connection.send(bytes([byte]))


def test_requests_in_one_go_are_answered_in_their_order(door: Door) -> None:
    paths = {"/healthz": "200", "/nothing": "404", "/datasets?limit=0": "400", "/metrics": "200"}
    said = "".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths)
    last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = door.say((said + last).encode(), all_of_it=True).decode()
    assert re.findall(r"HTTP/1\.1 (\d+)", answer) == [*paths.values(), "200"]
