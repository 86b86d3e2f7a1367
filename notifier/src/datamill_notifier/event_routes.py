"""`GET /events`: the events of some datasets, or of all, as they come.

A WebSocket where the client asks for one, else server-sent events (WHATWG HTML, section 9.2).
What is told first is the state: who listens late, or again, misses nothing that matters. Who comes
back with the id of the last event (`Last-Event-ID`) gets those that it missed instead, as long as
they are remembered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from aiohttp import WSCloseCode, web

from datamill.events import Event
from datamill_notifier import dataset_states
from datamill_notifier.hub import Message, Subscription
from datamill_notifier.origin import check_origin
from datamill_notifier.parameters import seconds_of
from datamill_notifier.problems import hang_up, invalid
from datamill_notifier.service import Service, service_of

_HEARTBEAT_SECS = 15.0
_COMMENT_SECS = 5.0
"""Where nothing happens, a stream shows so often that it is alive."""
_SEND_SECS = 20.0
"""Who takes nothing for so long is dropped."""

_FAREWELL_SECS = 1.0
"""How long a closing WebSocket waits for the other side to say so too."""

_MAX_SAID_BYTES = 4096
_RECONNECT_MILLISECS = 2000
_MAX_DATASETS = 1000
_LONGEST_SECS = 24 * 3600.0
"""A stream ends after a day at the latest; whoever listens comes back."""

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}

_LINE_BREAK = re.compile(r"\r\n|\r|\n")

routes = web.RouteTableDef()


@routes.get("/events", allow_head=False)
async def get_events(request: web.Request) -> web.StreamResponse:
    """Tell events until the client leaves."""
    service = service_of(request)
    dataset_ids = _dataset_ids(request)
    upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
    if upgrade:
        check_origin(request, service.public_url)
    after = request.headers.get("Last-Event-ID")
    lasting_secs = seconds_of(request, "secs", _LONGEST_SECS)
    with _subscribed(service, dataset_ids, after) as subscription:
        first = subscription.missed
        if first is None:
            # Listen first, look then: what happens between is told twice rather than never.
            first = await asyncio.to_thread(_state, service, sorted(dataset_ids))
        for message in first:
            if message.event == "ready" and message.dataset_id in dataset_ids:
                service.told.note(message.dataset_id)
        if upgrade:
            return await _web_socket(request, subscription, first)
        return await _event_stream(request, subscription, first, lasting_secs)


def _dataset_ids(request: web.Request) -> frozenset[str]:
    given = frozenset(request.query.getall("dataset", []))
    if len(given) > _MAX_DATASETS:
        raise invalid(f"at most {_MAX_DATASETS} datasets at once; without any, all are told of")
    for text in given:
        if not dataset_states.is_dataset_id(text):
            raise invalid(f"dataset: {text[:80]!r} is not 64 lower-case hexadecimal digits")
    return given


@contextmanager
def _subscribed(
    service: Service, dataset_ids: frozenset[str], after: str | None
) -> Iterator[Subscription]:
    subscription = service.hub.subscribe(dataset_ids, after)
    try:
        yield subscription
    finally:
        service.hub.unsubscribe(subscription)


def _state(service: Service, dataset_ids: list[str]) -> list[Message]:
    """Return the events that say where datasets stand; nothing of those never asked for."""
    messages = []
    for dataset_id in dataset_ids:
        view = dataset_states.find(service, dataset_id)
        if view is not None:
            messages += [_as_message(event) for event in dataset_states.state_events(service, view)]
    return messages


def _as_message(event: Event) -> Message:
    # Without an id: what was seen last stays what it was.
    return Message("", event.event, event.dataset_id, event.encode().decode())


# --- WebSocket ------------------------------------------------------------------------------------


async def _web_socket(
    request: web.Request, subscription: Subscription, state: list[Message]
) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(
        heartbeat=_HEARTBEAT_SECS, timeout=_FAREWELL_SECS, max_msg_size=_MAX_SAID_BYTES
    )
    await socket.prepare(request)
    telling = asyncio.create_task(_tell_socket(request, socket, subscription, state))
    try:
        async for _ in socket:
            continue  # what a listener says is not for anybody
    finally:
        subscription.end()
        await asyncio.wait({telling}, timeout=_SEND_SECS)
        telling.cancel()
    return socket


async def _tell_socket(
    request: web.Request,
    socket: web.WebSocketResponse,
    subscription: Subscription,
    state: list[Message],
) -> None:
    try:
        for message in state:
            await _in_time(socket.send_str(message.body))
        while (next_one := await subscription.next()) is not None:
            await _in_time(socket.send_str(next_one.body))
    except (TimeoutError, ConnectionError):
        hang_up(request)
        return
    too_slow = subscription.dropped
    await socket.close(code=WSCloseCode.TRY_AGAIN_LATER if too_slow else WSCloseCode.GOING_AWAY)


# --- server-sent events ---------------------------------------------------------------------------


async def _event_stream(
    request: web.Request, subscription: Subscription, first: list[Message], lasting_secs: float
) -> web.StreamResponse:
    ends_at = asyncio.get_running_loop().time() + lasting_secs
    response = web.StreamResponse(headers=_STREAM_HEADERS)
    await response.prepare(request)
    try:
        await _in_time(response.write(_beginning(subscription)))
        for message in first:
            await _in_time(response.write(_framed(message)))
        while (frame := await _next_frame(subscription, ends_at)) is not None:
            await _in_time(response.write(frame))
    except (TimeoutError, ConnectionError):
        hang_up(request)
    return response


def _beginning(subscription: Subscription) -> bytes:
    """Return what comes before all events; it names the position, unless older events follow."""
    position = "" if subscription.missed else f"id: {_printable(subscription.position)}\n"
    return f"retry: {_RECONNECT_MILLISECS}\n{position}\n".encode()


async def _next_frame(subscription: Subscription, ends_at: float) -> bytes | None:
    left_secs = ends_at - asyncio.get_running_loop().time()
    if left_secs <= 0:
        return None
    try:
        async with asyncio.timeout(min(_COMMENT_SECS, left_secs)):
            message = await subscription.next()
    except TimeoutError:
        return b": still here\n\n"
    return None if message is None else _framed(message)


def _framed(message: Message) -> bytes:
    # A line break inside a field would end it. What Python takes for one besides (U+2028 and
    # others) is text, and may stand in a JSON string.
    data = "".join(f"data: {line}\n" for line in _LINE_BREAK.split(message.body))
    identity = f"id: {_printable(message.id)}\n" if message.id else ""
    return f"{identity}event: {message.event}\n{data}\n".encode()


def _printable(identity: str) -> str:
    return identity if identity.isascii() and identity.isprintable() else "-"


async def _in_time(sending: Awaitable[None]) -> None:
    async with asyncio.timeout(_SEND_SECS):
        await sending
