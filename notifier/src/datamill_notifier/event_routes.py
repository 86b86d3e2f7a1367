"""`GET /events`: the events of some datasets, or of all, as they come.

A WebSocket where the client asks for one, else server-sent events (WHATWG HTML, section 9.2).
What is told first is the state: who listens late, or again, misses nothing that matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from aiohttp import WSCloseCode, web

from datamill.events import Event
from datamill_notifier import looking
from datamill_notifier.hub import Message, Subscription
from datamill_notifier.origin import check_origin
from datamill_notifier.problems import hang_up, invalid
from datamill_notifier.service import Service, service_of

_HEARTBEAT_SECS = 15.0
_SEND_SECS = 20.0
"""Who takes nothing for so long is dropped."""

_FAREWELL_SECS = 1.0
"""How long a closing WebSocket waits for the other side to say so too."""

_MAX_SAID_BYTES = 4096
_RECONNECT_MILLISECS = 2000
_MAX_DATASETS = 1000

_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}

routes = web.RouteTableDef()


@routes.get("/events", allow_head=False)
async def get_events(request: web.Request) -> web.StreamResponse:
    """Tell events until the client leaves."""
    service = service_of(request)
    dataset_ids = _dataset_ids(request)
    upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
    if upgrade:
        check_origin(request, service.public_url)
    with _subscribed(service, dataset_ids) as subscription:
        # Listen first, look then: what happens between is told twice rather than never.
        state = await asyncio.to_thread(_state, service, sorted(dataset_ids))
        return await (_web_socket if upgrade else _event_stream)(request, subscription, state)


def _dataset_ids(request: web.Request) -> frozenset[str]:
    given = frozenset(request.query.getall("dataset", []))
    if len(given) > _MAX_DATASETS:
        raise invalid(f"at most {_MAX_DATASETS} datasets at once; without any, all are told of")
    for text in given:
        if not looking.is_dataset_id(text):
            raise invalid(f"dataset: {text[:80]!r} is not 64 lower-case hexadecimal digits")
    return given


@contextmanager
def _subscribed(service: Service, dataset_ids: frozenset[str]) -> Iterator[Subscription]:
    subscription = service.hub.subscribe(dataset_ids)
    try:
        yield subscription
    finally:
        service.hub.unsubscribe(subscription)


def _state(service: Service, dataset_ids: list[str]) -> list[Message]:
    """Return the events that say where datasets stand; nothing of those never asked for."""
    messages = []
    for dataset_id in dataset_ids:
        view = looking.find(service, dataset_id)
        if view is not None:
            messages += [_as_message(event) for event in looking.state_events(service, view)]
    return messages


def _as_message(event: Event) -> Message:
    return Message(f"state-{event.time}", event.event, event.dataset_id, event.encode().decode())


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
    request: web.Request, subscription: Subscription, state: list[Message]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=_STREAM_HEADERS)
    await response.prepare(request)
    try:
        await _in_time(response.write(f"retry: {_RECONNECT_MILLISECS}\n\n".encode()))
        for message in state:
            await _in_time(response.write(_framed(message)))
        while (frame := await _next_frame(subscription)) is not None:
            await _in_time(response.write(frame))
    except (TimeoutError, ConnectionError):
        hang_up(request)
    return response


async def _next_frame(subscription: Subscription) -> bytes | None:
    try:
        async with asyncio.timeout(_HEARTBEAT_SECS):
            message = await subscription.next()
    except TimeoutError:
        return b": still here\n\n"
    return None if message is None else _framed(message)


def _framed(message: Message) -> bytes:
    # A line break inside a field would end it.
    data = "".join(f"data: {line}\n" for line in message.body.splitlines())
    identity = message.id if message.id.isascii() and message.id.isprintable() else "-"
    return f"id: {identity}\nevent: {message.event}\n{data}\n".encode()


async def _in_time(sending: Awaitable[None]) -> None:
    async with asyncio.timeout(_SEND_SECS):
        await sending
