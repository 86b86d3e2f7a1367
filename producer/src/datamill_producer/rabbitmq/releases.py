"""Where other releases of this Debian or Ubuntu are: on the mirrors that apt uses already."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from datamill_producer.rabbitmq.errors import NoRabbitMQ

ROLLING_NAMES = frozenset({"oldstable", "stable", "testing", "unstable", "sid"})
"""What sources may say instead of a release's own name."""

_ONE_LINE = re.compile(r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<rest>.+)")
_ABBREVIATED = {"arch": "architectures"}
_ASK = ("LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d")

Source = dict[str, str]
"""The fields of a deb822 stanza; the names are in lower case, they mean the same in any."""


def distribution() -> tuple[str, str]:
    """Return the distribution, `debian` or `ubuntu`, and the name of its release.

    Raises `NoRabbitMQ` on any other system.
    """
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    name = system.get("ID", "")
    if name not in ("debian", "ubuntu"):
        this = system.get("PRETTY_NAME") or platform.system()
        raise NoRabbitMQ(f"Other releases' packages need Debian or Ubuntu, and this is {this}")
    return name, system.get("VERSION_CODENAME", "sid")


def sources_of(release: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return sources, in deb822 format, of another release of this system's distribution.

    Everything but the suite's name is what apt's own configuration says: mirror, keys, options.
    Raises `NoRabbitMQ` where this is no Debian or Ubuntu.
    """
    _, codename = distribution()
    texts = (path.read_text(encoding="utf-8") for path in _source_files(environment))
    sources = derive(texts, {codename, *ROLLING_NAMES}, release)
    if not sources:
        raise NoRabbitMQ(f"apt's configuration names no source of {codename}'s packages")
    return sources


def derive(texts: Iterable[str], own_names: Iterable[str], release: str) -> str:
    """Return the sources in `texts`, of either format, that have a suite of `own_names`.

    They name the suite `release` instead. Those of updates and backports have suites of other
    names and so are left out; so is what is switched off. That another vendor's source has such
    a suite too can't be told from its name: it stays, and does no harm.
    """
    names = frozenset(own_names)
    found = [source for text in texts for source in _sources(text) if _fits(source, names)]
    return "\n".join(_stanza({**source, "suites": release}) for source in found)


def _source_files(environment: Mapping[str, str]) -> list[Path]:
    said = subprocess.run(
        ["apt-config", "shell", *_ASK],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    places = dict(word.split("=", 1) for word in shlex.split(said))
    parts = Path(places.get("PARTS", "-"))
    files = [Path(places.get("LIST", "-")), *sorted(parts.glob("*.list"))]
    return [path for path in (*files, *sorted(parts.glob("*.sources"))) if path.is_file()]


def _sources(text: str) -> Iterator[Source]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    if any(re.match(r"types\s*:", line, re.IGNORECASE) for line in lines):
        stanzas = re.split(r"\n\s*\n", "\n".join(lines))
        yield from (_fields(stanza) for stanza in stanzas if stanza.strip())
    else:
        yield from (_from_line(match) for match in map(_ONE_LINE.match, lines) if match)


def _fields(stanza: str) -> Source:
    # A line that begins with a space continues the field above it, such as a key in full.
    fields = re.findall(r"^([^\s:]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
    return {name.lower(): value for name, value in fields}


def _from_line(line: re.Match[str]) -> Source:
    suite, *components = line["rest"].partition("#")[0].split()
    options = dict(option.split("=", 1) for option in (line["options"] or "").split())
    fields = {
        _ABBREVIATED.get(name, name): value.replace(",", " ") for name, value in options.items()
    }
    return {
        "types": "deb",
        "uris": line["uri"],
        "suites": suite,
        "components": " ".join(components),
        **fields,
    }


def _fits(source: Source, names: frozenset[str]) -> bool:
    on = source.get("enabled", "yes").lower() not in ("no", "false", "0")
    packages = "deb" in source.get("types", "").split()
    main = "main" in source.get("components", "").split()
    return on and packages and main and bool(names & set(source.get("suites", "").split()))


def _stanza(source: Source) -> str:
    only = {**source, "types": "deb", "components": "main"}
    return "".join(f"{name}: {value}\n" for name, value in only.items())
