"""compose.yaml and the Dockerfile: what is there, in which order, and nothing unpinned."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from datamill import tracing

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"[a-z/]+:\d+\.\d+\.\d+(-[a-z0-9.-]+)?(@sha256:[0-9a-f]{64})?")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> list[list[str]]:
    """The instructions, as words."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line.split() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line]


def stage(dockerfile: list[list[str]], name: str) -> list[list[str]]:
    """Return the instructions of a stage and of those that it is made from."""
    found: dict[str, list[list[str]]] = {}
    current: list[list[str]] = []
    for words in dockerfile:
        if words[0] == "FROM":
            current = found[words[3]] = list(found.get(words[1], []))
        current.append(words)
    return found[name]


def test_the_three_services_and_their_data(compose: dict[str, Any]) -> None:
    assert set(compose) == {"services", "volumes"}
    assert set(compose["services"]) == {"broker", "builder", "notifier"}
    assert set(compose["volumes"]) == {"broker", "home"}


@pytest.mark.parametrize("service", ["builder", "notifier"])
def test_services_wait_for_a_healthy_broker(compose: dict[str, Any], service: str) -> None:
    waits_for = compose["services"][service]["depends_on"]

    assert waits_for["broker"] == {"condition": "service_healthy"}
    assert set(waits_for) <= set(compose["services"])
    check = compose["services"]["broker"]["healthcheck"]["test"]
    assert check == ["CMD", "rabbitmq-diagnostics", "-q", "check_port_connectivity"]


def test_the_brokers_data_outlives_its_container(compose: dict[str, Any]) -> None:
    broker = compose["services"]["broker"]

    assert broker["volumes"] == ["broker:/var/lib/rabbitmq"]
    assert broker["hostname"], "a random host name would orphan the data"


@pytest.mark.parametrize("service", ["builder", "notifier"])
def test_builder_and_notifier_share_the_home_and_only_read_raw_data(
    compose: dict[str, Any], dockerfile: list[list[str]], service: str
) -> None:
    home, raw = compose["services"][service]["volumes"]

    assert home == "home:/var/lib/datamill"
    assert raw.endswith(":/raw:ro")
    variables = [
        word for words in stage(dockerfile, service) if words[0] == "ENV" for word in words
    ]
    assert "DATAMILL_HOME=/var/lib/datamill" in variables
    assert "DATAMILL_RAW_ROOT=/raw" in variables


def test_what_asks_for_traces_reaches_both_services(compose: dict[str, Any]) -> None:
    builder, notifier = (compose["services"][one]["environment"] for one in ("builder", "notifier"))
    told = {name for name in builder if name.startswith("OTEL_")}

    assert builder == notifier
    assert all(builder[name] is None for name in told), "a value here would go before the user's"
    for values in (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"},
        {"OTEL_TRACES_EXPORTER": "otlp"},
    ):
        assert tracing.asked_for(values)
        assert told >= values.keys()
    assert "OTEL_SDK_DISABLED" in told
    assert "OTEL_SERVICE_NAME" not in told, "they are two services, each with a name of its own"


def test_there_is_no_default_password(compose: dict[str, Any]) -> None:
    uses = re.findall(r"\$\{DATAMILL_BROKER_PASSWORD[^}]*\}", str(compose["services"]))

    assert len(uses) == 3, "the broker and two clients"
    assert all(":?" in use for use in uses)


def test_ports_are_published_on_loopback_unless_asked_otherwise(compose: dict[str, Any]) -> None:
    published = [port for one in compose["services"].values() for port in one.get("ports", [])]

    assert len(published) == 2
    assert all(re.fullmatch(r"\$\{\w+:-127\.0\.0\.1:\d+\}:\d+", port) for port in published)


def test_the_notifier_listens_where_it_is_published_and_checked(
    compose: dict[str, Any], dockerfile: list[list[str]]
) -> None:
    instructions = stage(dockerfile, "notifier")
    said = {words[0]: " ".join(words[1:]) for words in instructions}

    assert said["CMD"] == '["notifier", "--listen", "0.0.0.0:8080"]'
    assert compose["services"]["notifier"]["ports"][0].endswith(":8080")
    assert "urlopen('http://127.0.0.1:8080/readyz'" in said["HEALTHCHECK"]
    assert not [words for words in stage(dockerfile, "builder") if words[0] == "HEALTHCHECK"]


def test_images_are_pinned(compose: dict[str, Any], dockerfile: list[list[str]]) -> None:
    services = compose["services"]
    stages = [words[3] for words in dockerfile if words[0] == "FROM"]
    bases = [words[1] for words in dockerfile if words[0] == "FROM" and words[1] not in stages]

    assert bases
    for image in (*bases, services["broker"]["image"]):
        assert PINNED.fullmatch(image), image
    for service in ("builder", "notifier"):
        assert services[service]["build"] == {"context": ".", "target": service}
        assert service in stages


def test_images_run_without_root_and_are_built_from_the_server_lock(
    dockerfile: list[list[str]],
) -> None:
    for name in ("builder", "notifier"):
        users = [words[1] for words in stage(dockerfile, name) if words[0] == "USER"]
        assert users == ["datamill"]
    installs = [" ".join(words) for words in stage(dockerfile, "build") if "install" in words]
    assert "--require-hashes" in installs[0]
    assert "requirements-server.lock" in installs[0]


def test_what_is_copied_is_there_and_not_ignored(dockerfile: list[list[str]]) -> None:
    copied = [words[1] for words in dockerfile if words[0] == "COPY" and "--from" not in words[1]]
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()

    assert copied
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in kept


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.mark.skipif(not has_compose(), reason="`docker compose` is not installed")
@pytest.mark.parametrize(("password", "code"), [("x", 0), ("", 1)])
def test_docker_reads_it(password: str, code: int) -> None:
    done = subprocess.run(
        ["docker", "compose", "--env-file", os.devnull, "config", "-q"],
        cwd=ROOT,
        env={**os.environ, "DATAMILL_BROKER_PASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )

    assert min(done.returncode, 1) == code, done.stderr
    if code:
        assert "DATAMILL_BROKER_PASSWORD" in done.stderr
