"""What a distribution imports, at the top of a module or inside a function, it declares itself.

That another distribution brings it along is no promise of that one.
"""

from __future__ import annotations

import ast
import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "client": "datamill",
    "producer": "datamill_producer",
    "builder": "datamill_builder",
    "notifier": "datamill_notifier",
    "handlers": "dataset_handlers",
}
DISTRIBUTIONS = {
    **{package: package.replace("_", "-") for package in PACKAGES.values()},
    "opentelemetry": "opentelemetry-sdk",  # of which each release needs one release of its API
    "pydantic_core": "pydantic",  # of which each release needs one release of it
    "tensorflow": "tensorflow",  # on some platforms its CPU build is installed
}
"""Import name → distribution, where the one that holds the files is not the one to declare."""
USED_OTHERWISE = {
    "opentelemetry-exporter-otlp-proto-http": "OpenTelemetry finds it by its entry point",
    "pip": "run as a program",
    "psycopg": "SQLAlchemy imports it by the catalog's address",
}

HOLDERS = importlib.metadata.packages_distributions()

each_member = pytest.mark.parametrize("member", PACKAGES)


def imports(source: str) -> Iterator[str]:
    """Yield the dotted name of everything that is imported, wherever in the module it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def files_of(distribution: str) -> frozenset[str]:
    return frozenset(map(str, importlib.metadata.files(distribution) or []))


@cache
def distribution_of(name: str) -> str:
    """Return what is to be declared for an import; the name itself where nobody has it."""
    top = name.partition(".")[0]
    if top in DISTRIBUTIONS:
        return DISTRIBUTIONS[top]
    holders = sorted(set(HOLDERS.get(top, [])))
    path = name.replace(".", "/")
    while path and len(holders) > 1:  # a namespace that several share, as `google`
        own = [one for one in holders if files_of(one) & {f"{path}.py", f"{path}/__init__.py"}]
        holders, path = own or holders, path.rpartition("/")[0]
    return canonicalize_name(holders[0]) if len(holders) == 1 else name


def needed(member: str) -> set[str]:
    """Return the distributions that a member imports."""
    sources = (ROOT / member / "src" / PACKAGES[member]).rglob("*.py")
    names = {name for path in sources for name in imports(path.read_text(encoding="utf-8"))}
    foreign = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    return {distribution_of(name) for name in foreign} - {DISTRIBUTIONS[PACKAGES[member]]}


def declared(member: str) -> set[str]:
    """Return what a member declares, with all its extras."""
    project = tomllib.loads((ROOT / member / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project.get("optional-dependencies", {}).values()
    said = [*project["dependencies"], *(one for extra in extras for one in extra)]
    return {canonicalize_name(Requirement(one).name) for one in said}


@each_member
def test_what_is_imported_is_declared(member: str) -> None:
    missing = sorted(needed(member) - declared(member))
    assert not missing, f"{member}/pyproject.toml does not declare {missing}"


@each_member
def test_what_is_declared_is_imported(member: str) -> None:
    spare = sorted(declared(member) - needed(member) - USED_OTHERWISE.keys())
    assert not spare, f"{member}/pyproject.toml declares {spare}, which nothing there imports"


def test_imports_are_seen_wherever_they_stand() -> None:
    source = "import a.b\ndef f():\n    from c import d\n    from . import e\nif g: import h as i"
    assert set(imports(source)) == {"a.b", "c.d", "h"}


def test_a_shared_namespace_is_told_apart() -> None:
    assert distribution_of("google.protobuf.message") == "protobuf"
    assert distribution_of("google_crc32c") == "google-crc32c"
    assert distribution_of("no_such_thing.at_all") == "no_such_thing.at_all"
