"""What can go wrong with the private node."""

from datamill.errors import BrokerUnavailable, DatamillError

CHOICES = (
    "install RabbitMQ 3.10 or newer (package rabbitmq-server; on macOS `brew install rabbitmq`), "
    "or set DATAMILL_BROKER_URL to a broker that you have, or use `docker compose up`"
)


class NoRabbitMQ(DatamillError):
    """There is no RabbitMQ server on this machine."""

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(f"{reason or 'There is no RabbitMQ server on this machine'}: {CHOICES}")


class NodeFailed(BrokerUnavailable):
    """The private RabbitMQ node did not do what it was asked."""


class FolderInUse(DatamillError):
    """Another process runs a RabbitMQ node in this folder."""
