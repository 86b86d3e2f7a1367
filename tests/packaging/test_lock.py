"""The locks: exact versions with hashes, of everything the members need, and no host's name."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted(path.name for path in ROOT.glob("*.lock") if path.name != "uv.lock")
SERVERS = ("client", "producer", "builder", "notifier")
MEMBERS = (*SERVERS, "handlers")
OURS = {
    "datamill",
    "datamill-producer",
    "datamill-builder",
    "datamill-notifier",
    "dataset-handlers",
}
PLATFORMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
ENVIRONMENTS = [
    pytest.param(python, system, machine, id=f"{python}-{system}-{machine}")
    for python, (system, machine) in itertools.product(("3.11", "3.12", "3.13"), PLATFORMS)
]


@dataclass(frozen=True)
class Locked:
    """One requirement of a lock, and how many hashes it allows."""

    requirement: Requirement
    hashes: int

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)


def read_lock(text: str) -> list[Locked]:
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [
        Locked(
            Requirement(re.split(r"\s--", line)[0].strip()),
            len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)),
        )
        for line in lines
    ]


def faults(locked: list[Locked]) -> Iterator[str]:
    for entry in locked:
        specifiers = list(entry.requirement.specifier)
        if entry.requirement.url or [one.operator for one in specifiers] != ["=="]:
            yield f"{entry.requirement} is not pinned"
        elif "*" in specifiers[0].version:
            yield f"{entry.requirement} is not exact"
        if not entry.hashes:
            yield f"{entry.requirement} has no hash"


def lock(name: str) -> list[Locked]:
    return read_lock((ROOT / name).read_text(encoding="utf-8"))


def environment(python: str, system: str, machine: str) -> dict[str, str]:
    known: Environment = {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": system,
    }
    return {**known, "extra": ""}  # type: ignore[dict-item]


def pins(name: str, where: dict[str, str]) -> dict[str, str]:
    """Return the versions that a lock installs in an environment."""
    return {
        entry.name: next(iter(entry.requirement.specifier)).version
        for entry in lock(name)
        if entry.requirement.marker is None or entry.requirement.marker.evaluate(where)
    }


def project(folder: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))


def unmet(needed: list[str], installed: dict[str, str], where: dict[str, str]) -> list[str]:
    missing = []
    for requirement in map(Requirement, needed):
        name = canonicalize_name(requirement.name)
        if name in OURS or (requirement.marker and not requirement.marker.evaluate(where)):
            continue
        if name not in installed or not requirement.specifier.contains(installed[name]):
            missing.append(f"{requirement} (locked: {installed.get(name, 'not at all')})")
    return missing


def test_there_is_a_lock_for_everything_and_one_for_servers() -> None:
    assert LOCKS == ["requirements-server.lock", "requirements.lock"]


@pytest.mark.parametrize("name", [*LOCKS, "pylock.toml"])
def test_it_names_no_host(name: str) -> None:
    path = ROOT / name
    text = path.read_text(encoding="utf-8") if path.exists() else ""

    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--\S*(index|link|host)\S*)\b", text, re.MULTILINE)


def test_the_lock_that_does_is_ignored_by_git() -> None:
    assert "/uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", LOCKS)
def test_everything_is_pinned_with_a_hash(name: str) -> None:
    locked = lock(name)

    assert len(locked) > 20
    assert list(faults(locked)) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a==1.0", "a==1.0 has no hash"),
        ("a==1.0 \\\n    --hash=sha256:12", "a==1.0 has no hash"),
        (f"a>=1.0 \\\n    --hash=sha256:{64 * 'a'}", "a>=1.0 is not pinned"),
        (f"a \\\n    --hash=sha256:{64 * 'a'}", "a is not pinned"),
        (f"a==1.* \\\n    --hash=sha256:{64 * 'a'}", "a==1.* is not exact"),
    ],
)
def test_what_is_not_pinned_would_be_seen(text: str, fault: str) -> None:
    assert list(faults(read_lock(text))) == [fault]


@pytest.mark.parametrize(("python", "system", "machine"), ENVIRONMENTS)
class TestEveryEnvironment:
    def test_the_lock_holds_what_the_members_need(
        self, python: str, system: str, machine: str
    ) -> None:
        where = environment(python, system, machine)
        needed = [
            *(item for member in MEMBERS for item in project(member)["project"]["dependencies"]),
            *(item for member in MEMBERS for item in project(member)["build-system"]["requires"]),
            *project(".")["dependency-groups"]["dev"],
        ]

        assert unmet(needed, pins("requirements.lock", where), where) == []

    def test_the_server_lock_holds_what_the_servers_need_and_the_same(
        self, python: str, system: str, machine: str
    ) -> None:
        where = environment(python, system, machine)
        servers, everything = (pins(name, where) for name in LOCKS)
        needed = [item for member in SERVERS for item in project(member)["project"]["dependencies"]]
        needed += project("builder")["project"]["optional-dependencies"]["postgresql"]
        needed += project("client")["project"]["optional-dependencies"]["tracing"]

        assert unmet(needed, servers, where) == []
        assert servers.items() <= everything.items()
        assert not [name for name in servers if name.startswith(("tensorflow", "keras", "opencv"))]

    def test_what_is_missing_would_be_seen(self, python: str, system: str, machine: str) -> None:
        where = environment(python, system, machine)
        installed = pins("requirements.lock", where)

        assert unmet(["no-such-thing>=1", "pika>=99"], installed, where) == [
            "no-such-thing>=1 (locked: not at all)",
            f"pika>=99 (locked: {installed['pika']})",
        ]
