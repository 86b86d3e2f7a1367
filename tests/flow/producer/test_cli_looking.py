"""show, explain, list, top, doctor, and what a shell completes, against a running service."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import datamill
from tests.support.up import DATAMILL, UpProcess

VERSION = "1.0.0"


def asked(service: UpProcess, *options: str, name: str = "toy", wait: bool = True) -> str:
    """Ask for a dataset; return its id."""
    words = [word for option in options for word in ("-o", option)]
    more = ["--wait"] if wait else []
    return service.said("request", name, VERSION, *words, *more).split()[0]


# --- show ---


def test_show_says_everything(service: UpProcess) -> None:
    dataset_id = asked(service, "prefix=shown", "repeat=2")
    (found,) = service.documents("show", dataset_id[:10])
    options = {option["name"]: option for option in found["options"]}
    assert options["prefix"]["given"] is True
    assert options["max_bad_share"] == {
        "name": "max_bad_share",
        "value": 0.01,
        "given": False,
        "changed": False,
        "default": 0.01,
    }
    made = found["provenance"]
    assert (made["package"], made["package_version"]) == ("toy-handlers", VERSION)
    assert len(made["raw_version"]) == 64
    text = service.said("show", dataset_id)
    for said in (
        dataset_id,
        "ready, 10 of 10 shards, 40 records",
        "toy of toy-handlers 1.0.0",
        "train",
        "40 records",
        found["ready"]["archive"],
        "import datamill",
        found["links"]["manifest"],
    ):
        assert said in text, said
    (line,) = [line for line in text.splitlines() if line.strip().startswith("max_bad_share")]
    assert line.endswith("default")


def test_the_python_that_show_prints_gets_the_dataset(service: UpProcess) -> None:
    dataset_id = asked(service, "prefix=python")
    (found,) = service.documents("show", dataset_id)
    program = found["python"].replace(
        'train = dataset.as_dataset(split="train")', "print(dataset.id)"
    )
    done = subprocess.run(
        [DATAMILL[0], "-c", program],
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == dataset_id


def test_show_of_what_failed_says_why(service: UpProcess) -> None:
    service.command("request", "toy", VERSION, "-o", "repeat=0", "--wait")
    failed = datamill.dataset_id("toy", VERSION, {"repeat": 0})
    assert "invalid_config: repeat" in service.said("show", failed)
    assert service.command("show", "1" * 64).returncode == 5


# --- explain and what is near ---


def test_explain_names_the_option(service: UpProcess) -> None:
    one, other = asked(service, "prefix=e1"), asked(service, "prefix=e2")
    (found,) = service.documents("explain", one[:12], other[:12])
    assert found["verdict"] == "different"
    assert [each["text"] for each in found["differences"]] == ['prefix: "e1" → "e2"']
    text = service.said("explain", one, other)
    assert text.splitlines()[-1].strip() == 'prefix: "e1" → "e2"'


def test_explain_fills_defaults_and_knows_aliases(service: UpProcess) -> None:
    one, other = asked(service, "prefix=a1"), asked(service, "prefix=a1", "repeat=1")
    assert one != other
    assert "same data" in service.said("explain", one, other)
    (found,) = service.documents("explain", one, f"toy {VERSION} -o prefix=a1 -o repeat=3")
    assert [each["text"] for each in found["differences"]] == ["repeat: 1 → 3"]


def test_explain_of_files_and_json(service: UpProcess, tmp_path: Path) -> None:
    one = asked(service, "prefix=j1")
    request = {
        "dataset_name": "toy",
        "handler_version": VERSION,
        "dataset_config": {"prefix": "j2"},
    }
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request))
    for given in (f"@{file}", json.dumps(request)):
        (found,) = service.documents("explain", one, given)
        assert [each["name"] for each in found["differences"]] == ["prefix"]
    wrong = service.command("explain", one, json.dumps({**request, "colour": "red"}))
    assert wrong.returncode == 2
    assert "colour" in wrong.stderr


def test_a_request_says_what_it_is_near_to(service: UpProcess) -> None:
    ready = asked(service, "max_items=4", "prefix=near", name="slow")
    done = service.command("request", "slow", VERSION, "-o", "max_items=4", "-o", "prefix=nearer")
    assert done.stdout.strip() == datamill.dataset_id(
        "slow", VERSION, {"max_items": 4, "prefix": "nearer"}
    )
    assert done.stderr.strip() == (
        f'it differs from {ready[:12]} only in prefix: "near" → "nearer"'
    )
    (line,) = service.documents("request", "slow", VERSION, "-o", "max_items=4", "-o", "prefix=n3")
    assert line["near"]["differences"][0]["after"] == "n3"


# --- list and watch ---


def test_list_sorts(service: UpProcess) -> None:
    small, large = (
        asked(service, "prefix=l1", "max_items=1"),
        asked(service, "prefix=l2", "repeat=9"),
    )
    for _ in range(3):
        asked(service, "prefix=l1", "max_items=1")
    service.wait_for(
        lambda: {one["dataset_id"]: one for one in listed(service)}[large]["downloads"]
    )

    def place(dataset_id: str, *arguments: str) -> int:
        return [one["dataset_id"] for one in listed(service, *arguments)].index(dataset_id)

    assert place(large, "--sort", "size") < place(small, "--sort", "size")
    assert place(small, "--sort", "requests") < place(large, "--sort", "requests")
    assert place(small, "--sort", "size", "--reverse") < place(large, "--sort", "size", "--reverse")
    assert place(small, "--sort", "used") < place(large, "--sort", "used")
    assert len(listed(service, "--sort", "size", "--limit", "1")) == 1
    assert listed(service, "--pinned") == []
    heading = service.said("list").splitlines()[0]
    for name in ("SIZE", "REQUESTS", "DOWNLOADS", "LAST USE", "PINNED"):
        assert name in heading


def listed(service: UpProcess, *arguments: str) -> list[dict[str, object]]:
    return service.documents("list", "--state", "ready", *arguments)


def test_watch_with_bars_ends_with_what_came_of_it(service: UpProcess) -> None:
    slow = asked(service, "prefix=bars", "max_items=8", name="slow", wait=False)
    done = service.command("watch", "--bar", slow)
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert "ready, 8 records" in line
    assert "8 records" in done.stderr, "lines take the place of bars where there is no terminal"


# --- top ---


def test_top_shows_what_is_built(service: UpProcess) -> None:
    slow = asked(service, "prefix=top", name="slow", wait=False)
    service.wait_for(lambda: service.documents("status", slow)[0]["shards_done"])
    text = service.said("top", "--once")
    assert "\x1b" not in text
    assert "building" in text
    assert "slow 1.0.0" in text
    (document,) = service.documents("top")
    (one,) = [each for each in document["building"] if each["dataset_id"] == slow]
    assert one["shards"] == 15
    narrow = UpProcess(service.home, COLUMNS="50").said("top", "--once")
    assert max(map(len, narrow.splitlines())) <= 50


# --- doctor ---


def test_doctor_of_a_service_that_is_well(service: UpProcess) -> None:
    done = service.command("doctor", "--json")
    document = json.loads(done.stdout)
    bad = [one for one in document["checks"] if one["level"] == "error"]
    assert (done.returncode, bad) == (0, [])
    says = {one["check"]: one["says"] for one in document["checks"]}
    assert says["broker"].startswith("RabbitMQ ")
    assert "none is on" in says["broker alarms"]
    assert "serves" in says["notifier"]
    assert "same time" in says["clock"]
    queues = [one["says"] for one in document["checks"] if one["check"] == "queues"]
    assert any(said.startswith("dataset.requests.v1: ") for said in queues)
    url = service.run_file()["broker_url"]
    password = url.split("@")[0].rpartition(":")[2]
    assert password not in done.stdout + service.command("doctor").stdout


def test_doctor_of_the_private_node(start_up: Callable[..., UpProcess]) -> None:
    up = start_up().start()
    document = json.loads(up.command("doctor", "--json").stdout)
    says = [one["says"] for one in document["checks"] if one["check"] == "private broker"]
    assert any("no alarm is on" in said for said in says), says
    assert "a delivery may take 3600 s (consumer timeout)" in says
    assert any(said.startswith("memory: ") for said in says)
    assert document["error"] == 0, document
    (up.home / "run.json").chmod(0o644)
    done = up.command("doctor")
    assert done.returncode == 1
    assert "chmod go= " in done.stdout


# --- completion ---


def completed(service: UpProcess, line: str) -> list[str]:
    environment = {
        **service.environment,
        "_DATAMILL_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    program = "from datamill_producer.cli import main; main()"
    done = subprocess.run(
        [DATAMILL[0], "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return [word.removeprefix("plain,") for word in done.stdout.split()]


@pytest.mark.parametrize(
    "command",
    [
        *("show", "status", "watch", "get", "cancel", "explain"),
        *("pin", "unpin", "evict", "verify", "rebuild --check", "evict --force 000000"),
    ],
)
def test_a_shell_completes_dataset_ids(service: UpProcess, command: str) -> None:
    dataset_id = asked(service, "prefix=completed")
    # Hints may be late where the machine is busy; some time they come.
    service.wait_for(
        lambda: completed(service, f"datamill {command} {dataset_id[:7]}") == [dataset_id[:12]]
    )


def test_a_shell_completes_names(service: UpProcess) -> None:
    asked(service, "prefix=completed")
    service.wait_for(lambda: "toy" in completed(service, "datamill request t"))
    service.wait_for(lambda: completed(service, "datamill request toy 1") == [VERSION])


def test_where_nothing_runs_a_shell_completes_nothing_at_once(tmp_path: Path) -> None:
    alone = UpProcess(tmp_path / "empty")
    began = time.monotonic()
    assert completed(alone, "datamill show 5a5") == []
    assert time.monotonic() - began < 10.0
