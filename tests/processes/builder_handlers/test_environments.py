"""Handler environments: made once however many ask at once, whole or not at all."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.counters import Counters
from datamill_builder.catalog.schema import environments as environments_table
from datamill_builder.handlers import environments as environments_module
from datamill_builder.handlers.environments import Environment, EnvironmentFailed, Environments
from datamill_builder.handlers.sources import UnknownRelease, WheelFolder
from datamill_builder.store import Store
from tests.support.toy import make_toy
from tests.unit.builder.forker import Forker
from tests.unit.builder.waiting import told

Make = Callable[..., Environments]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_toy(tmp_path / "wheels")
    return tmp_path


@pytest.fixture
def make(home: Path) -> Iterator[Make]:
    """Make `Environments` of one home, as each builder on this machine has."""
    opened: list[Catalog] = []

    def make_one(counters: Counters | None = None) -> Environments:
        opened.append(Catalog(f"sqlite:///{home / 'catalog.sqlite'}"))
        store, sources = Store(home / "store"), [WheelFolder(home / "wheels")]
        return Environments(home / "environments", opened[-1], store, [*sources], counters)

    yield make_one
    for catalog in opened:
        catalog.close()


class Counted:
    """What uv was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[list[str]] = []
        run = environments_module._uv

        def counted(arguments: list[str]) -> str:
            self.calls.append(arguments)
            return run(arguments)

        monkeypatch.setattr(environments_module, "_uv", counted)

    def count(self, *words: str) -> int:
        return sum(call[: len(words)] == list(words) for call in self.calls)


@pytest.fixture
def uv_calls(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def runs(python: Path, words: str) -> str:
    done = subprocess.run([python, "-I", "-c", words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_threads_and_processes_at_once_make_it_once(
    make: Make, home: Path, forker: Forker, uv_calls: Counted
) -> None:
    answers = [home / f"told-{number}" for number in range(3)]
    environments = make()
    pythons: list[Path] = []

    def use() -> None:
        pythons.append(environments.python(environments.resolve("toy", "1.0.0")))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for answer in answers:
        forker.start("make_environment", home, home / "wheels", answer)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everybody = {*map(str, pythons)}.union(*(told(answer).split("\n") for answer in answers))
    assert len(pythons) == 8 and len(everybody) == 1, "all use the same one"
    assert uv_calls.count("venv") <= 1 and uv_calls.count("pip", "compile") <= 1
    assert len(list((home / "environments").glob("*/pyvenv.cfg"))) == 1
    assert runs(pythons[0], "import toy_handlers; print(toy_handlers.Toy.shard_protocol)") == "1"


def test_it_is_kept_and_used_again(make: Make, uv_calls: Counted) -> None:
    first = make()
    environment = first.resolve("toy", "1.0.0")
    python = first.python(environment)
    uv_calls.calls.clear()
    later = make()
    assert later.resolve("toy", "1.0.0") == environment
    assert later.python(environment) == python
    assert uv_calls.calls == []


def test_the_catalog_keeps_what_it_was_resolved_to(make: Make, home: Path) -> None:
    environment = make().resolve("toy", "1.0.0")
    with Catalog(f"sqlite:///{home / 'catalog.sqlite'}").read() as connection:
        (row,) = connection.execute(select(environments_table))
    assert (row.handler, row.handler_version, row.package) == ("toy", "1.0.0", "toy-handlers")
    assert (row.lock, row.wheel_sha256) == (environment.lock, environment.wheel_sha256)
    assert "://" not in row.lock and str(home) not in row.lock
    kept = Store(home / "store").wheel_path(row.wheel_sha256, row.wheel)
    assert kept.read_bytes() == (home / "wheels" / row.wheel).read_bytes()


def test_a_release_stays_what_it_was_when_its_source_changes(make: Make, home: Path) -> None:
    environment = make().resolve("toy", "1.0.0")
    make_toy(home / "wheels", source="# another toy under the same version\nclass Toy: pass\n")
    assert make().resolve("toy", "1.0.0") == environment
    (home / "wheels" / environment.wheel).unlink()
    assert make().resolve("toy", "1.0.0") == environment


def test_another_release_is_another_environment(make: Make, home: Path) -> None:
    make_toy(home / "wheels", version="1.1.0")
    environments = make()
    one, other = (environments.resolve("toy", version) for version in ("1.0.0", "1.1.0"))
    assert one.key != other.key
    assert (one.package_version, other.package_version) == ("1.0.0", "1.1.0")


def test_an_unknown_release_is_kept_nowhere(make: Make, home: Path) -> None:
    environments = make()
    with pytest.raises(UnknownRelease):
        environments.resolve("toy", "9.9")
    make_toy(home / "wheels", version="9.9")
    assert environments.resolve("toy", "9.9").package_version == "9.9", (
        "once it is there it is found"
    )


def test_packages_are_read_from_the_lock() -> None:
    lock = (
        "# cpython-311 linux x86_64\n"
        "numpy==2.4.6 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
        "pillow==13.0.0 ; sys_platform == 'linux' \\\n    --hash=sha256:22\n"
    )
    environment = Environment("toy", "p", "1", "e", "w", "0" * 64, "o", lock)
    assert environment.packages == {"numpy": "2.4.6", "pillow": "13.0.0"}
    assert environment.platform == "cpython-311 linux x86_64"


def test_what_can_not_be_resolved_is_said_so(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    make_toy(home / "wheels", version="2.0.0", requires=("no-such-package-for-datamill==1.0",))
    with pytest.raises(EnvironmentFailed, match=r"could not be resolved.*no-such-package"):
        make().resolve("toy", "2.0.0")
    assert list((home / "store" / "scratch").iterdir()) == []


def test_a_failed_install_leaves_nothing_half(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Counters()
    environments = make(count)
    environment = environments.resolve("toy", "1.0.0")
    kept = Store(home / "store").wheel_path(environment.wheel_sha256, environment.wheel)
    whole = kept.read_bytes()
    kept.write_bytes(b"rotten")
    with pytest.raises(EnvironmentFailed, match="could not be made"):
        environments.python(environment)
    assert not (home / "environments" / environment.key).exists()
    kept.write_bytes(whole)
    assert environments.python(environment).exists(), "and it can be made once the cause is gone"
    assert count.totals()["environment_failures", ()] == 1
    assert count.totals()["environment_seconds_sum", ()] > 0


def test_a_half_environment_of_a_killed_builder_is_made_anew(make: Make, home: Path) -> None:
    environments = make()
    environment = environments.resolve("toy", "1.0.0")
    half = home / "environments" / environment.key
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").write_text("half a python")
    (half / "leftover").write_text("")
    python = environments.python(environment)
    assert runs(python, "print(1)") == "1"
    assert not (half / "leftover").exists()
