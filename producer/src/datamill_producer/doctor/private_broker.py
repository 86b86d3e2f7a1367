"""What the private node's own tools tell: alarms, limits that AMQP says nothing of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from datamill.checkup import Check, Found, error, ok, warning
from datamill.table import size
from datamill_producer.rabbitmq import NodeFailed, NoRabbitMQ, PrivateNode, find_installation

_LEAST_TIMEOUT_MS = 1_800_000
"""What a delivery may take at least: a shard's time limit, `DATAMILL_SHARD_TIMEOUT_SECS`."""
_NUMBER = re.compile(r"\d+")


def private_checks(folder: Path) -> Iterator[Check]:
    """Yield the checks of a node whose folder is this one; none where there is no node."""
    if (folder / "ports.json").exists():
        yield Check("private broker", partial(_node, folder))


def _node(folder: Path) -> Iterator[Found]:
    try:
        installation = find_installation()
        if installation is None:
            yield error("its RabbitMQ is not on this machine any more", "make setup brings it back")
            return
        node = PrivateNode(folder, installation)
        status = json.loads(node.running().ctl("status", "--formatter", "json"))
        timeout = node.ctl("eval", "application:get_env(rabbit, consumer_timeout).")
    except (NoRabbitMQ, NodeFailed, ValueError) as failure:
        yield warning(f"its tools say nothing: {failure}".splitlines()[0], "is `datamill up` on?")
        return
    yield from _alarms(status)
    yield from _limits(status)
    yield from _timeout(timeout)


def _alarms(status: dict[str, Any]) -> Iterator[Found]:
    alarms = status.get("alarms") or []
    if alarms:
        yield error(f"an alarm is on: {json.dumps(alarms)}", "make room: it goes on by itself")
    else:
        yield ok(f"RabbitMQ {status.get('rabbitmq_version', '?')}, no alarm is on")


def _limits(status: dict[str, Any]) -> Iterator[Found]:
    free, limit = status.get("disk_free"), status.get("disk_free_limit")
    if isinstance(free, int) and isinstance(limit, int):
        said = f"disk: {size(free)} free, it stops below {size(limit)}"
        near = free < 4 * limit
        yield warning(said, "make room on the disk of the home") if near else ok(said)
    memory = status.get("vm_memory_high_watermark_limit")
    used = (status.get("memory") or {}).get("total", {})
    held = used.get("rss") if isinstance(used, dict) else None
    if isinstance(memory, int) and isinstance(held, int):
        said = f"memory: {size(held)} of {size(memory)}"
        high = held > memory * 3 // 4
        yield warning(said, "many messages wait in it: see the queues") if high else ok(said)


def _timeout(answer: str) -> Iterator[Found]:
    """Say how long a delivery may stay unacknowledged; the answer is `{ok,3600000}`."""
    found = _NUMBER.search(answer)
    if found is None:
        yield ok("a delivery may take any time (no consumer timeout)")
        return
    said = f"a delivery may take {int(found[0]) // 1000} s (consumer timeout)"
    if int(found[0]) < _LEAST_TIMEOUT_MS:
        yield warning(said, "shards that take longer are begun again: set it to an hour")
    else:
        yield ok(said)
