"""The broker stops, is killed, or closes every connection (faults 13 to 15)."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import func, select

from datamill import topology
from datamill.broker import Publisher
from datamill.errors import ServiceUnavailable
from datamill.request import Request
from datamill_builder.catalog import schema
from datamill_builder.handlers.spares import SPARES
from datamill_producer.rabbitmq import PrivateNode
from datamill_producer.up.descendants import descendants
from tests.support import proc
from tests.support.builder import BuilderProcess, Start
from tests.support.eventually import eventually
from tests.support.fault import Fault
from tests.support.listener import Connect
from tests.support.notifier import StartNotifier
from tests.support.own_node import node
from tests.support.toy import write_items
from tests.support.vhosts import per_queue, vhost_of

__all__ = ["node"]

SETTLE_SECS = 2.0
"""A quorum queue younger than about a second does not survive `kill -9` of the broker, and nothing
tells when it does: the one thing here that can only be waited for."""


class Asker(threading.Thread):
    """Asks again and again, each time under a new message id, which it keeps over retries."""

    def __init__(self, url: str, requests: list[Request]) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._requests = requests
        self._stopping = threading.Event()
        self.confirmed: list[str] = []
        self.unknown: set[str] = set()
        """Ids of messages of which it could not be told whether the broker had them."""

    def run(self) -> None:
        with Publisher(self._url) as publisher:
            number = 0
            while not self._stopping.wait(0.02):
                self._ask(publisher, self._requests[number % len(self._requests)])
                number += 1

    def _ask(self, publisher: Publisher, request: Request) -> None:
        message_id, key = str(uuid.uuid4()), topology.request_key(request.dataset_name)
        while True:
            try:
                publisher.publish(topology.REQUESTS_EXCHANGE, key, request.encode(), message_id)
            except ServiceUnavailable:
                self.unknown.add(message_id)
                self._stopping.wait(0.1)
                continue
            self.confirmed.append(message_id)
            return

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive()


def _accepted(builder: BuilderProcess) -> set[str]:
    catalog = builder.catalog
    with catalog.read() as connection:
        ids = set(connection.scalars(select(schema.requests.c.message_id)))
    catalog.close()
    return ids


def _builds(builder: BuilderProcess) -> int:
    catalog = builder.catalog
    with catalog.read() as connection:
        count = connection.scalar(select(func.count()).select_from(schema.builds)) or 0
    catalog.close()
    return count


# --- 13: stopped and started ----------------------------------------------------------------------


@pytest.mark.parametrize("secs_off", [2, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.fault(13, "broker stopped and started")
def test_all_come_back_by_themselves(
    home: Path,
    start_builder: Start,
    start_notifier: StartNotifier,
    client: Connect,
    node: PrivateNode,
    broker_url: str,
    fault: Fault,
    secs_off: int,
) -> None:
    write_items(home / "raw", ["sleep 0.2"] * 24)
    builder = start_builder(home)
    notifier = start_notifier()
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "shard")
    eventually(lambda: notifier.ask("/readyz").status == 200)
    fault.injected()
    node.ctl("stop_app")
    began = time.monotonic()
    eventually(lambda: notifier.ask("/readyz").status == 503)
    assert notifier.ask("/requests", "POST", b"{}").status == 400, "it serves all the same"
    eventually(lambda: time.monotonic() - began > secs_off)
    started = time.monotonic()
    node.ctl("start_app")
    again = client()
    eventually(lambda: notifier.ask("/readyz").status == 200)
    back_secs = time.monotonic() - started
    ready = again.wait(again.ask("toy"))
    secs = fault.recovered()
    fault.watch(builder, again)
    assert ready["records"] == 24
    assert _builds(builder) == 1
    assert per_queue(node, broker_url, "messages")[topology.DEAD_QUEUE] == 0
    assert "320" in builder.log(), "the broker said that it was told to"
    assert notifier.stop() == 0
    fault.saw(
        f"away for {secs_off} s; /readyz 503 meanwhile, 200 {back_secs:.1f} s after; nobody was "
        f"told to; ready {secs:.1f} s after the stop"
    )


@pytest.mark.parametrize("restarts", [3, pytest.param(10, marks=pytest.mark.long)])
@pytest.mark.fault(13, "broker restarted again and again")
def test_restarts_dead_letter_nothing(
    home: Path,
    start_builder: Start,
    client: Connect,
    node: PrivateNode,
    broker_url: str,
    fault: Fault,
    restarts: int,
) -> None:
    """Each restart spends one delivery of all that is unacknowledged; twenty are allowed."""
    write_items(home / "raw", [f"sleep {1.5 * restarts}", *["item"] * 3, *["sleep 0.5"] * 8])
    builder = start_builder(home)
    trainer = client()
    dataset_id = trainer.ask("toy")
    trainer.wait(dataset_id, "planned")
    fault.injected()
    for _ in range(restarts):
        node.ctl("stop_app")
        node.ctl("start_app")
        eventually(lambda: per_queue(node, broker_url, "consumers")[topology.SHARDS_QUEUE])
    again = client()
    ready = again.wait(again.ask("toy"), timeout_secs=120)
    secs = fault.recovered()
    fault.watch(builder, again)
    assert ready["records"] == 12
    assert _builds(builder) == 1
    assert per_queue(node, broker_url, "messages")[topology.DEAD_QUEUE] == 0
    fault.saw(
        f"{restarts} restarts in a row during one build: no dead letter, 1 build, {secs:.1f} s"
    )


# --- 14: killed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=pytest.mark.long)])
@pytest.mark.fault(14, "broker killed between publish and confirm")
def test_what_was_confirmed_is_processed(
    home: Path,
    start_builder: Start,
    client: Connect,
    node: PrivateNode,
    broker_url: str,
    fault: Fault,
    kills: int,
) -> None:
    builder = start_builder(home)
    time.sleep(SETTLE_SECS)
    node.settle(wait_secs=0)
    requests = [Request.of("toy", "1.0.0", {"max_items": number}) for number in range(1, 5)]
    askers = [Asker(broker_url, requests) for _ in range(4)]
    for asker in askers:
        asker.start()
    fault.injected()
    for _ in range(kills):
        before = [len(asker.confirmed) for asker in askers]
        eventually(
            lambda before=before: all(
                len(asker.confirmed) > count + 10
                for asker, count in zip(askers, before, strict=True)
            )
        )
        node.kill()
        node.start()
    for asker in askers:
        asker.stop()
    confirmed = {message_id for asker in askers for message_id in asker.confirmed}
    eventually(lambda: confirmed <= _accepted(builder))
    trainer = client()
    for request in requests:
        trainer.wait(trainer.ask("toy", config=request.dataset_config))
    secs = fault.recovered()
    fault.watch(builder, trainer)
    # What tells of a dataset may be the answer to another request for it.
    eventually(lambda: len(_accepted(builder)) >= len(confirmed) + len(requests))
    accepted = _accepted(builder)
    unknown = sum(len(asker.unknown) for asker in askers)
    assert unknown, "no kill came between publish and confirm"
    assert confirmed <= accepted
    assert len(accepted) == len(confirmed) + len(requests), "each once, under its message id"
    assert _builds(builder) == len(requests) == len(builder.archives())
    fault.saw(
        f"{kills} kills under 4 publishers: {len(confirmed)} confirmed, all processed once, after "
        f"{unknown} of unknown fate were repeated; {len(requests)} builds, all told {secs:.1f} s "
        "after the first kill"
    )


# --- 15: connections closed -----------------------------------------------------------------------


@pytest.mark.parametrize("secs_closing", [12, pytest.param(60, marks=pytest.mark.long)])
@pytest.mark.fault(15, "every connection closed every 2 s")
def test_work_goes_on_and_nothing_grows(
    home: Path,
    start_builder: Start,
    client: Connect,
    node: PrivateNode,
    broker_url: str,
    fault: Fault,
    secs_closing: int,
) -> None:
    workers, shards = 2, secs_closing + 16  # which make one in a second
    write_items(home / "raw", ["sleep 0.5"] * (4 * shards))
    builder = start_builder(home)
    assert builder.process is not None
    pid = builder.process.pid
    trainer = client()
    trainer.wait(trainer.ask("toy"), "shard")
    _close_connections(node, broker_url, 2)  # whatever is opened at need is open by now
    # So are the processes that wait for another config.
    eventually(lambda: len(descendants(pid)) >= workers + SPARES)
    before = proc.threads(pid), proc.descriptors(pid)
    done_before = _shards_done(builder)
    fault.injected()
    closings = secs_closing // 2
    _close_connections(node, broker_url, closings)
    made = _shards_done(builder) - done_before
    assert made > secs_closing // 4, "the build goes on meanwhile"
    eventually(lambda: max(map(abs, _grown(pid, before))) <= 5)
    grown = _grown(pid, before)
    again = client()
    ready = again.wait(again.ask("toy"), timeout_secs=120)
    secs = fault.recovered()
    fault.watch(builder, again)
    assert ready["records"] == 4 * shards
    fault.saw(
        f"closed {closings} times in {secs_closing} s: {made} shards made meanwhile, threads "
        f"{grown[0]:+d}, descriptors {grown[1]:+d}; ready {secs:.1f} s after the first"
    )


def _close_connections(node: PrivateNode, url: str, times: int) -> None:
    """Close all connections every two seconds; return when the workers have come back."""
    for _ in range(times):
        next_at = time.monotonic() + 2.0
        node.ctl("close_all_connections", "-p", vhost_of(url), "a test")
        time.sleep(max(0.0, next_at - time.monotonic()))
    eventually(lambda: per_queue(node, url, "consumers")[topology.SHARDS_QUEUE] >= 2)


def _shards_done(builder: BuilderProcess) -> int:
    catalog = builder.catalog
    with catalog.read() as connection:
        done = connection.scalar(
            select(func.count()).where(
                schema.tasks.c.kind == "shard", schema.tasks.c.state == "done"
            )
        )
    catalog.close()
    return done or 0


def _grown(pid: int, before: tuple[int, int]) -> tuple[int, int]:
    return proc.threads(pid) - before[0], proc.descriptors(pid) - before[1]
