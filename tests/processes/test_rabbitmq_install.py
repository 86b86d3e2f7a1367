"""Finding and providing a RabbitMQ server, with apt and dpkg where they are, without a broker."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from datamill_producer.rabbitmq import (
    Installation,
    NoRabbitMQ,
    ensure_installation,
    ensure_release,
    find_installation,
)
from datamill_producer.rabbitmq.configuration import password_hash
from datamill_producer.rabbitmq.debian import PACKAGES
from datamill_producer.rabbitmq.releases import distribution

NOWHERE: tuple[str, ...] = ()

needs_apt = pytest.mark.skipif(
    not all(map(shutil.which, ("apt-get", "dpkg-deb"))), reason="needs apt-get and dpkg-deb"
)


def program(path: Path, script: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def server(scripts: Path) -> Path:
    program(scripts / "rabbitmq-server")
    program(scripts / "rabbitmq-env")
    return scripts


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine with Erlang on PATH and no server."""
    for name in ("erl", "epmd"):
        program(tmp_path / "bin" / name)
    return {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_nothing_is_found_where_nothing_is(environment: dict[str, str]) -> None:
    assert find_installation(environment, NOWHERE) is None


def test_a_known_folder_comes_before_path(environment: dict[str, str], tmp_path: Path) -> None:
    known, other = server(tmp_path / "known"), server(tmp_path / "other")
    environment["PATH"] += f"{os.pathsep}{other}"

    assert find_installation(environment, [str(known)]) == Installation(known)
    assert find_installation(environment, NOWHERE) == Installation(other)


def test_the_wrapper_for_root_is_not_taken(environment: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path / "bin" / "rabbitmq-server")  # no rabbitmq-env beside it

    assert find_installation(environment, NOWHERE) is None


def test_a_wrapper_among_the_scripts_leads_to_them(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """As Debian has it: a symbolic link to a wrapper in the folder of the scripts proper."""
    scripts = server(tmp_path / "lib")
    (tmp_path / "bin" / "rabbitmq-server").symlink_to(program(scripts / "rabbitmq-script-wrapper"))

    assert find_installation(environment, NOWHERE) == Installation(scripts)


def test_erlang_beside_the_server_is_used(tmp_path: Path) -> None:
    scripts = server(tmp_path / "usr/lib/rabbitmq/bin")
    erlang = tmp_path / "usr/lib/erlang/bin"
    program(erlang / "erl")
    program(erlang / "epmd")

    found = find_installation({"PATH": str(tmp_path / "empty")}, [str(scripts)])

    assert found == Installation(scripts, (erlang,))
    assert found.program("erl", "") == str(erlang / "erl")


def test_the_setting_is_the_only_place_looked_at(
    environment: dict[str, str], tmp_path: Path
) -> None:
    known, named = server(tmp_path / "known"), server(tmp_path / "named")
    environment["DATAMILL_RABBITMQ_DIR"] = str(named)
    assert find_installation(environment, [str(known)]) == Installation(named)

    environment["DATAMILL_RABBITMQ_DIR"] = str(tmp_path / "wrong")
    with pytest.raises(NoRabbitMQ, match=r"DATAMILL_RABBITMQ_DIR=.*wrong holds no rabbitmq-server"):
        find_installation(environment, [str(known)])


def test_where_nothing_can_be_done_the_choices_are_named(environment: dict[str, str]) -> None:
    with pytest.raises(NoRabbitMQ) as caught:
        ensure_installation(print, environment, NOWHERE)

    for choice in ("rabbitmq-server", "DATAMILL_BROKER_URL", "docker compose up"):
        assert choice in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "datamill_producer.rabbitmq", "install"],
        env={**os.environ, "DATAMILL_RABBITMQ_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 69
    assert done.stderr.startswith("error: DATAMILL_RABBITMQ_DIR=")
    assert "Traceback" not in done.stderr


def test_password_hash_is_rabbitmqs() -> None:
    """The example of RabbitMQ's documentation: password test12, salt 908DC60A."""
    expected = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"

    assert password_hash("test12", bytes.fromhex("908DC60A")) == expected


class Archive:
    """A package archive in a folder, with packages of the right names and next to nothing in."""

    CONTENTS: ClassVar[dict[str, list[str]]] = {
        "rabbitmq-server": ["rabbitmq/bin/rabbitmq-server", "rabbitmq/bin/rabbitmq-env"],
        "erlang-base": ["erlang/bin/epmd", "erlang/bin/start", "erlang/erts-1/bin/start"],
    }

    def __init__(self, folder: Path, erl: str = 'test "$1" = -noinput') -> None:
        self.folder = folder
        self._erl = erl
        self._write(folder, [self._package(name) for name in PACKAGES], "./")

    def _write(self, index_folder: Path, index: list[str], suite: str) -> None:
        folder = self.folder
        index_folder.mkdir(parents=True, exist_ok=True)
        (index_folder / "Packages").write_text("\n".join(index), encoding="utf-8")
        sources = folder / "sources.list"
        sources.write_text(f"deb [trusted=yes] file:{folder} {suite}\n", encoding="utf-8")
        (folder / "apt.conf").write_text(
            f'Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "-";\n', encoding="utf-8"
        )

    def _package(self, name: str, depends: str = "") -> str:
        tree = self.folder / "trees" / name
        for file in self.CONTENTS.get(name, []):
            program(tree / "usr/lib" / file, "ROOTDIR=/usr/lib/erlang")
        if name == "erlang-base":
            for folder in ("bin", "erts-1/bin"):
                program(tree / "usr/lib/erlang" / folder / "erl", f"# /usr/lib/erlang\n{self._erl}")
        control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: T <t@t.invalid>\n"
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
        (tree / "DEBIAN/control").write_text(control + "Description: t\n", encoding="utf-8")
        package = self.folder / f"{name}_1_all.deb"
        subprocess.run(
            ["dpkg-deb", "-Zgzip", "--build", tree, package], check=True, stdout=subprocess.DEVNULL
        )
        data = package.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        where = f"Filename: ./{package.name}\nSize: {len(data)}\nSHA256: {digest}\n"
        return f"{control}Description: t\n{where}"

    def environment(self, cache: Path) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "XDG_CACHE_HOME": str(cache),
            "APT_CONFIG": str(self.folder / "apt.conf"),
        }


class ReleaseArchive(Archive):
    """The archive of a distribution that has a newer release, called `newer`, too."""

    CONTENTS: ClassVar[dict[str, list[str]]] = {**Archive.CONTENTS, "procps": ["procps/top"]}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        loader = folder / "trees/libc6/usr/lib/some-linux-gnu/ld-linux-some.so.2"
        program(loader, 'echo "$@"')
        beam = folder / "trees/erlang-base/usr/lib/erlang/erts-1/bin/beam.smp"
        shutil.copy("/bin/true", beam)
        index = [
            self._package("rabbitmq-server", "adduser, erlang-base (>= 1) | erlang-base-hipe"),
            self._package("erlang-base", "libc6, procps"),
            *map(self._package, ("libc6", "adduser", "procps")),
        ]
        architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
        _, codename = distribution()
        newer = folder / "dists/newer"
        self._write(newer / f"main/binary-{architecture}", index, f"{codename} main")
        (newer / "Release").write_text("Suite: newer\nComponents: main\n", encoding="utf-8")


@needs_apt
def test_another_releases_programs_start_with_its_own_libraries(tmp_path: Path) -> None:
    environment = ReleaseArchive(tmp_path / "archive").environment(tmp_path / "cache")
    said: list[str] = []

    provided = ensure_release("newer", said.append, environment)

    root = tmp_path / "cache/datamill-tools/rabbitmq-newer/server"
    assert provided.scripts == root / "usr/lib/rabbitmq/bin"
    beam = root / "usr/lib/erlang/erts-1/bin/beam.smp"
    libraries = root / "usr/lib/some-linux-gnu"
    started = subprocess.check_output([beam, "-a", "b c"], text=True)
    loading = f"--library-path {libraries} --argv0 {beam} {beam}.real"
    assert started == f"{loading} -a b c\n", "the loader that was unpacked starts it"
    assert not (root / "usr/lib/procps").exists(), "only Erlang and libraries were fetched"
    assert ensure_release("newer", said.append, environment) == provided
    assert len(said) == 1, "the second time there is nothing to do"
    assert find_installation(environment, NOWHERE) is None, "it is no server of the system's"


@needs_apt
def test_a_release_that_the_mirror_does_not_have_is_told(tmp_path: Path) -> None:
    environment = ReleaseArchive(tmp_path / "archive").environment(tmp_path / "cache")

    with pytest.raises(NoRabbitMQ, match="Unable to locate package rabbitmq-server"):
        ensure_release("never", print, environment)


@needs_apt
@pytest.mark.skipif(
    shutil.which("rabbitmq-server", path="/usr/bin:/bin") is not None,
    reason="RabbitMQ's scripts are in /usr/bin here",
)
class TestDebian:
    def test_packages_are_unpacked_and_relocated(self, tmp_path: Path) -> None:
        environment = Archive(tmp_path / "archive").environment(tmp_path / "cache")
        said: list[str] = []

        provided = ensure_installation(said.append, environment, NOWHERE)

        root = tmp_path / "cache/datamill-tools/rabbitmq/server"
        assert provided.scripts == root / "usr/lib/rabbitmq/bin"
        assert str(root) in (root / "usr/lib/erlang/erts-1/bin/erl").read_text(encoding="utf-8")
        assert len(said) == 1
        assert find_installation(environment, NOWHERE) == provided
        ensure_installation(said.append, environment, NOWHERE)
        assert len(said) == 1, "the second time there is nothing to do"
        assert sorted(path.name for path in root.parent.iterdir()) == ["lock", "server"]

    def test_erlang_that_does_not_run_is_reported_and_removed(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path / "archive", "echo libtinfo.so.6: cannot open >&2; exit 127")
        environment = archive.environment(tmp_path / "cache")

        with pytest.raises(NoRabbitMQ, match=r"does not run here \(libtinfo.so.6: cannot open"):
            ensure_installation(print, environment, NOWHERE)
        assert find_installation(environment, NOWHERE) is None
        assert not (tmp_path / "cache/datamill-tools/rabbitmq/server").exists()

    def test_a_missing_package_is_named(self, tmp_path: Path) -> None:
        archive = Archive(tmp_path / "archive")
        (tmp_path / "archive" / "Packages").write_text("", encoding="utf-8")

        with pytest.raises(NoRabbitMQ, match="Unable to locate package rabbitmq-server"):
            ensure_installation(print, archive.environment(tmp_path / "cache"), NOWHERE)

    def test_a_copy_cut_short_is_made_anew(self, tmp_path: Path) -> None:
        environment = Archive(tmp_path / "archive").environment(tmp_path / "cache")
        root = tmp_path / "cache/datamill-tools/rabbitmq/server"
        server(root / "usr/lib/rabbitmq/bin")
        program(root / "left-over")

        ensure_installation(print, environment, NOWHERE)

        assert not (root / "left-over").exists()

    def test_two_at_once_fetch_it_once(self, tmp_path: Path) -> None:
        environment = Archive(tmp_path / "archive").environment(tmp_path / "cache")
        code = (
            "from datamill_producer.rabbitmq import ensure_installation\n"
            "print(ensure_installation(print, folders=()).scripts)"
        )
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        said = [process.communicate(timeout=60)[0].splitlines() for process in both]

        assert [process.returncode for process in both] == [0, 0]
        assert sorted(map(len, said)) == [1, 2], "one fetched, the other waited"
        assert said[0][-1] == said[1][-1]
