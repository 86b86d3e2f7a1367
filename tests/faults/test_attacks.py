"""Archives, addresses and raw data that attack (fault 40)."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import datamill
from datamill.archive import read_manifest
from datamill.errors import ArchiveError
from datamill_builder.catalog import Catalog
from datamill_builder.store import Store
from datamill_producer.rabbitmq import PrivateNode
from tests.support.builder import Start
from tests.support.catalog_steps import Steps
from tests.support.evil_archives import ATTACKS, evil
from tests.support.fault import Fault
from tests.support.file_server import FileServer
from tests.support.listener import Connect
from tests.support.notifier import NotifierProcess
from tests.support.photographs import write_classes
from tests.support.played_builder import PlayedBuilder
from tests.support.trainer import trainer_cache

__all__ = ["trainer_cache"]

SECRET = b"nobody may read this"
LEAST_ROOM_KIB = 400_000
"""So much more memory than before would mean that a bomb went off."""


@pytest.fixture(scope="module")
def played_vhost(node: PrivateNode) -> Iterator[str]:
    name = f"attacks-{uuid.uuid4().hex[:12]}"
    yield node.add_vhost(name)
    node.delete_vhost(name)


class TestArchives:
    @pytest.fixture
    def broker_url(self, played_vhost: str) -> str:
        return played_vhost

    @pytest.mark.parametrize("attack", ATTACKS)
    @pytest.mark.fault(40, "archive that attacks its client")
    def test_nothing_is_written_of_an_archive_that_attacks(
        self, broker_url: str, fault: Fault, tmp_path: Path, trainer_cache: Path, attack: str
    ) -> None:
        archive = evil(attack)
        with FileServer() as server:
            server.add(f"/datasets/{archive.name}", archive.body)
            with PlayedBuilder(
                broker_url, lambda r, _id: [archive.ready(r.dataset_id, server.url)]
            ):
                dataset = datamill.request_dataset("toy", "1.0.0", {"attack": attack})
                before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                fault.injected()
                with pytest.raises(ArchiveError) as refused:
                    dataset.wait(timeout=60)
                secs = fault.recovered()
            pieces = [asked for _, path, asked in server.requests if path.endswith(archive.name)]
            assert pieces.count(None) == 1, "not fetched again and again"
            assert len(set(pieces)) == len(pieces), "nor any piece of it"
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
        assert grown_kib < LEAST_ROOM_KIB
        left = [path for path in trainer_cache.rglob("*") if path.is_file()]
        assert not left, "neither the archive nor anything of it is kept"
        escaped = [*tmp_path.rglob("*escaped*"), *Path("/tmp").glob("datamill-escaped")]
        assert not escaped
        fault.saw(f"{attack}: refused in {secs:.1f} s ({refused.value})"[:200])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NotifierProcess, Steps]]:
    home = tmp_path_factory.mktemp("home")
    (home / "secret").write_bytes(SECRET)
    catalog = Catalog(f"sqlite:///{home / 'catalog.sqlite'}")
    steps = Steps(catalog, Store(home / "store")).ready()
    notifier = NotifierProcess(home).start()
    yield notifier, steps
    assert notifier.stop() == 0
    assert "not foreseen" not in notifier.log() and "Traceback" not in notifier.log()
    catalog.close()


PATHS = [
    "/datasets/..%2f..%2fetc/passwd",
    "/datasets/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/datasets/../../secret",
    "/datasets/..%2f..%2f..%2fsecret",
    "/datasets/%2e%2e/%2e%2e/secret",
    "/datasets/....//....//secret",
    "/datasets/..\\..\\secret",
    "/datasets/%c0%ae%c0%ae/secret",
    "/datasets//etc/passwd",
    "/datasets/{archive}%00.txt",
    "/datasets/{archive}/../../../secret",
    "/datasets/{archive}.gz",
    "/datasets/{id}/shards/..%2f..%2f..%2fsecret",
    "/datasets/{id}/shards/0%00",
    "/datasets/{id}/..%2f..%2fcatalog.sqlite",
    "/../secret",
    "//secret",
    "http://elsewhere.test/secret",
]


@pytest.mark.fault(40, "addresses that lead out of the store")
def test_no_address_leads_out_of_the_store(
    served: tuple[NotifierProcess, Steps], fault: Fault
) -> None:
    notifier, steps = served
    for path in PATHS:
        answer = notifier.ask(path.format(archive=steps.archive.name, id=steps.dataset_id))
        assert answer.status in (400, 404), path
        assert SECRET not in answer.body and b"root:" not in answer.body, path
        told = str(steps.store.root).encode() in answer.body
        assert not told, f"{path}: the answer tells where things are"
    fault.saw(f"400 or 404 for each of {len(PATHS)} spellings, and no word of what is there")


@pytest.mark.parametrize("target", ["secret", "/etc/passwd"])
@pytest.mark.fault(40, "symbolic links in the store")
def test_no_link_is_followed_out_of_the_store(
    served: tuple[NotifierProcess, Steps], fault: Fault, target: str
) -> None:
    notifier, steps = served
    file = steps.store.archive_path(steps.archive.name)
    file.unlink()
    file.symlink_to(notifier.home / target)
    try:
        for path in (steps.archive.name, f"{steps.dataset_id}/shards/0"):
            answer = notifier.ask(f"/datasets/{path}")
            assert answer.status == 404
            assert SECRET not in answer.body
    finally:
        file.unlink()
        file.write_bytes(steps.archive.body)
    assert notifier.ask(f"/datasets/{steps.archive.name}").body == steps.archive.body
    fault.saw(f"a link to {target} in place of an archive: 404")


@pytest.mark.fault(40, "shard of a build in place of which there is a link")
def test_no_link_is_followed_for_a_shard(tmp_path: Path, fault: Fault) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    steps = Steps(catalog, Store(tmp_path / "store")).accepted().resolved().planned().shard_made(0)
    notifier = NotifierProcess(tmp_path).start()
    path = f"/datasets/{steps.dataset_id}/shards/0"
    before = notifier.ask(path).status
    (file,) = (tmp_path / "store" / "shards").rglob("*.tfrecord")
    secret = tmp_path / "secret"
    secret.write_bytes(file.read_bytes())  # of the right size, and even whole
    file.unlink()
    file.symlink_to(secret)
    after = notifier.ask(path).status
    assert notifier.stop() == 0
    catalog.close()
    assert (before, after) == (200, 404)
    fault.saw("404, whatever the link leads to")


class _Touches:
    """What runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._marker}",)


