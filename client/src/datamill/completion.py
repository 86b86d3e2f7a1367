"""Waiting in a coroutine."""

from __future__ import annotations

import asyncio

from datamill.environment import settings_in_force
from datamill.errors import RequestFailed, ServiceUnavailable, WaitTimeout
from datamill.events import Ready
from datamill.http_session import feed
from datamill.http_state import fetch_state
from datamill.runfile import find_service
from datamill.session import REPEAT_SECS, Session
from datamill.sessions import session_for
from datamill.tracker import Tracker, tracker_of


async def wait_for_completion(dataset_id: str, timeout: float | None = None) -> Ready:
    """Wait until a dataset is ready, whoever asked for it; return its `ready` event.

    Nothing is downloaded: `Dataset.wait` does that. Raises `RequestFailed`, `WaitTimeout` after
    `timeout` seconds, `ServiceUnavailable`.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _completion(dataset_id)
    except TimeoutError as error:
        raise WaitTimeout(f"{dataset_id[:12]} is not ready yet") from error


async def _completion(dataset_id: str) -> Ready:
    tracker = tracker_of(dataset_id)
    if tracker is not None:
        await tracker.answer()
    else:
        tracker = Tracker(dataset_id)
        session = await asyncio.to_thread(_watch, tracker)
        await _answer_or_state(session, tracker)
    if failed := tracker.failed:
        raise RequestFailed(failed.reason.value, failed.message, failed.retryable, dataset_id)
    if tracker.ready is None:
        raise tracker.error or ServiceUnavailable(f"{dataset_id[:12]} was evicted meanwhile")
    return tracker.ready


def _watch(tracker: Tracker) -> Session:
    session = session_for(find_service(settings_in_force()))
    session.watch(tracker)
    return session


async def _answer_or_state(session: Session, tracker: Tracker) -> None:
    """Wait for an event; look at the state first, and now and then: an event may be missed."""
    while not tracker.settled:
        if session.http_url:
            await asyncio.to_thread(_look, session.http_url, tracker)
        try:
            async with asyncio.timeout(REPEAT_SECS):
                await tracker.answer()
        except TimeoutError:
            continue


def _look(http_url: str, tracker: Tracker) -> None:
    try:
        state = fetch_state(http_url, tracker.dataset_id)
    except ServiceUnavailable:
        return  # events still come by the broker
    if state is not None:
        feed(tracker, state)
