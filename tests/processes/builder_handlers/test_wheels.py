"""What a wheel says about itself, and what is none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from datamill_builder.handlers.wheels import BadWheel, file_sha256, inspect_wheel, same_version
from tests.support.wheels import make_wheel


def wheel(folder: Path, points: dict[str, str] | None = None, version: str = "1.0.0") -> Path:
    return make_wheel(folder, "toy-handlers", version, {"toy.py": ""}, points or {})


def test_name_version_and_handlers_are_read(tmp_path: Path) -> None:
    info = inspect_wheel(wheel(tmp_path, {"toy": "toy:Toy", "Toy2": "toy.deep:Other"}))
    assert (info.package, info.version) == ("toy-handlers", "1.0.0")
    assert info.handlers == {"toy": "toy:Toy", "Toy2": "toy.deep:Other"}


def test_a_wheel_may_have_no_handlers(tmp_path: Path) -> None:
    assert inspect_wheel(wheel(tmp_path)).handlers == {}


def test_a_replaced_wheel_is_read_again(tmp_path: Path) -> None:
    wheel(tmp_path, {"toy": "toy:Toy"})
    inspect_wheel(tmp_path / "toy_handlers-1.0.0-py3-none-any.whl")
    replaced = wheel(tmp_path / "new", {"other": "toy:Other"})
    replaced.replace(tmp_path / replaced.name)
    assert inspect_wheel(tmp_path / replaced.name).handlers == {"other": "toy:Other"}


def damaged(folder: Path) -> list[Path]:
    """Return files that look like wheels from far away."""
    whole = wheel(folder / "whole", {"toy": "toy:Toy"})
    body = whole.read_bytes()
    made = []
    for number, content in enumerate(
        [b"", b"no zip", body[: len(body) // 2], body[:-30], b"\0" * len(body), b"\xff" + body[1:]]
    ):
        path = folder / f"toy_handlers-{number}-py3-none-any.whl"
        path.write_bytes(content)
        made.append(path)
    packed = folder / "toy_handlers-9-py3-none-any.whl"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("toy_handlers-9.dist-info/METADATA", b"Name: toy\n" * 500)
    rotten = bytearray(packed.read_bytes())
    rotten[75:95] = b"\xff" * 20
    packed.write_bytes(rotten)
    return [*made[:-1], packed]


def test_damaged_wheels_are_bad(tmp_path: Path) -> None:
    for path in damaged(tmp_path):
        with pytest.raises(BadWheel, match=path.name):
            inspect_wheel(path)


@pytest.mark.parametrize(
    "name",
    [
        "toy.whl",
        "toy_handlers-1.0.0-py3-none.whl",
        "toy_handlers-1.0.0-cp27-cp27m-win32.whl",
        "toy_handlers-1.0.0-py2-none-any.whl",
    ],
)
def test_wheels_for_others_are_bad_here(tmp_path: Path, name: str) -> None:
    renamed = wheel(tmp_path, {"toy": "toy:Toy"}).rename(tmp_path / name)
    with pytest.raises(BadWheel):
        inspect_wheel(renamed)


@pytest.mark.parametrize(
    "name", ["toy_handlers-2.0.0-py3-none-any.whl", "other-1.0.0-py3-none-any.whl"]
)
def test_a_name_that_lies_is_bad(tmp_path: Path, name: str) -> None:
    renamed = wheel(tmp_path, {"toy": "toy:Toy"}).rename(tmp_path / name)
    with pytest.raises(BadWheel, match=r"says in its metadata that it is toy-handlers 1\.0\.0"):
        inspect_wheel(renamed)


def test_a_wheel_with_unreadable_entry_points_is_bad(tmp_path: Path) -> None:
    with pytest.raises(BadWheel, match="entry_points"):
        inspect_wheel(wheel(tmp_path, {"toy": "a:b\n[datamill.handlers]\ntoy"}))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.0", "1.0.0", True),
        ("1.0.0", "v1.0.0", True),
        ("1.0.0", "1.0.1", False),
        ("1.0rc1", "1.0.0rc1", True),
        ("1.0", "1.0.post1", False),
        ("1.0+gpu", "1.0", False),
        ("main", "main", True),
        ("main", "1.0", False),
    ],
)
def test_versions_are_compared_by_meaning(one: str, other: str, same: bool) -> None:
    assert same_version(one, other) is same
    assert same_version(other, one) is same


def test_a_digest_is_the_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file").startswith("ba7816bf8f01cfea414140de5dae2223")
