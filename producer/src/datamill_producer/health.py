"""How the service as a whole is: broker, notifier, builds."""

from __future__ import annotations

from datamill import topology
from datamill.broker import connect, translated
from datamill.errors import DatamillError, first_line
from datamill.runfile import Service
from datamill_producer.gateway import Document, Gateway
from datamill_producer.up.brokers import place


def look(service: Service) -> Document:
    """Return `broker`, `builder`, `notifier` and `builds`.

    Each has `ok` (None: it could not be looked at from here), and `error` where it is not.
    """
    broker = _broker(service.broker_url)
    return {
        "broker": broker,
        "builder": _builder(broker),
        "notifier": _notifier(service),
        "builds": _builds(service),
    }


def is_well(looked: Document) -> bool:
    """Return whether nothing is wrong, as far as it could be looked at."""
    return all(part["ok"] is not False for part in looked.values())


def _broker(url: str | None) -> Document:
    if url is None:
        return {"ok": None, "error": "its address is not known here"}
    try:
        with translated(url):
            connection = connect(url, "datamill status")
            try:
                queues = [_queue(connection.channel(), queue.name) for queue in topology.QUEUES]
            finally:
                if connection.is_open:
                    connection.close()
    except DatamillError as error:
        return {"ok": False, "url": place(url), "error": first_line(error)}
    return {"ok": True, "url": place(url), "queues": queues}


def _queue(channel: object, name: str) -> Document:
    try:
        with translated():
            answer = channel.queue_declare(name, passive=True)  # type: ignore[attr-defined]
    except DatamillError as error:
        return {"name": name, "error": first_line(error)}
    counts = answer.method
    return {"name": name, "messages": counts.message_count, "consumers": counts.consumer_count}


def _builder(broker: Document) -> Document:
    queues = {queue["name"]: queue for queue in broker.get("queues", ())}
    consumers = queues.get(topology.REQUESTS_QUEUE, {}).get("consumers")
    if consumers is None:
        return {"ok": None, "error": "the broker does not say who takes requests"}
    if consumers == 0:
        return {"ok": False, "error": "nobody takes requests: start a builder"}
    return {"ok": True}


def _notifier(service: Service) -> Document:
    if service.http_url is None:
        return {"ok": None, "error": "its address is not known here: set DATAMILL_URL"}
    try:
        parts = Gateway(service).readiness()
    except DatamillError as error:
        return {"ok": False, "url": service.http_url, "error": first_line(error)}
    broken = [name for name, works in parts.items() if not works and name != "ready"]
    found: Document = {"ok": not broken, "url": service.http_url, "parts": parts}
    reason = f" ({parts['reason']})" if "reason" in parts else ""
    return found | ({"error": f"does not work: {', '.join(broken)}{reason}"} if broken else {})


def _builds(service: Service) -> Document:
    try:
        gateway = Gateway(service)
        building, queued = gateway.datasets("building"), gateway.datasets("queued")
    except DatamillError as error:
        return {"ok": None, "error": first_line(error)}
    return {"ok": True, "building": building, "queued": queued}
