"""Where releases come from: a folder, a git repository, an index; by version, nothing else."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from datamill.errors import SettingsError
from datamill_builder.handlers import sources as sources_module
from datamill_builder.handlers.sources import (
    GitRepository,
    PackageIndex,
    Source,
    SourceUnavailable,
    UnknownRelease,
    WheelFolder,
    find_release,
    parse_source,
    run_tool,
)
from tests.support.wheels import make_wheel


def toy_wheel(folder: Path, version: str, handler: str = "toy") -> Path:
    return make_wheel(folder, "toy-handlers", version, {"toy.py": ""}, {handler: "toy:Toy"})


# --- settings ---


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("/wheels", WheelFolder(Path("/wheels"))),
        ("file:///wheels/a%20b", WheelFolder(Path("/wheels/a b"))),
        ("git+https://git.test/h.git", GitRepository("https://git.test/h.git", "")),
        (
            "git+file:///repository#subdirectory=packages/toy",
            GitRepository("file:///repository", "packages/toy"),
        ),
        (
            "index+https://index.test/simple#package=a,b&package=c",
            PackageIndex("https://index.test/simple", ("a", "b", "c")),
        ),
        (
            "https://index.test/simple",
            PackageIndex("https://index.test/simple", ("dataset-handlers",)),
        ),
    ],
)
def test_settings_name_sources(text: str, source: Source) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text", ["git+ssh://host/x", "git+ext::sh -c evil", "git+http://host/x", "git+/path", "git+"]
)
def test_other_ways_to_git_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="DATAMILL_HANDLER_SOURCES"):
        parse_source(text)


# --- a folder of wheels ---


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    for version in ("1.0.0", "1.1.0", "2.0rc1"):
        toy_wheel(folder, version)
    (folder / "toy_handlers-3.0.0-py3-none-any.whl").write_bytes(b"half a wheel")
    (folder / "notes.txt").write_text("no wheel")
    make_wheel(folder, "others", "1.0.0", {}, {"other": "o:O"})
    return folder


@pytest.mark.parametrize("version", ["1.1.0", "1.1"])
def test_a_folder_gives_the_wheel_of_the_version(
    wheels: Path, tmp_path: Path, version: str
) -> None:
    release = find_release([WheelFolder(wheels)], "toy", version, tmp_path)
    assert release.wheel == wheels / "toy_handlers-1.1.0-py3-none-any.whl"
    assert release.info.handlers == {"toy": "toy:Toy"}


def test_an_unknown_version_lists_what_there_is(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownRelease) as error:
        find_release([WheelFolder(wheels)], "toy", "9.9", tmp_path)
    known, _, unread = str(error.value).partition("; not read: ")
    assert known == "no handler toy in version 9.9; there are: 1.0.0, 1.1.0, 2.0rc1"
    assert "toy_handlers-3.0.0" in unread, "the one that was perhaps meant"


@pytest.mark.parametrize("folder", ["wheels", "nothing"])
def test_an_unknown_handler_has_no_version(wheels: Path, tmp_path: Path, folder: str) -> None:
    with pytest.raises(UnknownRelease, match="no source has any version of it"):
        find_release([WheelFolder(wheels.parent / folder)], "mnist", "1.0.0", tmp_path)
    with pytest.raises(UnknownRelease, match="no source has any version of it"):
        find_release([], "mnist", "1.0.0", tmp_path)


def test_a_half_wheel_is_no_release(wheels: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownRelease):
        find_release([WheelFolder(wheels)], "toy", "3.0.0", tmp_path)


class Away:
    """A source that can't be reached."""

    def fetch(self, handler: str, version: str, scratch: Path) -> None:
        raise SourceUnavailable("the network is down")

    def versions(self, handler: str) -> set[str]:
        return set()


def test_sources_are_asked_in_their_order(wheels: Path, tmp_path: Path) -> None:
    second = toy_wheel(tmp_path / "second", "1.0.0")
    found = find_release(
        [WheelFolder(second.parent), WheelFolder(wheels)], "toy", "1.0.0", tmp_path
    )
    assert found.wheel == second


def test_a_source_that_is_away_is_no_proof_that_a_release_is_unknown(
    wheels: Path, tmp_path: Path
) -> None:
    assert find_release([Away(), WheelFolder(wheels)], "toy", "1.0.0", tmp_path).wheel.exists()
    with pytest.raises(SourceUnavailable, match="the network is down"):
        find_release([Away(), WheelFolder(wheels)], "toy", "9.9", tmp_path)


# --- a git repository ---

BACKEND = """
import sys
sys.dont_write_bytecode = True
from tests_wheel import make_wheel
from pathlib import Path

def build_wheel(folder, config_settings=None, metadata_directory=None):
    version = Path("VERSION").read_text().strip()
    points = {"toy": "toy:Toy"}
    return make_wheel(Path(folder), "toy-handlers", version, {"toy.py": ""}, points).name
"""


