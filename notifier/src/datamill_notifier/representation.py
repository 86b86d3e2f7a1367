"""Sending bytes of a file: validators, ranges, and the kernel's sendfile for the body.

aiohttp's FileResponse takes `If-Range` for a date, makes an ETag of its own from time and size,
and may send a `.gz` that lies beside the file; hence this one.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from datamill_notifier.held_file import HeldFile
from datamill_notifier.preconditions import Outcome, evaluate
from datamill_notifier.problems import Problem
from datamill_notifier.ranges import ByteRange
from datamill_notifier.senders import Senders, Sending
from datamill_notifier.transfers import Transfer, Transfers

log = logging.getLogger(__name__)

IMMUTABLE = "public, max-age=31536000, immutable"
"""For an address that is named by its content."""

REVALIDATE = "no-cache"
"""For an address whose content may become another: kept, but asked for again."""

_FIRST_BYTES = 128 * 1024
"""So much the event loop sends by itself: less is not worth another thread."""
_LOOK_SECS = 1.0
"""How often what went out is counted, and looked whether it does."""
_PIECE_BYTES = 4 * 1024 * 1024
_STALL_SECS = 300.0
"""Who takes longer for a piece (14 kB/s) is gone, or might as well be."""

_CONDITIONAL_FIELDS = ("If-Match", "If-None-Match", "If-Range", "Range")


@dataclass(frozen=True)
class Representation:
    """`size` bytes of a file from `offset` on, with their SHA-256 in hex."""

    file: HeldFile
    offset: int
    size: int
    sha256: str
    content_type: str
    cache_control: str
    archive_of: str | None = None
    """The content key, where this is an archive: its downloads are logged."""
    shard_of: str | None = None
    """The content key, where this is a shard in an archive: that stays for who reads it."""

    @property
    def etag(self) -> str:
        """The strong entity tag, with its quotes."""
        return f'"{self.sha256}"'

    def headers(self) -> dict[str, str]:
        """Return the fields that 200, 206 and 304 share."""
        digest = base64.b64encode(bytes.fromhex(self.sha256)).decode()
        return {
            "ETag": self.etag,
            "Repr-Digest": f"sha-256=:{digest}:",  # RFC 9530: of the whole, also beside a part
            "Accept-Ranges": "bytes",
            "Cache-Control": self.cache_control,
        }


async def send(
    request: web.Request, what: Representation, transfers: Transfers
) -> web.StreamResponse:
    """Answer GET or HEAD with a representation, and let go of its file."""
    with what.file:
        answer = evaluate(request.method, _conditions(request), what.etag, what.size)
        match answer.outcome:
            case Outcome.NOT_MODIFIED:
                return web.Response(status=304, headers=what.headers())
            case Outcome.PRECONDITION_FAILED:
                raise Problem(
                    412, "precondition_failed", f"the ETag is {what.etag}", {"ETag": what.etag}
                )
            case Outcome.UNSATISFIABLE:
                place = {"Content-Range": f"bytes */{what.size}", "Accept-Ranges": "bytes"}
                raise Problem(416, "range_not_satisfiable", f"there are {what.size} bytes", place)
        return await _send_bytes(request, what, answer.part, transfers)


async def _send_bytes(
    request: web.Request, what: Representation, part: ByteRange | None, transfers: Transfers
) -> web.StreamResponse:
    response = web.StreamResponse(status=206 if part else 200, headers=what.headers())
    response.content_type = what.content_type
    if part:
        response.headers["Content-Range"] = part.content_range(what.size)
    part = part or ByteRange(0, what.size)
    response.content_length = part.length
    await response.prepare(request)
    if request.method != "HEAD" and part.length:
        start, client = what.offset + part.start, request.remote
        with transfers.begun(what.archive_of, what.shard_of, client, part.start) as transfer:
            await _send_file(request, what.file, start, part.length, transfer, transfers.senders)
    return response


async def _send_file(
    request: web.Request,
    held: HeldFile,
    start: int,
    length: int,
    transfer: Transfer,
    senders: Senders,
) -> None:
    try:
        # When the event loop has sent the first bytes, nothing of the head is left in its buffer.
        while transfer.sent_bytes < min(_FIRST_BYTES, length):
            left = min(_FIRST_BYTES, length) - transfer.sent_bytes
            async with asyncio.timeout(_STALL_SECS):
                transfer.add(await _sendfile(request, held, start + transfer.sent_bytes, left))
        if transfer.sent_bytes < length:
            await _send_rest(request, held, start, length, transfer, senders)
    except (TimeoutError, asyncio.CancelledError) as error:
        raise ConnectionResetError("too slow, or the notifier stops") from error
    except ConnectionError:
        raise
    except (OSError, RuntimeError) as error:
        # A disk that can't be read; a transport that closes. The head is out: no other answer.
        log.warning("a transfer was broken off: %s", error)
        raise ConnectionResetError("the rest can't be sent") from error


async def _sendfile(request: web.Request, held: HeldFile, position: int, count: int) -> int:
    sent = await asyncio.get_running_loop().sendfile(
        _transport(request), held.file, position, count
    )
    if sent == 0:
        raise ConnectionResetError("the file ends early")
    return sent


def _transport(request: web.Request) -> asyncio.Transport:
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    assert isinstance(transport, asyncio.Transport)
    return transport


async def _send_rest(
    request: web.Request,
    held: HeldFile,
    start: int,
    length: int,
    transfer: Transfer,
    senders: Senders,
) -> None:
    transport = _transport(request)
    connection = transport.get_extra_info("socket").fileno()
    already, reads = transfer.sent_bytes, transport.is_reading()
    transport.pause_reading()
    place = (held.file.fileno(), start + already, length - already)
    try:
        with senders.sending(connection, *place) as sending:
            try:
                await _until_sent(sending, lambda: _count(transfer, already + sending.sent_bytes))
            finally:
                _count(transfer, already + sending.sent_bytes)
    finally:
        if reads and not transport.is_closing():
            transport.resume_reading()


async def _until_sent(sending: Sending, count: Callable[[], None]) -> None:
    piece_ends, piece_since = _PIECE_BYTES, time.monotonic()
    while not sending.done.done():
        await asyncio.wait({sending.done}, timeout=_LOOK_SECS)
        count()
        if sending.sent_bytes >= piece_ends:
            piece_ends, piece_since = sending.sent_bytes + _PIECE_BYTES, time.monotonic()
        elif time.monotonic() - piece_since > _STALL_SECS:
            raise TimeoutError
    sending.done.result()


def _count(transfer: Transfer, sent_bytes: int) -> None:
    transfer.add(sent_bytes - transfer.sent_bytes)


def _conditions(request: web.Request) -> dict[str, str]:
    return {
        name: ", ".join(request.headers.getall(name))
        for name in _CONDITIONAL_FIELDS
        if name in request.headers
    }
