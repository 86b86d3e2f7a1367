"""The broker: connections, publishing with confirms, consuming. pika's exceptions end here."""

from datamill.broker.connection import connect, translated
from datamill.broker.consumer import BatchConsumer, Delivery, SlotConsumer
from datamill.broker.outbound import Outbound, OutboundRelay
from datamill.broker.pauses import backoff
from datamill.broker.publisher import Publisher

__all__ = [
    "BatchConsumer",
    "Delivery",
    "Outbound",
    "OutboundRelay",
    "Publisher",
    "SlotConsumer",
    "backoff",
    "connect",
    "translated",
]