@pytest.mark.long
@pytest.mark.fault(
    40, "image bomb of 50,000 x 50,000 pixels, pickles and object arrays as raw data"
)
def test_raw_data_that_attacks_is_skipped_and_said_so(
    home: Path,
    shipped_wheels: Path,
    start_builder: Start,
    client: Connect,
    fault: Fault,
    tmp_path: Path,
) -> None:
    raw = home / "raw" / "classification"
    good = write_classes(raw, copies=3)
    marker = tmp_path / "unpickled"
    objects = np.array([_Touches(marker)], dtype=object)
    saved = io.BytesIO()
    np.save(saved, objects, allow_pickle=True)
    evil_files = {
        "bomb.png": _png_bomb(50_000),
        "pickle.jpg": pickle.dumps(_Touches(marker)),
        "objects.jpg": saved.getvalue(),
    }
    for name, body in evil_files.items():
        (raw / "people" / name).write_bytes(body)
    (raw / "people" / "objects.npy").write_bytes(saved.getvalue())
    builder = start_builder(home, DATAMILL_HANDLER_SOURCES=str(shipped_wheels))
    trainer = client()
    fault.injected()
    config = {"max_bad_share": 0.9, "image_size": [32, 32]}
    ready = trainer.wait(trainer.ask("classification", config=config), timeout_secs=180)
    secs = fault.recovered()
    fault.watch(builder, trainer)
    assert ready["event"] == "ready", ready
    assert ready["records"] == good
    manifest = read_manifest(builder.archives()[0])
    reasons = {Path(item.key).name: item.reason for item in manifest.skipped}
    assert reasons.keys() == evil_files.keys()
    assert "max_pixels allows" in reasons["bomb.png"]
    assert not marker.exists(), "nothing was unpickled"
    strict = trainer.wait(
        trainer.ask("classification", config={"max_bad_share": 0.0}), timeout_secs=180
    )
    assert strict["reason"] == "bad_data"
    assert "bomb.png" in strict["message"]
    fault.saw(f"3 files skipped with reasons, {good} records ready in {secs:.1f} s: {reasons}")


def _png_bomb(side: int) -> bytes:
    """Return a valid PNG of side x side white pixels: 300 MB of rows in 300 kB."""
    packed = zlib.compressobj(9)
    row = b"\0" + b"\xff" * (side // 8)
    body = b"".join(packed.compress(row) for _ in range(side)) + packed.flush()
    head = struct.pack(">2I5B", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
