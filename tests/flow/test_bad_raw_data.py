"""Awkward raw data through a real builder: skipped and listed, or refused, and nothing breaks."""

from __future__ import annotations

import csv
import shutil
import struct
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datamill_producer.rabbitmq import PrivateNode
from dataset_handlers.sdk.example import decode_example
from tests.support.mill import Mill
from tests.unit.handlers.reading import frames

MEBIBYTE = 1024 * 1024
SMALL = {"image_size": [32, 32]}
ALL_MAY_BE_BAD = {**SMALL, "max_bad_share": 1.0}


@pytest.fixture(scope="module")
def mill(
    node: PrivateNode, shipped_wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mill]:
    vhost = f"test-{uuid.uuid4().hex[:12]}"
    running = Mill(tmp_path_factory.mktemp("mill") / "home", node.add_vhost(vhost), shipped_wheels)
    yield running
    running.close()
    node.delete_vhost(vhost)


@pytest.fixture
def folder(mill: Mill) -> Iterator[Callable[[str], Path]]:
    """Give an empty raw folder, the only one of its dataset at a time."""
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(mill.raw / name)
        made[-1].mkdir()
        return made[-1]

    yield make
    for each in made:
        shutil.rmtree(each)


def loads(shared_data: Path) -> dict[str, str]:
    """Return for each bad file whether Pillow loads it, as the data's own list says."""
    with (shared_data / "bad" / "manifest.csv").open(encoding="utf-8") as file:
        return {row["path"]: row["pillow_loads"] for row in csv.DictReader(file)}


def test_every_bad_file_is_a_record_or_a_reason(
    mill: Mill, folder: Callable[[str], Path], shared_data: Path
) -> None:
    """All of them, whatever they are, as pictures of one class: XML and JSON too."""
    target = folder("classification") / "class"
    target.mkdir()
    expected = {}
    for path, verdict in loads(shared_data).items():
        name = path.replace("/", "__")
        name += "" if path.lower().endswith((".jpg", ".jpeg", ".png", ".gif")) else ".jpg"
        if not name.startswith("."):
            shutil.copy(shared_data / "bad" / path, target / name)
            expected[f"class/{name}"] = verdict
    ready = mill.build("classification", ALL_MAY_BE_BAD)
    manifest = mill.manifest(ready)
    skipped = {item.key: item.reason for item in manifest.skipped}
    assert manifest.records + len(skipped) == len(expected) > 90
    assert all(reason.strip() and "\n" not in reason for reason in skipped.values())
    for key, verdict in expected.items():
        if verdict != "maybe":
            assert (key in skipped) == (verdict != "yes"), (key, verdict, skipped.get(key))


def test_too_many_bad_files_fail_the_build_by_name(
    mill: Mill, folder: Callable[[str], Path], shared_data: Path
) -> None:
    target = folder("classification") / "class"
    shutil.copytree(shared_data / "bad" / "files", target)
    failed = mill.build("classification", SMALL)
    assert (failed["event"], failed["reason"], failed["retryable"]) == ("failed", "bad_data", False)
    assert "source items are bad, max_bad_share allows 1.00%" in failed["message"]
    assert "class/" in failed["message"], "and some of them are named"


def test_bad_classes(mill: Mill, folder: Callable[[str], Path], shared_data: Path) -> None:
    shutil.copytree(
        shared_data / "bad" / "classification", folder("classification"), dirs_exist_ok=True
    )
    manifest = mill.manifest(mill.build("classification", ALL_MAY_BE_BAD))
    assert manifest.labels == {"label": ["ants", "broken_class", "same_twice"]}
    assert [item.key for item in manifest.skipped] == ["broken_class/cut.jpg"]
    assert manifest.records == 5


