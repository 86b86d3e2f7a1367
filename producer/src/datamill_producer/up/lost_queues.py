"""Queues that a broker has lost, and nobody would get back.

A quorum queue whose node is killed soon after the queue was declared may be destroyed, with all
that was confirmed (seen on RabbitMQ 3.10.8, 4.0.5 and 4.3.6). It is still listed and can be
declared, but whoever consumes from it is answered 541, publishers are refused, and no restart
changes that: it has to be deleted, and declared again. That is done here for a node that is ours
alone; of a cluster, a queue may merely be out of reach.
"""

from __future__ import annotations

import logging
import time

from pika.exceptions import ConnectionClosedByBroker

from datamill import topology
from datamill.broker import connect, translated

log = logging.getLogger(__name__)

PATIENCE_SECS = 10.0
"""How long a queue that answers 541 is given: it may be coming up."""
_LOOK_SECS = 0.5
_INTERNAL_ERROR = 541
_NAME = "datamill: lost queues"


def declare_lost_queues_anew(url: str, patience_secs: float = PATIENCE_SECS) -> list[str]:
    """Delete the queues that a node has lost, declare them again, and return their names.

    What lay in them the node has lost already. Work is put back from the catalog; requests that no
    builder had taken have to be asked again, as who waits with `import datamill` does.
    Raises a `DatamillError` where the broker can't be asked.
    """
    deadline = time.monotonic() + patience_secs
    lost = [queue.name for queue in topology.QUEUES if not _can_be_consumed(url, queue.name)]
    while lost and time.monotonic() < deadline:
        time.sleep(_LOOK_SECS)  # nothing tells when a queue is up: it can only be asked again
        lost = [name for name in lost if not _can_be_consumed(url, name)]
    for name in lost:
        log.error("RabbitMQ has lost the queue %s, and what was in it; declaring it anew", name)
    if lost:
        with translated(url), connect(url, _NAME) as connection:
            channel = connection.channel()
            for name in lost:
                channel.queue_delete(name)
            topology.declare(channel)
    return lost


def _can_be_consumed(url: str, queue_name: str) -> bool:
    with translated(url):
        connection = connect(url, _NAME)
        try:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=1)
            channel.basic_consume(queue_name, lambda *_: None)  # what comes goes back at once
        except ConnectionClosedByBroker as error:
            if error.reply_code == _INTERNAL_ERROR:
                return False
            raise
        finally:
            if connection.is_open:
                connection.close()
    return True
