"""The broker: connections, publishing with confirms, consuming. pika's exceptions end here."""

from datamill.broker.batch_consumer import BatchConsumer
from datamill.broker.connection import connect, translated
from datamill.broker.consumer import Delivery
from datamill.broker.outbound import Outbound, OutboundRelay
from datamill.broker.pauses import backoff
from datamill.broker.publisher import Publisher
from datamill.broker.slot_consumer import SlotConsumer

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