def test_a_class_that_came_since_is_in_the_next_build(
    mill: Mill, folder: Callable[[str], Path]
) -> None:
    """One of the processes that make it has made the first build, and knows the classes of then."""
    target = folder("classification")
    config = {**SMALL, "variations_per_sample": 700}  # so that both workers have shards to make
    for count, name in enumerate(("bees", "ants"), start=1):
        (target / name).mkdir()
        for number in range(4):
            Image.new("RGB", (40, 40), (0, 90 * count, 0)).save(target / name / f"{number}.png")
        ready = mill.build("classification", config)
        manifest = mill.manifest(ready)
        assert (manifest.records, manifest.skipped) == (count * 4 * 700, [])
        assert manifest.labels == {"label": sorted(("bees", "ants")[:count])}
    with zipfile.ZipFile(mill.builder.store.archive_path(ready["archive"])) as archive:
        shards = [archive.read(shard.file) for shard in manifest.shards]
    labels = [decode_example(record)["label"] for shard in shards for record in frames(shard)]
    assert (labels.count([0]), labels.count([1])) == (4 * 700, 4 * 700)


def test_bad_pairs(mill: Mill, folder: Callable[[str], Path], shared_data: Path) -> None:
    shutil.copytree(shared_data / "bad" / "duts", folder("duts"), dirs_exist_ok=True)
    failed = mill.build("duts", SMALL)
    assert failed["reason"] == "bad_data" and "4 of 6 source items are bad" in failed["message"]
    ready = mill.build("duts", ALL_MAY_BE_BAD)
    manifest = mill.manifest(ready)
    assert (manifest.records, len(manifest.skipped)) == (2, 4)
    (shard,) = mill.told(ready["dataset_id"], "shard")
    assert (shard["records"], shard["skipped"]) == (2, 4), "they are counted in events too"


def png(width: int, height: int) -> bytes:
    """A one-bit PNG of any size, all white, its rows compressed as they are made."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(1)
    row = b"\0" + b"\xff" * (-(-width // 8))
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_bombs_are_skipped_from_their_headers(mill: Mill, folder: Callable[[str], Path]) -> None:
    """A file of two megabytes that unpacks to 2.5 gigapixels, and files that only say so."""
    target = folder("classification") / "class"
    target.mkdir()
    rng = np.random.default_rng(1)
    for number in range(20):
        noise = rng.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(target / f"good{number}.png")
    whole = png(50_000, 50_000)
    (target / "bomb.png").write_bytes(whole)
    (target / "half.png").write_bytes(whole[:5000])
    (target / "liar.png").write_bytes(png(8, 8).replace(b"\0\0\0\x08", b"\x7f\xff\xff\xff", 1))
    (target / "wide.gif").write_bytes(b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff" + b";")
    manifest = mill.manifest(mill.build("classification", ALL_MAY_BE_BAD))
    skipped = {item.key: item.reason for item in manifest.skipped}
    assert set(skipped) == {
        f"class/{name}" for name in ("bomb.png", "half.png", "liar.png", "wide.gif")
    }
    assert "2500000000 pixels, max_pixels allows 200000000" in skipped["class/bomb.png"]
    assert manifest.records == 20
    assert mill.peak_bytes() < 600 * MEBIBYTE
    again = mill.build("classification", {**ALL_MAY_BE_BAD, "max_items": 3})
    assert again["event"] == "ready", "the next build is made"


def test_configs_are_refused_at_once(mill: Mill, folder: Callable[[str], Path]) -> None:
    """A few through a builder; tests/unit/handlers/test_option_fuzz.py tries a thousand."""
    target = folder("classification") / "class"
    target.mkdir()
    Image.new("RGB", (8, 8)).save(target / "a.png")
    assert mill.build("classification", SMALL)["event"] == "ready"
    wrong: list[dict[str, Any]] = [
        {"image_size": [0, 5]},
        {"seed": 1.5},
        {"imagesize": [1, 1]},
        {"validation_share": {"a": 1}},
        {"input_attributes": ["image", "mask"]},
        # Each value is fine by itself.
        {"crop_size": [99, 99], "image_size": [9, 9]},
        {"crop_size": [225, 224]},
        {"random_crop": True, "random_crop_centered": True},
        {"standardize": "applied", "image_size": None},
        {"recompress_quality": [90, 50]},
    ]
    before = mill.build_count()
    for config in wrong:
        failed = mill.build("classification", config)
        assert (failed["event"], failed["reason"]) == ("failed", "invalid_config"), failed
        assert failed["message"].startswith(next(iter(config))), failed["message"]
        assert failed["retryable"] is False
        assert mill.seen(failed) == ["accepted", "failed"], "nothing was planned"
    assert mill.build_count() == before, "no build was begun"
