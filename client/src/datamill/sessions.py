"""The sessions of this process: one per service."""

from __future__ import annotations

import atexit
import os
import threading

from datamill.client_name import client_name
from datamill.environment import settings_in_force
from datamill.runfile import Service, find_service
from datamill.session import Session
from datamill.subscription import Subscription, checked

_sessions: dict[Service, Session] = {}
_guard = threading.Lock()


def session_for(service: Service) -> Session:
    """Return this process's session with a service."""
    with _guard:
        session = _sessions.get(service)
        if session is None or session.broken:
            if session:
                session.close()
            session = _sessions[service] = _open(service)
        return session


def _open(service: Service) -> Session:
    client = client_name(settings_in_force())
    # What each needs is loaded with it: a training should not wait for what it does not use.
    if service.broker_url:
        from datamill.broker_session import BrokerSession

        return BrokerSession(service.broker_url, service.http_url, client=client)
    from datamill.http_session import HttpSession

    assert service.http_url
    return HttpSession(service.http_url, client=client)


def subscribe(pattern: str = "dataset.*.*") -> Subscription:
    """Return the events whose routing key matches, from now on: `"dataset.ready.*"`.

    Close it, or use it in a `with`. Events are hints: some may come twice, or be missed while
    there is no connection. Raises `InvalidRequest`, `ServiceUnavailable`.
    """
    checked(pattern)
    return session_for(find_service(settings_in_force())).subscribe(pattern)


def close_sessions() -> None:
    """Close all sessions of this process; the next request opens one anew."""
    with _guard:
        sessions = list(_sessions.values())
        _sessions.clear()
    for session in sessions:
        session.close()


def _after_fork() -> None:
    """Leave the parent's sessions to it: their threads are not in this process."""
    global _guard
    _guard = threading.Lock()
    _sessions.clear()


atexit.register(close_sessions)
os.register_at_fork(after_in_child=_after_fork)
