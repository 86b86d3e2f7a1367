"""Raw data that is added to a running service, and changes under it."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Callable
from pathlib import Path

from datamill_producer.rabbitmq import PrivateNode
from tests.support.toy import write_items
from tests.support.up import UpProcess


def fetched(service: UpProcess, archive: str) -> bytes:
    url = f"{service.run_file()['http_url']}/datasets/{archive}"
    with urllib.request.urlopen(url, timeout=30) as response:
        body: bytes = response.read()
        return body


def test_after_a_change_old_archives_are_served_and_new_requests_build_anew(
    start_up: Callable[..., UpProcess], home: Path, node: PrivateNode
) -> None:
    # More files than are looked at one by one when a request comes in: what is written over in
    # one of them is noticed by who looks at all, which `raw refresh` does at once.
    for number in range(600):
        (home / "raw" / "toy" / f"{number}.txt").write_text("filling")
    service = start_up(DATAMILL_BROKER_URL=node.add_vhost("raw")).start()
    try:
        asked = ("request", "toy", "1.0.0", "-o", "prefix=raw", "--wait")
        first_id, _ = service.said(*asked).split()
        (old,) = service.documents("status", first_id)
        whole = fetched(service, old["ready"]["archive"])

        items = home / "raw" / "toy" / "items.txt"
        with items.open("r+") as file:
            file.write("ITEM")
        (told,) = service.documents("raw", "refresh", "toy")
        assert told["changed"] is True
        assert told["changes"]["changed"] == {"count": 1, "first": ["items.txt"]}
        assert told["older_archives"] == [old["ready"]["archive"]]
        assert told["resolved_anew"] == 1

        again_id, folder = service.said(*asked).split()
        (new,) = service.documents("status", first_id)
        assert again_id == first_id
        assert new["content_key"] != old["content_key"]
        assert new["ready"]["archive"] in {
            path.name for path in (home / "store/archives").iterdir()
        }
        assert Path(folder).is_dir()
        served = fetched(service, old["ready"]["archive"])
        assert hashlib.sha256(served).hexdigest() == old["ready"]["sha256"]
        assert served == whole

        (listed,) = service.documents("raw", "list", "toy")
        newest, oldest = listed["raw"][0]["versions"]
        assert newest["version"] == told["after"]
        assert [build["archive"] for build in newest["builds"]] == [new["ready"]["archive"]]
        assert [build["archive"] for build in oldest["builds"]] == [old["ready"]["archive"]]
    finally:
        service.stop()
        node.delete_vhost("raw")


def test_what_is_linked_into_the_raw_root_can_be_asked_for_at_once(
    start_up: Callable[..., UpProcess], home: Path, node: PrivateNode, tmp_path: Path
) -> None:
    data = write_items(tmp_path / "data", ["one", "two"], dataset="mine").parent
    service = start_up(DATAMILL_BROKER_URL=node.add_vhost("raw-add")).start()
    try:
        (home / "raw" / "toy" / "items.txt").unlink()
        (home / "raw" / "toy").rmdir()
        service.said("raw", "add", str(data), "--name", "toy")
        dataset_id, _ = service.said("request", "toy", "1.0.0", "--wait").split()
        assert service.documents("show", dataset_id)[0]["ready"]["records"] == 2
    finally:
        service.stop()
        node.delete_vhost("raw-add")
