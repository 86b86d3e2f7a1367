"""Archives that are taken apart while they come: the same folder as from `unpack`, and as safe."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamill.archive import ArchivePart, unpack
from datamill.archive.streamed import REST
from datamill.errors import ArchiveError
from tests.support.archives import CONTENT_KEY, example, pack
from tests.support.evil_archives import ATTACKS, evil

GOOD = pack(
    {
        "train": [[example(number=1, text=b"a")], [example(number=2, text=b"b" * 300)]],
        "empty": [[]],
    },
    extra={"label.labels.txt": b"ants\nbees\n", "none.labels.txt": b"", "preview.jpg": b"\xff\xd8"},
)


@contextmanager
def write(folder: Path, body: bytes, at_once: int = 1 << 20) -> Iterator[ArchivePart]:
    """Write what a part lacks of a body; give the part."""
    with ArchivePart(folder, len(body)) as part:
        for begin in range(part.size, len(body), at_once):
            part.write(body[begin : begin + at_once])
        yield part


def receive(folder: Path, body: bytes, at_once: int = 1 << 20) -> dict[str, bytes]:
    """Receive a body into a folder and finish it; return the files."""
    with write(folder, body, at_once) as part:
        assert part.sha256 == hashlib.sha256(body).hexdigest()
        part.sync()
        part.finish(CONTENT_KEY)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def unpacked(folder: Path, body: bytes) -> dict[str, bytes]:
    (folder / "whole.zip").write_bytes(body)
    unpack(folder / "whole.zip", folder / "unpacked", content_key=CONTENT_KEY)
    return {path.name: path.read_bytes() for path in (folder / "unpacked").iterdir()}


@pytest.mark.parametrize("at_once", [1, 7, 1000, 1 << 20])
def test_the_folder_is_what_unpack_makes(tmp_path: Path, at_once: int) -> None:
    files = receive(tmp_path / "part", GOOD.body, at_once)
    assert files == unpacked(tmp_path, GOOD.body)
    assert len(files) == 9


def test_it_goes_on_wherever_it_was_cut(tmp_path: Path) -> None:
    expected = unpacked(tmp_path, GOOD.body)
    for cut in range(0, len(GOOD.body) + 1, 13):
        folder = tmp_path / str(cut)
        with ArchivePart(folder, len(GOOD.body)) as part:
            part.write(GOOD.body[:cut])
        with ArchivePart(folder, len(GOOD.body)) as part:
            assert part.size == cut
            assert part.sha256 == hashlib.sha256(GOOD.body[:cut]).hexdigest()
        assert receive(folder, GOOD.body) == expected


@pytest.mark.parametrize("harm", ["gone", "shorter", "longer", "no rest", "stranger", "a file"])
def test_a_folder_that_was_tampered_with(tmp_path: Path, harm: str) -> None:
    """What is there is a beginning, or is not counted; what is wrong in it, the digest shows."""
    folder = tmp_path / "part"
    with ArchivePart(folder, len(GOOD.body)) as part:
        part.write(GOOD.body[:-100])
    shard = folder / GOOD.manifest.shards[1].file
    match harm:
        case "gone":
            shard.unlink()
        case "shorter":
            shard.write_bytes(shard.read_bytes()[:-5])
        case "longer":
            shard.write_bytes(shard.read_bytes() + b"more")
        case "no rest":
            (folder / REST).unlink()
        case "stranger":
            (folder / "stranger").touch()
        case "a file":  # how earlier versions kept a download
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
            folder.write_bytes(GOOD.body[:100])
    with ArchivePart(folder, len(GOOD.body)) as part:
        assert part.sha256 == hashlib.sha256(GOOD.body[: part.size]).hexdigest()
    assert receive(folder, GOOD.body) == unpacked(tmp_path, GOOD.body)


def test_beginning_anew(tmp_path: Path) -> None:
    with ArchivePart(tmp_path / "part", len(GOOD.body)) as part:
        part.write(bytes(len(GOOD.body)))
        part.restart()
        part.write(GOOD.body[:1000])
        part.restart()
        assert part.size == 0
        assert part.sha256 == hashlib.sha256().hexdigest()
    assert receive(tmp_path / "part", GOOD.body) == unpacked(tmp_path, GOOD.body)


def test_entries_whose_headers_say_no_size(tmp_path: Path) -> None:
    """Such as are written to a pipe: they are whole archives, and copied at the end."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_place: int) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as piped, zipfile.ZipFile(io.BytesIO(GOOD.body)) as good:
        for name in good.namelist():
            piped.writestr(zipfile.ZipInfo(name), good.read(name))
    body = pipe.getvalue()
    assert receive(tmp_path / "part", body) == unpacked(tmp_path, body)


@pytest.mark.parametrize("attack", ATTACKS)
def test_archives_that_attack(tmp_path: Path, attack: str) -> None:
    folder = tmp_path / "downloads" / "part"
    folder.parent.mkdir()
    with write(folder, evil(attack).body) as part:
        written = {path for path in tmp_path.rglob("*") if path.is_file()}
        assert all(path.parent == folder for path in written)
        assert sum(path.stat().st_size for path in written) == len(evil(attack).body)
        with pytest.raises(ArchiveError):
            part.finish(CONTENT_KEY)
        part.discard()
    assert list(folder.parent.iterdir()) == []


def test_another_content_key(tmp_path: Path) -> None:
    refused = pytest.raises(ArchiveError, match="holds content")
    with write(tmp_path / "part", GOOD.body) as part, refused:
        part.finish("cd" * 32)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(
        st.tuples(
            st.integers(0, len(GOOD.body) - 1),
            st.integers(0, 8),
            st.binary(max_size=8)
            | st.sampled_from([b"\xff" * 4, b"\0" * 4, b"../", b"PK\x01\x02", b"PK\x03\x04"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_an_archive_damaged_anywhere(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int, bytes]]
) -> None:
    """What `unpack` takes is taken, the same; what it refuses is refused, but for digests.

    Those of entries are not looked at: here the damage is announced by the archive's own.
    """
    body = bytearray(GOOD.body)
    for at, gone, piece in changes:
        body[at : at + gone] = piece
    tmp_path = tmp_path_factory.mktemp("damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, of names that come twice
        try:
            expected: dict[str, bytes] | str = unpacked(tmp_path, bytes(body))
        except ArchiveError as error:
            expected = str(error)
        try:
            found: dict[str, bytes] | None = receive(tmp_path / "part", bytes(body))
        except ArchiveError:
            found = None
    if isinstance(expected, dict):
        assert found == expected
    elif found is not None:
        assert "CRC" in expected or "SHA-256" in expected
        with zipfile.ZipFile(io.BytesIO(GOOD.body)) as good:
            assert found.keys() == set(good.namelist())
