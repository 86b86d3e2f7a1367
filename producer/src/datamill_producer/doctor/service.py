"""What is checked of a service that runs: whether there is one, its notifier, its clock."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial

from datamill.checkup import Check, Found, error, ok, warning
from datamill.errors import DatamillError, ServiceUnavailable, first_line
from datamill.runfile import Service, find_service
from datamill.settings import Settings
from datamill_producer.doctor.broker import broker_checks
from datamill_producer.doctor.clock import clock
from datamill_producer.doctor.private_broker import private_checks
from datamill_producer.gateway import Gateway

_TIMEOUT_SECS = 8.0


def service_checks(settings: Settings) -> Iterator[Check]:
    """Yield the checks of the service that commands would use here."""
    try:
        service = find_service(settings)
    except ServiceUnavailable as failure:
        yield Check("service", partial(_nothing_runs, first_line(failure)))
        return
    yield Check("service", partial(_addresses, service))
    if service.broker_url:
        yield from broker_checks(service.broker_url)
    if service.broker_url and not settings.broker_url:
        yield from private_checks(settings.home / "broker")
    if service.http_url:
        yield Check("notifier", partial(_notifier, service))
        yield Check("clock", partial(_clock, service.http_url))


def _nothing_runs(why: str) -> Iterator[Found]:
    says, _, advice = why.partition(": ")
    yield warning(says, advice or "`datamill up` runs everything on this machine")


def _addresses(service: Service) -> Iterator[Found]:
    if service.http_url is None:
        yield warning("the notifier's address is not known here", "set DATAMILL_URL")
    if service.broker_url is None:
        yield ok(f"over HTTP alone: {service.http_url}; the broker is not looked at")
    if service.broker_url and service.http_url:
        yield ok(f"notifier at {service.http_url}")
    if service.admin_token is None:
        yield ok("no admin token is known here: cancel and replay need DATAMILL_ADMIN_TOKEN")


def _notifier(service: Service) -> Iterator[Found]:
    try:
        parts = Gateway(service, _TIMEOUT_SECS).readiness()
    except DatamillError as failure:
        yield error(first_line(failure), "start it: `datamill up`, or `datamill notifier`")
        return
    broken = [name for name, works in parts.items() if works is False and name != "ready"]
    if broken:
        reason = f": {parts['reason']}" if "reason" in parts else ""
        yield error(
            f"it runs, and can't use: {', '.join(broken)}{reason}",
            "its log says why; the other lines here may, too",
        )
    else:
        yield ok("it serves, and all its parts work")


def _clock(url: str) -> Iterator[Found]:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=_TIMEOUT_SECS) as response:
            date = response.headers.get("Date")
    except (OSError, http.client.HTTPException, urllib.error.URLError):
        return  # said of the notifier
    yield from clock("the notifier's machine", date)