class Repository:
    """A git repository whose package needs nothing to be built."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def release(self, version: str, *tags: str, subdirectory: str = ".") -> str:
        """Commit the package in a version, tag it, and return the commit."""
        package = self.folder / subdirectory
        package.mkdir(parents=True, exist_ok=True)
        (package / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        (package / "backend.py").write_text(BACKEND)
        support = Path(make_wheel.__code__.co_filename).read_text()
        (package / "tests_wheel.py").write_text(support)
        (package / "VERSION").write_text(version)
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", version)
        for tag in tags:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("git") / "handlers")
    made.release("1.0.0", "v1.0.0", "nightly", "release-candidate")
    made.release("2.0.0", "2.0.0", "4.0.0")
    made.release("3.0.0", "toy-v3.0.0", subdirectory="packages/toy")
    return made


def git_source(repository: Repository, subdirectory: str = "") -> GitRepository:
    fragment = f"#subdirectory={subdirectory}" if subdirectory else ""
    source = parse_source(f"git+file://{repository.folder}{fragment}")
    assert isinstance(source, GitRepository)
    return source


@pytest.mark.parametrize(
    ("version", "tag", "subdirectory"),
    [("1.0.0", "v1.0.0", ""), ("2.0.0", "2.0.0", ""), ("3.0.0", "toy-v3.0.0", "packages/toy")],
)
def test_a_tag_is_a_release(
    repository: Repository, tmp_path: Path, version: str, tag: str, subdirectory: str
) -> None:
    release = find_release([git_source(repository, subdirectory)], "toy", version, tmp_path)
    assert (release.info.version, release.info.handlers) == (version, {"toy": "toy:Toy"})
    commit = repository.git("rev-parse", f"{tag}^{{commit}}")
    assert release.origin == f"git tag {tag}, commit {commit}"
    assert release.wheel.is_relative_to(tmp_path)


def test_a_tag_that_lies_is_no_release(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(UnknownRelease, match=r"tag 4\.0\.0 holds version 2\.0\.0.*not 4\.0\.0"):
        find_release([git_source(repository)], "toy", "4.0.0", tmp_path)


def test_an_unknown_tag_lists_the_others(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(UnknownRelease, match=r"there are: 1\.0\.0, 2\.0\.0, 3\.0\.0, 4\.0\.0$"):
        find_release([git_source(repository)], "toy", "9.9", tmp_path)
    for branch in ("main", "nightly", "HEAD"):
        with pytest.raises(UnknownRelease):
            find_release([git_source(repository)], "toy", branch, tmp_path)


def test_a_repository_that_is_away_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="git ls-remote"):
        find_release([parse_source(f"git+file://{tmp_path}/none")], "toy", "1.0.0", tmp_path)


# --- a package index ---


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """A package index (PEP 503) on loopback, with a package in two versions."""
    folder = tmp_path / "simple"
    for version in ("1.0.0", "1.1.0"):
        toy_wheel(folder / "toy-handlers", version)
    links = "".join(f'<a href="{w.name}">{w.name}</a>' for w in (folder / "toy-handlers").iterdir())
    page = f"<!DOCTYPE html><html><body>{links}</body></html>"
    (folder / "toy-handlers" / "index.html").write_text(page)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing about it."""

    def log_message(self, format: str, *args: Any) -> None:
        return


def test_an_index_gives_the_version_of_a_named_package(index: str, tmp_path: Path) -> None:
    source = parse_source(f"index+{index}#package=toy-handlers")
    release = find_release([source], "toy", "1.1.0", tmp_path)
    assert (release.info.version, release.info.handlers) == ("1.1.0", {"toy": "toy:Toy"})
    assert release.wheel.is_relative_to(tmp_path)
    assert release.origin == "toy_handlers-1.1.0-py3-none-any.whl from the package index"


def test_an_index_without_the_version_does_not_have_the_release(index: str, tmp_path: Path) -> None:
    source = parse_source(f"index+{index}#package=toy-handlers")
    with pytest.raises(UnknownRelease):
        find_release([source], "toy", "9.9", tmp_path)


def test_an_index_that_is_away_may_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # What pip 26 says then: that nothing matches comes last, that it tried again before.
    words = (
        "pip -m: WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by "
        "'NewConnectionError' ERROR: No matching distribution found for toy-handlers==1.0.0"
    )

    def unreachable(*_: object) -> str:
        raise SourceUnavailable(words)

    monkeypatch.setattr(sources_module, "run_tool", unreachable)
    source = PackageIndex("http://127.0.0.1:9/simple", ("toy-handlers",))
    with pytest.raises(SourceUnavailable, match="connection broken"):
        find_release([source], "toy", "1.0.0", tmp_path)


# --- tools ---


def test_a_tool_that_fails_is_quoted(tmp_path: Path) -> None:
    command = ["sh", "-c", r"printf 'caf\351 is\n  closed\n' >&2; exit 3"]
    with pytest.raises(SourceUnavailable, match=r"sh -c: caf\ufffd is closed$"):
        run_tool(command, tmp_path, dict(os.environ))


def test_a_tool_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="no-such-tool"):
        run_tool([str(tmp_path / "no-such-tool")], tmp_path, {})


def test_a_tool_asks_nobody(tmp_path: Path) -> None:
    assert run_tool(["cat"], tmp_path, dict(os.environ)) == ""


def test_a_tool_that_takes_too_long_is_told_without_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command holds the address of an index, and that its password."""
    monkeypatch.setattr("datamill_builder.handlers.tools._TIMEOUT_SECS", 0.2)
    with pytest.raises(SourceUnavailable) as late:
        run_tool(["sh", "-c", "sleep 60", "https://me:secret@x.example"], tmp_path, {})
    assert str(late.value) == "sh: took more than 0 s"
    script = ["sh", "-c", "echo https://me:secret@index.example >&2; exit 1"]
    with pytest.raises(SourceUnavailable) as failed:
        run_tool(script, tmp_path, dict(os.environ))
    assert "secret" not in str(failed.value)
    assert "index.example" in str(failed.value)
