"""request, status, list, watch, get and cancel, against a running service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import datamill
from datamill import topology
from tests.support.up import DATAMILL, UpProcess

VERSION = "1.0.0"


def asked(service: UpProcess, prefix: str, *more: str) -> str:
    """Ask for a toy dataset of one's own; return its id."""
    dataset_id, *_ = service.said(
        "request", "toy", VERSION, "-o", f"prefix={prefix}", *more
    ).split()
    return dataset_id


def prefixed(prefix: str) -> str:
    return datamill.dataset_id("toy", VERSION, {"prefix": prefix})


def test_request_prints_the_id_at_once_and_then_the_folder(service: UpProcess) -> None:
    assert service.said("request", "toy", VERSION, "-o", "prefix=r1").split() == [prefixed("r1")]
    lines = service.documents("request", "toy", VERSION, "-o", "prefix=r1", "--wait")
    assert lines[0]["dataset_id"] == prefixed("r1")
    manifest = json.loads(Path(lines[1]["folder"], "manifest.json").read_text())
    assert manifest["config"]["prefix"] == "r1"


@pytest.mark.parametrize("how", ["json", "file", "stdin", "options"])
def test_configs_mean_the_same_however_given(service: UpProcess, tmp_path: Path, how: str) -> None:
    config: dict[str, Any] = {"prefix": "same", "repeat": 2}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    arguments = {
        "json": ["--config", json.dumps(config)],
        "file": ["--config", f"@{file}"],
        "stdin": ["--config", "-"],
        "options": ["--config", '{"prefix": "other"}', "-o", "prefix=same", "-o", "repeat=2"],
    }
    done = service.command("request", "toy", VERSION, *arguments[how], input=json.dumps(config))
    assert done.stdout.strip() == datamill.dataset_id("toy", VERSION, config)


def test_exec_runs_on_the_data_and_its_exit_code_is_ours(service: UpProcess) -> None:
    program = "import os, sys; print(sys.argv[1:]); print(os.environ['DATAMILL_DATASET_PATH'])"
    command = f'{sys.executable} -c "{program}" {{path}} {{id}} "two words" $HOME'
    out = service.said("request", "toy", VERSION, "-o", "prefix=e1", "--exec", command)
    dataset_id, folder, arguments, told = out.splitlines()
    # No shell: what looks like a variable stays as it is.
    assert arguments == str([folder, dataset_id, "two words", "$HOME"])
    assert told == folder

    ended = service.command("request", "toy", VERSION, "--exec", "sh -c 'exit 9'")
    assert ended.returncode == 9
    killed = service.command("request", "toy", VERSION, "--exec", "sh -c 'kill -9 $$'")
    assert killed.returncode == 128 + 9
    missing = service.command("request", "toy", VERSION, "--exec", "no-such-program-here")
    assert missing.returncode == 127
    assert "no-such-program-here" in missing.stderr


def test_json_stays_pure_beside_a_training_that_prints(service: UpProcess) -> None:
    done = service.command("request", "toy", VERSION, "--json", "--exec", "echo loss 0.1")
    asked, there = map(json.loads, done.stdout.splitlines())
    assert set(asked) - {"near"} == {"dataset_id"}
    assert set(there) == {"dataset_id", "folder"}
    assert "loss 0.1" in done.stderr


def test_what_will_not_come_is_one_line_and_code_3(service: UpProcess) -> None:
    done = service.command("request", "toy", VERSION, "-o", "repeat=11", "--wait", "--json")
    assert done.returncode == 3
    assert done.stdout.count("\n") == 1, "the id, and nothing else"
    last = done.stderr.splitlines()[-1]
    assert last.startswith("datamill: invalid_config: ")
    assert "from 1 to 10" in last


def test_a_request_that_is_none_is_code_2(service: UpProcess) -> None:
    done = service.command("request", "NO SUCH", VERSION)
    assert done.returncode == 2
    assert done.stderr.startswith("datamill: dataset_name: 'NO SUCH' is not allowed")
    assert done.stderr.count("\n") == 1


def test_timeout_is_code_4_and_the_build_goes_on(service: UpProcess) -> None:
    arguments = ("request", "slow", VERSION, "-o", "prefix=t", "-o", "max_items=8")
    done = service.command(*arguments, "--wait", "--timeout", "0.01")
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith("datamill: ")
    assert service.said(*arguments, "--wait")


def test_status_of_the_service(service: UpProcess) -> None:
    (document,) = service.documents("status")
    assert document["broker"]["ok"] is document["builder"]["ok"] is True
    assert document["notifier"]["url"] == service.run_file()["http_url"]
    shown = {queue["name"] for queue in document["broker"]["queues"]}
    assert shown == {queue.name for queue in topology.QUEUES}
    text = service.said("status")
    password = service.run_file()["broker_url"].split("@")[0].rpartition(":")[2]
    assert password not in text + json.dumps(document)
    assert "builds" in text


def test_status_of_a_dataset_by_a_prefix_of_its_id(service: UpProcess) -> None:
    dataset_id = asked(service, "s1", "--wait")
    (document,) = service.documents("status", dataset_id[:8])
    assert document["dataset_id"] == dataset_id
    assert document["state"] == "ready"
    text = service.said("status", dataset_id)
    assert document["ready"]["url"] in text
    assert "ready, 5 of 5 shards, 20 records" in text


@pytest.mark.parametrize(
    ("given", "code"), [("0" * 64, 5), ("0" * 6, 5), ("123", 2), ("xyzxyz", 2), ("A" * 64, 2)]
)
def test_ids_that_are_none(service: UpProcess, given: str, code: int) -> None:
    done = service.command("status", given)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1


