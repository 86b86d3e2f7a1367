"""A private RabbitMQ node for this machine: finding or providing the server, running it."""

from datamill_producer.rabbitmq.errors import FolderInUse, NodeFailed, NoRabbitMQ
from datamill_producer.rabbitmq.install import ensure_installation, ensure_release
from datamill_producer.rabbitmq.installation import Installation, find_installation
from datamill_producer.rabbitmq.node import PrivateNode

__all__ = [
    "FolderInUse",
    "Installation",
    "NoRabbitMQ",
    "NodeFailed",
    "PrivateNode",
    "ensure_installation",
    "ensure_release",
    "find_installation",
]
