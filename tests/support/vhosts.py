"""Looking at a virtual host of a node."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from datamill_producer.rabbitmq import PrivateNode


def vhost_of(url: str) -> str:
    """Return the virtual host of a broker's address."""
    return unquote(urlsplit(url).path[1:])


def per_queue(node: PrivateNode, url: str, column: str) -> dict[str, int]:
    """Return a number of each of Datamill's named queues: `messages`, `consumers`, …"""
    lines = node.ctl("list_queues", "-p", vhost_of(url), "--no-table-headers", "name", column)
    rows = (line.split("\t") for line in lines.splitlines() if line.startswith("dataset."))
    return {name: int(count) for name, count in rows}
