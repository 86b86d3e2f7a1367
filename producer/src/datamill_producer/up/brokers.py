"""The broker that `datamill up` works with: its own node, or one that the settings name."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from datamill import topology
from datamill.broker import connect, translated
from datamill_producer.rabbitmq import PrivateNode, ensure_installation
from datamill_producer.up.lost_queues import declare_lost_queues_anew

log = logging.getLogger(__name__)

NAME = "datamill up"


class Broker(Protocol):
    """A broker, as the supervisor sees it; all but `kill` are for the main thread."""

    @property
    def url(self) -> str:
        """Its address, with the password."""

    @property
    def pid(self) -> int | None:
        """Its process id, where it is our child."""

    def start(self) -> None:
        """Return when it takes connections and has the queues. Raises a `DatamillError`."""

    def settle(self) -> None:
        """Return when the queues would survive a crash."""

    def alive(self) -> bool:
        """Tell whether it runs, as far as that is ours to know."""

    def stop(self) -> None:
        """Stop it, where it is ours."""

    def kill(self) -> None:
        """Send SIGKILL to it, where it is ours; wait for nothing."""


class GivenBroker:
    """A broker that the settings name. Connections to it recover by themselves."""

    pid = None

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> None:
        """See to it that it can be reached and has the queues."""
        declare(self.url)
        log.info("using the broker at %s", place(self.url))

    def settle(self) -> None:
        """Do nothing: how it keeps its queues is not ours."""

    def alive(self) -> bool:
        """Return True: whoever runs it looks after it."""
        return True

    def stop(self) -> None:
        """Leave it alone."""

    def kill(self) -> None:
        """Leave it alone."""


class PrivateBroker:
    """A RabbitMQ node in the home, as a child of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._node: PrivateNode | None = None

    @property
    def url(self) -> str:
        """Its address, with the password."""
        assert self._node is not None, "it was not started"
        return self._node.url

    @property
    def pid(self) -> int | None:
        """The node's process id; None while it does not run."""
        return self._node.pid if self._node and self._node.alive() else None

    def start(self) -> None:
        """Start it, for the first time or again."""
        if self._node is None:
            self._node = PrivateNode(self._folder, ensure_installation(log=log.info))
        log.info("starting RabbitMQ, which takes some seconds")
        self._node.start()
        declare(self._node.url)
        declare_lost_queues_anew(self._node.url)
        log.info(
            "RabbitMQ runs on %s; its log is %s", place(self.url), self._folder / "console.log"
        )

    def settle(self) -> None:
        """Wait until the queues would survive a crash; takes 2 s at the first start."""
        assert self._node is not None, "it was not started"
        self._node.settle()

    def alive(self) -> bool:
        """Tell whether the node's process runs."""
        return self._node is not None and self._node.alive()

    def stop(self) -> None:
        """Stop it in order."""
        if self._node:
            self._node.stop()

    def kill(self) -> None:
        """Send SIGKILL to the node; epmd follows when this process ends."""
        if self._node and self._node.alive():
            os.killpg(self._node.pid, signal.SIGKILL)


def declare(url: str) -> None:
    """Declare the topology. Raises a `DatamillError`."""
    with translated(url):
        connection = connect(url, NAME)
        try:
            topology.declare(connection.channel())
        finally:
            if connection.is_open:
                connection.close()


def place(url: str) -> str:
    """Return an address without user and password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
