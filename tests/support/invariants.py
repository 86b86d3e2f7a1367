"""What has to hold after every fault, whatever it was: nothing lost, nothing twice, nothing half.

I1  each accepted request has its answer, and each client that waited was told
I2  a content key has at most one published archive, whose SHA-256 is the catalog's
I3  no file is left of work that nobody does any more
I4  every queue is empty, but for the dead letters; so is the outbox
I5  nothing that others can read is partial: archives, shards of builds that go on
"""

from __future__ import annotations

import fcntl
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select

from datamill_builder.catalog import Catalog, schema
from datamill_builder.catalog.states import ACTIVE_BUILDS, BuildState, DatasetState
from datamill_builder.handlers.wheels import file_sha256
from datamill_builder.store import Store
from datamill_producer.rabbitmq import PrivateNode
from tests.support.listener import PlainClient
from tests.support.vhosts import per_queue

_LOOK_SECS = 0.1


def hold(
    catalog: Catalog,
    store: Store,
    queues: Callable[[], dict[str, int]],
    clients: Iterable[PlainClient] = (),
    timeout_secs: float = 60.0,
) -> None:
    """Return once all invariants hold; raise `AssertionError` that names what does not.

    `queues` returns the messages, ready and unacknowledged, per queue.
    """
    clients = list(clients)
    deadline = time.monotonic() + timeout_secs
    while broken := list(_broken(catalog, store, clients)) or list(_undrained(queues())):
        assert time.monotonic() < deadline, "\n".join(broken)
        listening = [client for client in clients if client.is_open]
        for client in listening:
            client.listen(_LOOK_SECS / len(listening))
        if not listening:
            time.sleep(_LOOK_SECS)


def queue_depths(node: PrivateNode, url: str) -> dict[str, int]:
    """Return the messages, ready and unacknowledged, of each named queue of a virtual host."""
    return per_queue(node, url, "messages")


def _undrained(depths: dict[str, int]) -> Iterator[str]:
    for name, count in depths.items():
        if count and name != "dataset.dead.v1":
            yield f"I4: {count} messages are left in {name}"


def _broken(catalog: Catalog, store: Store, clients: list[PlainClient]) -> Iterator[str]:
    with catalog.read() as connection:
        yield from _unanswered(connection)
        yield from _archives(connection, store)
        yield from _shards(connection, store)
        if left := connection.scalar(select(func.count()).select_from(schema.outbox)):
            yield f"I4: {left} messages are left in the outbox"
    for client in clients:
        for dataset_id in client.asked:
            if not {"ready", "failed"} & set(client.seen(dataset_id)):
                yield f"I1: a client that waits for {dataset_id[:12]} was not told"
    yield from _left_behind(store)


def _unanswered(connection: Connection) -> Iterator[str]:
    rows = connection.execute(
        select(schema.datasets, schema.builds.c.state.label("build_state"))
        .outerjoin(schema.builds, schema.builds.c.content_key == schema.datasets.c.content_key)
        .where(schema.datasets.c.dataset_id.in_(select(schema.requests.c.dataset_id)))
    )
    for row in rows:
        if row.state == DatasetState.RESOLVING or row.build_state in ACTIVE_BUILDS:
            yield f"I1: {row.dataset_id[:12]} has no answer: {row.state}, {row.build_state}"
        elif row.waiting:
            yield f"I1: {row.waiting} wait for {row.dataset_id[:12]}, which has ended"


def _archives(connection: Connection, store: Store) -> Iterator[str]:
    ready = {
        row.archive: row
        for row in connection.execute(
            select(schema.builds).where(schema.builds.c.state == BuildState.READY)
        )
    }
    there = {path.name: path for path in store.archive_path(".").iterdir()}
    for name, path in there.items():
        if not zipfile.is_zipfile(path):
            yield f"I5: {name} is no whole archive"
        elif name not in ready:
            yield f"I2: {name} is published, and no build of the catalog is ready with it"
        elif _digest(path) != ready[name].sha256:
            yield f"I2: {name} has another digest than the catalog says"
    for name in ready.keys() - there.keys():
        yield f"I2: {name} is ready in the catalog, and not there"


def _shards(connection: Connection, store: Store) -> Iterator[str]:
    rows = connection.execute(
        select(schema.shards, schema.builds.c.state)
        .join(schema.builds, schema.builds.c.content_key == schema.shards.c.content_key)
        .where(schema.shards.c.file.is_not(None))
    ).all()
    kept = {store.shard_path(row.content_key, row.file): row for row in rows}
    for path, row in kept.items():
        # What rots in a build that was given up is found when somebody asks for it again.
        given_up = row.state in (BuildState.FAILED, BuildState.CANCELLED)
        if not given_up and _digest(path) != row.sha256:
            yield f"I5: shard {row.content_key[:12]}.{row.number} is not what was announced"
    for path in files_below(store.root / "shards"):
        if path not in kept:
            yield f"I3: {path.name} of {path.parent.name[:12]} is left behind"


def files_below(root: Path) -> list[Path]:
    """Return files in the folders of a folder; such a folder may go away at any moment."""
    return sorted(Path(folder, name) for folder, _, names in os.walk(root) for name in names)


def _digest(path: Path) -> str | None:
    """Return a file's SHA-256; None if it is gone, perhaps since a moment ago."""
    try:
        return file_sha256(path)
    except FileNotFoundError:
        return None


def _left_behind(store: Store) -> Iterator[str]:
    for folder in (store.root / "scratch").iterdir():
        if _is_abandoned(folder):
            yield f"I3: the scratch folder {folder.name} has no owner any more"


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / ".lock", os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