def test_list_by_state_and_name(service: UpProcess) -> None:
    ready = asked(service, "l1", "--wait")
    service.command("request", "toy", VERSION, "-o", "repeat=0", "--wait")
    by_state = {
        state: {one["dataset_id"] for one in service.documents("list", "--state", state)}
        for state in ("ready", "failed")
    }
    assert ready in by_state["ready"]
    assert datamill.dataset_id("toy", VERSION, {"repeat": 0}) in by_state["failed"]
    assert service.documents("list", "--name", "nothing-of-this-name") == []
    assert len(service.documents("list", "--limit", "1")) == 1
    heading, *rows = service.said("list", "--state", "ready").splitlines()
    assert heading.split()[:4] == ["ID", "NAME", "VERSION", "STATE"]
    assert any(row.startswith(ready[:12]) for row in rows)


def test_watch_tells_what_happens_until_the_answer(service: UpProcess) -> None:
    slow = service.said("request", "slow", VERSION, "-o", "prefix=w").strip()
    ready = asked(service, "w1", "--wait")
    events = service.documents("watch", slow[:10], ready)
    assert {event["dataset_id"] for event in events} == {slow, ready}
    of_slow = [event["event"] for event in events if event["dataset_id"] == slow]
    assert of_slow[-1] == "ready"
    assert of_slow.count("shard") == 15
    assert of_slow.count("planned") == 1
    lines = service.said("watch", ready).splitlines()
    assert ready[:12] in lines[-1]
    assert "ready, 20 records" in lines[-1]


def test_watch_of_a_failed_one_is_code_3_of_an_unknown_one_5(service: UpProcess) -> None:
    service.command("request", "toy", VERSION, "-o", "repeat=12", "--wait")
    failed = datamill.dataset_id("toy", VERSION, {"repeat": 12})
    done = service.command("watch", failed)
    assert done.returncode == 3
    assert "invalid_config" in done.stdout
    assert service.command("watch", "1" * 64).returncode == 5


def test_get_unpacks_where_one_likes(service: UpProcess, tmp_path: Path) -> None:
    dataset_id = asked(service, "g1", "--wait")
    target = tmp_path / "new" / "toy"
    (document,) = service.documents("get", dataset_id[:9], "--to", str(target))
    assert document == {"dataset_id": dataset_id, "folder": str(target)}
    cached = Path(service.said("get", dataset_id).strip())
    files = {file.name: file.read_bytes() for file in cached.iterdir()}
    assert {file.name: file.read_bytes() for file in target.iterdir()} == files
    again = service.command("get", dataset_id, "--to", str(target))
    assert again.returncode == 1
    assert "no empty folder" in again.stderr
    assert {file.name: file.read_bytes() for file in target.iterdir()} == files
    assert [path.name for path in target.parent.iterdir()] == ["toy"], "no temporary folder stays"


def test_get_of_what_is_not_ready(service: UpProcess) -> None:
    service.command("request", "toy", VERSION, "-o", "repeat=13", "--wait")
    failed = service.command("get", datamill.dataset_id("toy", VERSION, {"repeat": 13}))
    assert failed.returncode == 3
    building = service.said("request", "slow", VERSION, "-o", "prefix=g").strip()
    done = service.command("get", building)
    assert done.returncode == 4
    assert "datamill watch" in done.stderr


def test_cancel_stops_a_build_and_tells_who_waits(service: UpProcess) -> None:
    waiting = subprocess.Popen(
        [*DATAMILL, "request", "slow", VERSION, "-o", "prefix=c", "--wait"],
        env=service.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None
    dataset_id = waiting.stdout.readline().strip()
    service.wait_for(lambda: service.documents("status", dataset_id)[0]["state"] == "building")
    (document,) = service.documents("cancel", dataset_id[:12])
    assert document == {"dataset_id": dataset_id, "state": "cancelled"}
    _, complaint = waiting.communicate(timeout=30)
    assert waiting.returncode == 3
    assert "cancelled" in complaint.splitlines()[-1]
    again = service.command("cancel", dataset_id)
    assert again.returncode == 5
    assert again.stderr.count("\n") == 1


def test_cancel_asks_for_the_token(service: UpProcess) -> None:
    dataset_id = asked(service, "token", "--wait")
    stranger = UpProcess(service.home, DATAMILL_ADMIN_TOKEN="guessed")
    done = stranger.command("cancel", dataset_id)
    assert done.returncode == 77
    assert "DATAMILL_ADMIN_TOKEN" in done.stderr


def test_without_a_service_it_says_what_to_do(tmp_path: Path) -> None:
    alone = UpProcess(tmp_path / "empty")
    for arguments in (["list"], ["status"], ["request", "toy", VERSION], ["dead", "list"]):
        done = alone.command(*arguments)
        assert (done.returncode, done.stdout) == (69, "")
        assert "datamill up" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_cached_dataset_needs_no_service(service: UpProcess, tmp_path: Path) -> None:
    dataset_id = asked(service, "cached", "--wait")
    alone = UpProcess(tmp_path / "empty", DATAMILL_CACHE=service.environment["DATAMILL_CACHE"])
    done = alone.command("get", dataset_id)
    assert done.returncode == 0, done
    assert Path(done.stdout.strip(), "manifest.json").exists()
    assert "cache" in done.stderr


def test_commands_over_http_alone(service: UpProcess, tmp_path: Path) -> None:
    far = UpProcess(tmp_path / "far", DATAMILL_URL=service.run_file()["http_url"])
    dataset_id, folder = far.said("request", "toy", VERSION, "-o", "prefix=far", "--wait").split()
    assert Path(folder, "manifest.json").exists()
    assert far.documents("watch", dataset_id)[-1]["event"] == "ready"
    assert far.documents("status")[0]["broker"]["ok"] is None
    assert far.command("dead", "list").returncode == 69
