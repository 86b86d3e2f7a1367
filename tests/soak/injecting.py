"""Injecting the planned faults, each for real."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pika
from pika.exceptions import AMQPError
from sqlalchemy import select

from datamill import topology
from datamill_builder.catalog import lifecycle, schema
from datamill_builder.catalog.holdings import make_room
from datamill_producer.rabbitmq.errors import NodeFailed
from datamill_producer.up.descendants import descendants
from tests.soak.asking import DATASETS
from tests.soak.plan import PlannedFault
from tests.soak.service import Part, Service
from tests.support.invariants import files_below
from tests.support.small_disk import SmallDisk
from tests.support.toy import write_items

log = logging.getLogger(__name__)

T = TypeVar("T")

FAILPOINTS = (
    "intake.received",
    "intake.committed",
    "outbox.committed",
    "outbox.confirmed",
    "resolve.known",
    "plan.kept",
    "shard.written",
    "shard.kept",
    "shard.committed",
    "pack.shard",
    "pack.entry",
    "pack.synced",
    "pack.renamed",
    "pack.committed",
)
QUEUES = tuple(queue.name for queue in topology.QUEUES if queue.name != topology.DEAD_QUEUE)
POISON = (
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 10_000,
    b'{"dataset_name": NaN}',
    b'{"dataset_name": "../x"}',
)


class Injector:
    """Carries out one fault at a time, and undoes what does not end by itself."""

    def __init__(self, service: Service, disk: SmallDisk | None) -> None:
        self._service = service
        self._disk = disk
        self.injected: Counter[str] = Counter()
        self.without_victim: Counter[str] = Counter()
        self.by_hand = 0
        """How often the broker did not come back from a fault before its operator helped."""

    def inject(self, fault: PlannedFault) -> None:
        """Carry out a fault; return when it is over."""
        action = getattr(self, "_" + fault.name.replace(" ", "_").replace("'", ""))
        log.info("%7.1f s  %s (%.1f s)", fault.at_secs, fault.name, fault.secs)
        if action(fault) is False:
            self.without_victim[fault.name] += 1
        else:
            self.injected[fault.name] += 1

    # --- processes ---

    def _builder(self, fault: PlannedFault) -> Part:
        return _pick(self._service.builders, fault.dice)

    def _kill_a_builder(self, fault: PlannedFault) -> None:
        self._builder(fault).send(signal.SIGKILL)

    def _kill_a_builder_at_a_failpoint(self, fault: PlannedFault) -> None:
        point = FAILPOINTS[int(fault.dice * 1000) % len(FAILPOINTS)]
        self._builder(fault).die_at(f"{point}@{1 + int(fault.dice * 100_000) % 4}")

    def _pause_a_builder(self, fault: PlannedFault) -> None:
        builder = self._builder(fault)
        builder.send(signal.SIGSTOP)
        time.sleep(2 * fault.secs)  # how long the pause is: up to two leases
        builder.send(signal.SIGCONT)

    def _stop_a_builder(self, fault: PlannedFault) -> None:
        self._builder(fault).tell_to_stop()

    def _kill_a_handler(self, fault: PlannedFault) -> bool:
        pids = [pid for part in self._service.builders for pid in descendants(part.pid or 0)]
        if not pids:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(_pick(pids, fault.dice), signal.SIGKILL)
        return True

    def _kill_the_notifier(self, _fault: PlannedFault) -> None:
        self._service.notifier.send(signal.SIGKILL)

    def _stop_the_notifier(self, _fault: PlannedFault) -> None:
        self._service.notifier.tell_to_stop()

    # --- broker and network ---

    def _kill_the_broker(self, fault: PlannedFault) -> None:
        self._service.node.kill()
        time.sleep(fault.secs)  # how long it is away
        self._service.start_the_broker()
        self.by_hand += self._service.look_after_the_broker()

    def _stop_the_brokers_application(self, fault: PlannedFault) -> None:
        self._service.node.ctl("stop_app")
        time.sleep(fault.secs)
        self._service.node.ctl("start_app")
        self.by_hand += self._service.look_after_the_broker()

    def _close_the_brokers_connections(self, _fault: PlannedFault) -> None:
        self._service.node.ctl("close_all_connections", "soak")

    def _delete_a_queue(self, fault: PlannedFault) -> bool:
        try:
            with contextlib.closing(self._connect()) as connection:
                connection.channel().queue_delete(_pick(QUEUES, fault.dice))
        except (AMQPError, OSError):
            return False
        return True

    def _raise_a_memory_alarm(self, fault: PlannedFault) -> None:
        self._service.node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        time.sleep(fault.secs)
        self._service.node.ctl("set_vm_memory_high_watermark", "absolute", "512MB")

    def _shorten_the_acknowledgement_timeout(self, fault: PlannedFault) -> None:
        self._set_timeout(2000)
        time.sleep(2 * fault.secs)
        self._set_timeout(1_800_000)

    def _set_timeout(self, millisecs: int) -> None:
        self._service.node.ctl(
            "eval", f"application:set_env(rabbit, consumer_timeout, {millisecs})."
        )

    def _black_out_the_network(self, fault: PlannedFault) -> None:
        self._service.network.black_out()
        time.sleep(3 * fault.secs)
        self._service.network.heal()

    def _cut_the_network(self, _fault: PlannedFault) -> None:
        self._service.network.cut()

    def _cut_downloads(self, fault: PlannedFault) -> None:
        self._service.downloads.cut_after_bytes = int(fault.dice * 40_000)
        time.sleep(2 * fault.secs)
        self._service.downloads.cut_after_bytes = None

    def _send_poison(self, fault: PlannedFault) -> bool:
        try:
            with contextlib.closing(self._connect()) as connection:
                connection.channel().basic_publish(
                    topology.REQUESTS_EXCHANGE, "dataset.request.toy", _pick(POISON, fault.dice)
                )
        except (AMQPError, OSError):
            return False
        return True

    def _connect(self) -> Any:
        return pika.BlockingConnection(pika.URLParameters(self._service.url))

    # --- administration ---

    def _cancel_a_dataset(self, fault: PlannedFault) -> bool:
        with contextlib.closing(self._service.open_catalog()) as catalog, catalog.read() as reading:
            active = reading.scalars(
                select(schema.datasets.c.dataset_id)
                .outerjoin(
                    schema.builds, schema.builds.c.content_key == schema.datasets.c.content_key
                )
                .where(
                    (schema.datasets.c.state == "resolving")
                    | schema.builds.c.state.in_(("planning", "building", "packing"))
                )
                .order_by(schema.datasets.c.dataset_id)
            ).all()
        return bool(active) and self._admin("POST", f"/datasets/{_pick(active, fault.dice)}/cancel")

    def _replay_accepted_requests(self, fault: PlannedFault) -> bool:
        with contextlib.closing(self._service.open_catalog()) as catalog, catalog.read() as reading:
            ids = reading.scalars(select(schema.requests.c.dataset_id).distinct()).all()
            row = lifecycle.find_dataset(reading, _pick(ids, fault.dice)) if ids else None
        if row is None:
            return False
        body = (
            f'{{"dataset_name": "{row.dataset_name}", "handler_version": "{row.handler_version}", '
            f'"dataset_config": {row.config}}}'
        )
        return self._http("POST", "/requests", body)

    def _admin(self, method: str, path: str) -> bool:
        token = (self._service.home / "admin-token").read_text().strip()
        return self._http(method, f"/admin{path}", "", {"Authorization": f"Bearer {token}"})

    def _http(
        self, method: str, path: str, body: str, headers: dict[str, str] | None = None
    ) -> bool:
        """Return whether the notifier did it: it may be down just now."""
        connection = http.client.HTTPConnection("127.0.0.1", self._service.http_port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            return connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _evict_an_archive(self, fault: PlannedFault) -> bool:
        with contextlib.closing(self._service.open_catalog()) as catalog:
            held = sum(path.stat().st_size for path in self._archives())
            budget = int(held * fault.dice)
            return bool(make_room(catalog, self._service.store, budget, kept_secs=0.0).gone)

    # --- storage ---

    def _archives(self) -> list[Path]:
        return sorted((self._service.home / "store" / "archives").glob("*.zip"))

    def _flip_a_bit_in_a_shard(self, fault: PlannedFault) -> bool:
        shards = files_below(self._service.home / "store" / "shards")
        return _flip_in_one_of(shards, fault.dice)

    def _flip_a_bit_in_an_archive(self, fault: PlannedFault) -> bool:
        return _flip_in_one_of(self._archives(), fault.dice)

    def _truncate_an_archive(self, fault: PlannedFault) -> bool:
        archives = self._archives()
        if archives:
            with contextlib.suppress(FileNotFoundError):
                victim = _pick(archives, fault.dice)
                os.truncate(victim, victim.stat().st_size // 2)
        return bool(archives)

    def _delete_an_archive(self, fault: PlannedFault) -> bool:
        archives = self._archives()
        if archives:
            _pick(archives, fault.dice).unlink(missing_ok=True)
        return bool(archives)

    def _change_raw_data(self, fault: PlannedFault) -> None:
        name = _pick(("toy", "slow", "spotty"), fault.dice)
        more = [f"item {fault.at_secs:.3f}"]
        write_items(self._service.home / "raw", [*DATASETS[name], *more], name)

    def _lock_the_catalog(self, fault: PlannedFault) -> None:
        connection = sqlite3.connect(self._service.catalog_path, timeout=30, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(fault.secs)
        connection.execute("ROLLBACK")
        connection.close()

    def _fill_the_disk(self, fault: PlannedFault) -> bool:
        if self._disk is None:
            return False
        self._disk.fill()
        time.sleep(fault.secs)
        self._disk.free()
        return True

    def _move_a_clock(self, fault: PlannedFault) -> None:
        clock = _pick(self._service.clocks, fault.dice)
        clock.shift(_pick((3600.0, -3600.0, 86_400.0), fault.dice * 7 % 1))
        time.sleep(2 * fault.secs)
        clock.shift(0.0)

    # --- the end ---

    def heal(self) -> None:
        """End whatever may still go on."""
        for part in self._service.parts:
            part.send(signal.SIGCONT)
        self._service.network.heal()
        self._service.downloads.cut_after_bytes = None
        self._service.node.start()
        with contextlib.suppress(NodeFailed):
            self._service.node.ctl("start_app")
        self._service.start_the_broker()
        self.by_hand += self._service.look_after_the_broker()
        self._service.node.ctl("set_vm_memory_high_watermark", "absolute", "512MB")
        self._set_timeout(1_800_000)


def _pick(choices: Sequence[T], dice: float) -> T:
    return choices[int(dice * len(choices))]


def _flip_in_one_of(files: list[Path], dice: float) -> bool:
    if not files:
        return False
    with contextlib.suppress(FileNotFoundError), _pick(files, dice).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(int(size * dice))
        byte = file.read(1)
        if byte:
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
    return True
