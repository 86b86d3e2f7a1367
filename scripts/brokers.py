"""Run the broker's and the flows' tests on several versions of RabbitMQ: `make test-brokers`.

The one that the system has, then those of newer releases of its distribution, unpacked into
folders of this user's cache. What a suite had when it was fetched stays; remove the folder to
fetch it anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from datamill_producer.rabbitmq import (
    Installation,
    NoRabbitMQ,
    PrivateNode,
    ensure_installation,
    ensure_release,
)
from datamill_producer.rabbitmq.releases import distribution

REPOSITORY = Path(__file__).resolve().parents[1]
TESTS = ("tests/broker", "tests/flow", "tests/faults")
NEWER_RELEASES = {"debian": ("trixie", "sid"), "ubuntu": ("devel",)}
"""Suites of the distributions' archives that have a server of 4.x."""
EXIT_FAILED = 1
EXIT_NO_RABBITMQ = 69


def main(arguments: list[str]) -> int:
    """Run the tests on each version; `arguments` are pytest's. Return the exit code."""
    try:
        versions = {answering_version(server): server for server in servers()}
    except NoRabbitMQ as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_NO_RABBITMQ
    results = {version: run(version, versions[version], arguments) for version in versions}
    for version, (code, closing) in results.items():
        print(f"RabbitMQ {version}: {closing}{f' (exit code {code})' if code else ''}")
    return EXIT_FAILED if any(code for code, _ in results.values()) else 0


def servers() -> Iterator[Installation]:
    """Provide the system's server, then the newer ones."""
    newer = newer_releases()  # first: it says where there are none
    yield ensure_installation(say)
    for release in newer:
        yield ensure_release(release, say)


def newer_releases() -> tuple[str, ...]:
    """Return the suites with newer servers; DATAMILL_TEST_RELEASES may name others."""
    chosen = os.environ.get("DATAMILL_TEST_RELEASES")
    name, _ = distribution()
    return tuple(chosen.split()) if chosen else NEWER_RELEASES[name]


def answering_version(server: Installation) -> str:
    """Start a node and ask it."""
    with tempfile.TemporaryDirectory() as folder, PrivateNode(Path(folder), server) as node:
        version = node.version()
    say(f"RabbitMQ {version}: {server.scripts}")
    return version


def run(version: str, server: Installation, arguments: list[str]) -> tuple[int, str]:
    """Run the tests on one version; return pytest's exit code and closing line."""
    say(f"--- RabbitMQ {version} ---")
    folders = [folder for folder in TESTS if (REPOSITORY / folder).is_dir()]
    tests = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments, *folders],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "DATAMILL_RABBITMQ_DIR": str(server.scripts),
            "DATAMILL_TEST_RABBITMQ_VERSION": version,
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    closing = "pytest said nothing"
    assert tests.stdout
    for line in tests.stdout:
        print(line, end="", flush=True)
        closing = line.strip() or closing
    return tests.wait(), re.sub(r"\x1b\[[0-9;]*m", "", closing).strip("= ")


def say(line: str) -> None:
    """Print a line now, before the output of the tests."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
