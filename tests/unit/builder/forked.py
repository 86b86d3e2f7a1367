"""What processes beside the tests' do: see `forker.py`. Arguments are text; results are files."""

from __future__ import annotations

import threading
from pathlib import Path

from datamill_builder.catalog import Catalog, tasks
from datamill_builder.catalog.states import TaskKind
from datamill_builder.handlers.environments import Environments
from datamill_builder.handlers.sources import WheelFolder
from datamill_builder.leases import Identity
from datamill_builder.store import Store


def hold_identity(folder: str, told: str) -> None:
    """Be a builder until killed; write the name into a file."""
    identity = Identity(Path(folder))
    tell(told, identity.name)
    threading.Event().wait()


def hold_scratch(root: str, told: str) -> None:
    """Hold a scratch folder until killed; write its path into a file."""
    folder = Store(Path(root)).open_scratch()
    (folder.path / "half").write_text("half a shard")
    tell(told, str(folder.path))
    threading.Event().wait()


def claim_tasks(url: str, subject: str, owner: str, told: str) -> None:
    """Claim shards one after another until none is left; write the claimed ones into a file."""
    catalog = Catalog(url)
    claimed = []
    while True:
        with catalog.write() as change:
            claim = tasks.claim_fair_shard(change, owner)
        if claim is None:
            break
        assert claim.kind is TaskKind.SHARD and claim.subject == subject
        claimed.append(str(claim.index))
    catalog.close()
    tell(told, ",".join(claimed))


def open_catalog(url: str, told: str) -> None:
    """Open a catalog that may not be there yet."""
    catalog = Catalog(url)
    with catalog.read() as connection:
        tell(told, str(tasks.pending(connection)))
    catalog.close()


def make_environment(home: str, wheels: str, told: str) -> None:
    """Resolve the toy and make its environment, by several threads at once."""
    store = Store(Path(home) / "store")
    catalog = Catalog(f"sqlite:///{Path(home) / 'catalog.sqlite'}")
    sources = [WheelFolder(Path(wheels))]
    environments = Environments(Path(home) / "environments", catalog, store, list(sources))
    pythons: list[Path] = []

    def make() -> None:
        pythons.append(environments.python(environments.resolve("toy", "1.0.0")))

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    catalog.close()
    tell(told, "\n".join(map(str, pythons)))


def tell(file: str, text: str) -> None:
    """Write a file that is complete as soon as it is there."""
    unfinished = Path(f"{file}.unfinished")
    unfinished.write_text(text)
    unfinished.rename(file)
