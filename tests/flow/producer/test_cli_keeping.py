"""pin, unpin, evict, gc, verify and rebuild, against a running service."""

from __future__ import annotations

import json

import datamill
from tests.flow.producer.test_cli_datasets import VERSION, asked
from tests.support.up import UpProcess


def state(service: UpProcess, dataset_id: str) -> str:
    return str(service.documents("status", dataset_id)[0]["state"])


def test_pinned_evicted_and_built_again(service: UpProcess) -> None:
    first, second = asked(service, "k1", "--wait"), asked(service, "k2", "--wait")
    said = service.said("pin", first[:10])
    assert said == f"{first} pinned\n"
    assert service.said("pin", first) == f"{first} pinned, as before\n"

    done = service.command("evict", first[:10], second[:10], "--force")
    assert done.returncode == 1, "one of them stays"
    assert done.stderr == f"datamill: {first[:12]}: it is pinned: `datamill unpin` it first\n"
    assert done.stdout.startswith(f"{second} evicted: toy_1.0.0_")
    assert done.stdout.rstrip().endswith(("kB", " B", "MB")), "and how much that was"
    assert (state(service, first), state(service, second)) == ("ready", "evicted")

    watched = service.command("watch", second)
    assert watched.returncode == 5, "what comes after `&&` needs the data"
    assert "evicted" in watched.stdout

    again = service.command("evict", second)
    assert (again.returncode, again.stdout) == (5, "")
    assert "evicted" in again.stderr
    (documents,) = service.documents("unpin", first, second)
    assert [(each["dataset_id"], each["pinned"], each["changed"]) for each in documents] == [
        (first, False, True),
        (second, False, False),
    ]
    kept = service.command("evict", first)
    assert kept.returncode == 1 and "--force" in kept.stderr
    assert asked(service, "k2", "--wait") == second
    assert state(service, second) == "ready"


def test_gc_says_what_would_go_and_why_others_stay(service: UpProcess) -> None:
    dataset_id = asked(service, "k3", "--wait")
    (document,) = service.documents("gc", "--budget", "0", "--dry-run")
    assert (document["dry_run"], document["budget_bytes"], document["gone"]) == (True, 0, [])
    why = {each["dataset_ids"][0]: each["why"] for each in document["stay"]}
    assert why[dataset_id] == "recent"
    text = service.said("gc", "--budget", "0", "--dry-run")
    (row,) = [line for line in text.splitlines() if line.startswith(dataset_id[:12])]
    assert row.endswith("stays: told ready or fetched within the last hour")
    assert text.splitlines()[-1].endswith("over it, and nothing more may go yet")
    service.said("gc", "--budget", "0")
    assert state(service, dataset_id) == "ready"
    assert "it has no budget" in service.said("gc")


def test_what_gc_shows_can_be_given(service: UpProcess) -> None:
    dataset_id = asked(service, "k7", "--wait")
    (document,) = service.documents("gc", "--budget", "0", "--dry-run")
    (key,) = [each["content_key"] for each in document["stay"] if dataset_id in each["dataset_ids"]]
    assert service.said("pin", key[:12]) == f"{key} pinned\n"
    assert service.documents("show", key[:12])[0]["dataset_id"] == dataset_id
    assert service.said("unpin", key[:12]) == f"{key} not pinned\n"
    assert service.said("evict", key[:12], "--force").startswith(f"{key} evicted: toy_1.0.0_")
    assert state(service, key[:12]) == "evicted"


def test_verify_and_rebuild_on_the_server_itself(service: UpProcess) -> None:
    dataset_id = asked(service, "k4", "--wait")
    (sound,) = service.documents("verify", dataset_id[:10])
    assert (sound["ok"], sound["files"]) == (True, 1)
    assert service.said("verify").rstrip().endswith("all sound")
    (equal,) = service.documents("rebuild", "--check", dataset_id[:10], "--shards", "2")
    assert (equal["ok"], len(equal["shards"])) == (True, 2)


def test_what_cannot_be_done_is_one_line(service: UpProcess) -> None:
    queued = datamill.dataset_id("toy", VERSION, {"prefix": "never asked for"})
    for command in (["pin"], ["unpin"], ["evict"], ["verify"], ["rebuild", "--check"]):
        done = service.command(*command, queued)
        assert (done.returncode, done.stdout) == (5, ""), done
        assert done.stderr.count("\n") == 1
        assert service.command(*command, "xyz").returncode == 2
    stranger = UpProcess(service.home, DATAMILL_ADMIN_TOKEN="guessed")
    for arguments in (["pin", queued], ["evict", queued], ["gc"]):
        done = stranger.command(*arguments)
        assert done.returncode == 77
        assert "DATAMILL_ADMIN_TOKEN" in done.stderr


def test_several_at_once_are_one_document(service: UpProcess) -> None:
    ids = [asked(service, prefix, "--wait") for prefix in ("k5", "k6")]
    done = service.command("evict", *ids, "--force", "--json")
    assert done.returncode == 0
    (line,) = done.stdout.splitlines()
    assert [each["dataset_id"] for each in json.loads(line)] == ids
