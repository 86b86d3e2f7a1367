"""Handler environments that nobody needs go; whatever is in use stays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from datamill_builder.catalog import Catalog
from datamill_builder.catalog.schema import builds
from datamill_builder.handlers.environments import Environment, Environments
from datamill_builder.handlers.pool import HandlerPool, Opening
from datamill_builder.handlers.pruning import Pruned, prune
from datamill_builder.handlers.sources import WheelFolder
from datamill_builder.store import Store
from datamill_producer.cli import datamill
from tests.support.eventually import eventually
from tests.support.toy import make_toy, write_items
from tests.unit.builder.recipes import recipe

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


@dataclass
class Home:
    """Three releases of the toy, each with its environment."""

    folder: Path
    catalog: Catalog
    environments: Environments
    made: dict[str, Environment]

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    def prune(self, keep: int = 1, *, dry_run: bool = False) -> dict[str, Pruned]:
        """Prune; return what became of each, by version."""
        found = prune(self.folder / "environments", self.catalog, keep, dry_run=dry_run)
        return {each.versions: each for each in found}

    def there(self) -> list[str]:
        return [v for v, made in self.made.items() if self.environments.is_made(made)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    for version in VERSIONS:
        make_toy(tmp_path / "wheels", version)
    catalog = Catalog(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    sources = [WheelFolder(tmp_path / "wheels")]
    store = Store(tmp_path / "store")
    environments = Environments(tmp_path / "environments", catalog, store, [*sources])
    made = {version: environments.resolve("toy", version) for version in VERSIONS}
    for each in made.values():
        environments.python(each)
    yield Home(tmp_path, catalog, environments, made)
    catalog.close()


def test_the_newest_stay_and_what_went_is_made_again(home: Home) -> None:
    found = home.prune(keep=2)
    assert home.there() == ["1.1.0", "1.2.0"]
    assert {version: each.kept is None for version, each in found.items()} == {
        "1.0.0": True,
        "1.1.0": False,
        "1.2.0": False,
    }
    assert 0 < found["1.0.0"].freed_bytes <= found["1.0.0"].size_bytes
    assert not (home.folder / "environments" / home.made["1.0.0"].key).exists()
    python = home.environments.python(home.made["1.0.0"])
    assert subprocess.run([python, "-c", "import toy_handlers"], check=False).returncode == 0


def test_a_dry_run_removes_nothing(home: Home) -> None:
    assert [each.kept for each in home.prune(keep=0, dry_run=True).values()] == [None] * 3
    assert home.there() == list(VERSIONS)


def test_an_environment_that_a_handler_runs_in_stays(home: Home) -> None:
    write_items(home.folder / "raw", ["one"])
    pool = HandlerPool(home.environments, home.folder / "raw", home.store, 2, 30.0)
    with pool.lend(Opening(home.made["1.0.0"], "toy", {}, None)):
        assert home.prune(keep=0)["1.0.0"].kept == "it is in use"
        assert home.there() == ["1.0.0"]
    # It waits for its next use: its environment is still the one that it runs in.
    assert home.prune(keep=0)["1.0.0"].kept == "it is in use"
    pool.stop_all()
    # Spares that have just begun let go of it as they end.
    eventually(lambda: home.prune(keep=0) == {} or not home.there(), 30.0)
    assert home.there() == []


def test_one_that_another_process_holds_stays_until_that_is_gone(home: Home) -> None:
    lock = home.folder / "environments" / f"{home.made['1.0.0'].key}.use"
    program = (
        "import sys; from pathlib import Path\n"
        "from datamill_builder.handlers.use import Use\n"
        "use = Use(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        home.prune(keep=0)
        assert home.there() == ["1.0.0"]
        holder.kill()
    home.prune(keep=0)
    assert home.there() == []


def test_one_that_is_being_made_stays(home: Home) -> None:
    with home.environments._locked(home.made["1.0.0"].key):
        home.prune(keep=0)
    assert home.there() == ["1.0.0"]


def test_one_that_a_build_under_way_needs_stays(home: Home) -> None:
    made = home.made["1.0.0"]
    its = recipe().model_copy(
        update={"wheel_sha256": made.wheel_sha256, "lock": made.lock, "wheel": made.wheel}
    )
    row = {
        "content_key": "c" * 64,
        "dataset_name": "toy",
        "state": "building",
        "recipe": its.model_dump_json(),
        "created_at": 0.0,
    }
    with home.catalog.write() as change:
        change.connection.execute(builds.insert(), row)
    assert home.prune(keep=0)["1.0.0"].kept == "a build needs it"
    assert home.there() == ["1.0.0"]


def test_what_was_left_half_made_goes(home: Home) -> None:
    half = home.folder / "environments" / ("a" * 32)
    half.mkdir()
    (half / "file").write_bytes(bytes(5000))
    other = home.folder / "environments" / "somebody's"
    other.mkdir()
    found = home.prune(keep=3)
    assert found[""].kept is None
    assert not half.exists()
    assert other.exists(), "it is none of ours"


def test_the_command(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAMILL_HOME", str(home.folder))
    monkeypatch.delenv("DATAMILL_CATALOG_URL", raising=False)
    run = CliRunner()
    dry = run.invoke(datamill, ["handlers", "prune", "--keep", "1", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "2 of 3 environments would be removed" in dry.stdout
    assert "stays: it is of a recent release" in dry.stdout
    told = json.loads(run.invoke(datamill, ["handlers", "prune", "--json"]).stdout)
    removed = [each["version"] for each in told["environments"] if each["removed"]]
    assert removed == ["1.0.0"], "two stay by default"
    assert told["freed_bytes"] == sum(each["freed_bytes"] for each in told["environments"]) > 0
    assert home.there() == ["1.1.0", "1.2.0"]
