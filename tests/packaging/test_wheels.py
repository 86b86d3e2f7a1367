"""Each distribution as its users get it: its wheel, alone in an empty environment."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import uv
from packaging.utils import canonicalize_name

from tests.flow.handlers.shipped import SHIPPED

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Distribution:
    folder: str
    name: str
    package: str
    commands: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    """Which of our other distributions it brings along."""
    without: tuple[str, ...] = ()
    """What it must not bring along, beside TensorFlow."""


SERVER = ("sqlalchemy", "aiohttp", "uv", "opencv-python-headless")
CLIENT = ("datamill",)
ALL = [
    Distribution("client", "datamill", "datamill", without=(*SERVER, "click", "numpy", "pillow")),
    Distribution(
        "producer", "datamill-producer", "datamill_producer", ("datamill",), CLIENT, SERVER
    ),
    Distribution(
        "builder",
        "datamill-builder",
        "datamill_builder",
        ("datamill-builder",),
        CLIENT,
        ("aiohttp", "opencv-python-headless"),
    ),
    Distribution(
        "notifier",
        "datamill-notifier",
        "datamill_notifier",
        ("datamill-notifier",),
        (*CLIENT, "datamill-builder"),
        ("opencv-python-headless",),
    ),
    Distribution(
        "handlers",
        "dataset-handlers",
        "dataset_handlers",
        without=("pika", "sqlalchemy", "aiohttp", "click", "rich"),
    ),
]
TENSORFLOW = ("tensorflow", "tensorflow-cpu", "keras", "tensorflow-datasets")

each = pytest.mark.parametrize("distribution", ALL, ids=lambda distribution: distribution.name)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the five wheels."""
    folder = tmp_path_factory.mktemp("distributions")
    for distribution in ALL:
        build = [uv.find_uv_bin(), "build", "--quiet", "--wheel", "--no-build-isolation"]
        build += ["--python", sys.executable, "--out-dir", str(folder)]
        subprocess.run([*build, str(REPOSITORY / distribution.folder)], check=True)
    return folder


def wheel_of(wheels: Path, distribution: Distribution) -> Path:
    (wheel,) = wheels.glob(f"{distribution.name.replace('-', '_')}-[0-9]*.whl")
    return wheel


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds one distribution and what it needs."""

    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of it in an empty folder; return what it printed."""
        empty = self.folder.parent / "empty"
        empty.mkdir(exist_ok=True)
        done = subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=empty,
            env={"PATH": f"{self.folder}/bin:/usr/bin:/bin", "HOME": str(empty)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, code: str) -> str:
        return self.run("python", "-W", "error", "-c", code).strip()

    def packages(self) -> dict[str, str]:
        """Name → version of all that is installed."""
        listing = self.python(
            "import importlib.metadata as m\n"
            "for d in m.distributions(): print(d.metadata['Name'], d.version)"
        )
        pairs = (line.split() for line in listing.splitlines())
        return {canonicalize_name(name): version for name, version in pairs}


@pytest.fixture(scope="session")
def environments(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Environment]:
    """Every distribution, each in an environment of its own."""
    return {
        distribution.name: install(
            tmp_path_factory.mktemp(distribution.folder) / "environment",
            wheels,
            wheel_of(wheels, distribution),
        )
        for distribution in ALL
    }


def install(folder: Path, wheels: Path, wheel: Path) -> Environment:
    """Install a wheel: from uv's cache where that has all it needs, else from the index."""
    uv_bin = uv.find_uv_bin()
    subprocess.run([uv_bin, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    command = [uv_bin, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
    command += ["--find-links", str(wheels), str(wheel)]
    offline = subprocess.run([*command, "--offline"], capture_output=True, text=True, check=False)
    if offline.returncode != 0:
        subprocess.run(command, check=True)
    return Environment(folder)


@each
def test_it_imports_with_its_version(
    environments: dict[str, Environment], distribution: Distribution
) -> None:
    project = tomllib.loads((REPOSITORY / distribution.folder / "pyproject.toml").read_text())
    environment = environments[distribution.name]
    told = environment.python(
        f"import importlib.metadata, {distribution.package}\n"
        f"print(importlib.metadata.version('{distribution.name}'), {distribution.package}.__file__)"
    )
    version, file = told.split(" ", 1)
    assert version == project["project"]["version"]
    assert Path(file).is_relative_to(environment.folder), "the checkout is not what is tested"


@each
def test_every_module_imports(
    environments: dict[str, Environment], distribution: Distribution
) -> None:
    count = environments[distribution.name].python(
        "import importlib, pkgutil\n"
        f"import {distribution.package} as package\n"
        "found = pkgutil.walk_packages(package.__path__, package.__name__ + '.')\n"
        "names = [module.name for module in found]\n"
        # Two programs; what has to derive from a class of TensorFlow's; and of an extra.
        "left_out = ('__main__', 'launcher', 'tf_reader', 'tracing_sdk')\n"
        "names = [name for name in names if name.rsplit('.', 1)[-1] not in left_out]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))"
    )
    assert int(count) >= 5


@each
def test_it_brings_what_it_needs_and_no_more(
    environments: dict[str, Environment], distribution: Distribution
) -> None:
    installed = environments[distribution.name].packages().keys()
    assert not installed & {*TENSORFLOW, *distribution.without}
    own = {other.name for other in ALL} & installed
    assert own == {distribution.name, *distribution.ours}


@each
def test_its_commands_run(environments: dict[str, Environment], distribution: Distribution) -> None:
    for command in distribution.commands:
        shown = environments[distribution.name].run(command, "--help")
        assert shown.startswith(f"Usage: {command} ")


@each
def test_the_wheel_is_typed_and_pure(wheels: Path, distribution: Distribution) -> None:
    wheel = wheel_of(wheels, distribution)
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert f"{distribution.package}/py.typed" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {distribution.package, f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}


def test_the_client_says_what_is_missing_without_tensorflow(
    environments: dict[str, Environment],
) -> None:
    said = environments["datamill"].python(
        "import datamill, sys\n"
        "from datamill import tf_data\n"
        "assert 'tensorflow' not in sys.modules\n"
        "try: tf_data.import_tensorflow()\n"
        "except datamill.TensorFlowMissing as error: print(error)"
    )
    assert "pip install 'datamill[tensorflow]'" in said


def test_a_service_that_is_not_installed_is_named(environments: dict[str, Environment]) -> None:
    environment = environments["datamill-producer"]
    done = subprocess.run(
        [environment.folder / "bin" / "datamill", "builder"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install datamill-builder" in done.stderr


def test_the_notifier_brings_the_files_of_its_pages(
    environments: dict[str, Environment],
) -> None:
    shown = environments["datamill-notifier"].python(
        "from datamill_notifier.live import assets, rendering\n"
        "print(rendering.problem_page('It is here', '') + str(sorted(assets.assets())))"
    )
    assert "<h1>It is here</h1>" in shown
    assert "['icon.svg', 'live.css', 'live.js']" in shown


def test_the_handlers_are_announced(environments: dict[str, Environment]) -> None:
    names = environments["dataset-handlers"].python(
        "import importlib.metadata as m\n"
        "points = m.entry_points(group='datamill.handlers')\n"
        "for point in points: point.load()\n"
        "print(sorted(points.names))"
    )
    assert names == str(sorted(SHIPPED))
