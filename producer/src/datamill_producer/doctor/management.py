"""What RabbitMQ's management API tells of alarms and limits, where the user gives its address."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from datamill.checkup import Check, Found, error, ok
from datamill.errors import first_line
from datamill_producer.doctor.clock import clock

_TIMEOUT_SECS = 8.0


def management_checks(address: str) -> Iterator[Check]:
    """Yield the checks over `http(s)://user:password@host:15672`."""
    yield Check("broker management", partial(_management, address))


def _management(address: str) -> Iterator[Found]:
    try:
        nodes, date = _ask(address, "/api/nodes")
    except (OSError, http.client.HTTPException, ValueError) as failure:
        yield error(
            f"the management API can't be asked: {first_line(failure)}",
            "look at address, user and password; rabbitmq-plugins enable rabbitmq_management",
        )
        return
    for node in nodes:
        yield _node(node)
    yield from clock("the broker's machine", date)


def _node(node: dict[str, Any]) -> Found:
    name = node.get("name", "a node")
    alarms = [word for word in ("mem_alarm", "disk_free_alarm") if node.get(word)]
    if not node.get("running", True):
        return error(f"{name} does not run", "start it")
    if alarms or node.get("partitions"):
        told = ", ".join([*alarms, *(["a partition"] if node.get("partitions") else [])])
        return error(f"{name}: {told}", "make room, or heal the cluster")
    return ok(f"{name} runs, no alarm is on, {node.get('fd_used')} of {node.get('fd_total')} files")


def _ask(address: str, path: str) -> tuple[Any, str | None]:
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}{path}"
    call = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(call, timeout=_TIMEOUT_SECS) as response:
        return json.load(response), response.headers.get("Date")
