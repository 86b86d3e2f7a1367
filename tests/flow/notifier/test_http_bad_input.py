"""Any request over HTTP gets an answer that is no failure of the server's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamill.request import MAX_MESSAGE_BYTES
from tests.support.catalog_steps import Steps
from tests.support.door import Door, head
from tests.support.notifier import NotifierProcess

NO_BROKER = 503
"""What asks for a broker is told to come back: there is none here."""

ID = "ab" * 32
END = b"\r\n"


def words(text: str) -> list[str]:
    return text.split()


many = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def archive(steps: Callable[..., Steps]) -> str:
    """The address of an archive that is ready."""
    made = steps()
    made.ready()
    return f"/datasets/{made.archive.name}"


@pytest.fixture(scope="module")
def routes(archive: str) -> list[str]:
    """An address of each kind that there is, and one that there is not."""
    of_dataset = ["", "/manifest.json", "/preview.jpg", "/shards/0", "/details"]
    others = "/ /datasets /requests /events /metrics /healthz /readyz /admin/requests /nothing"
    others += " /compare /near /overview"
    others += f" /savings /page/{ID} /page/compare /page/static/live.css"
    return [
        archive,
        *(f"/datasets/{ID}{rest}" for rest in of_dataset),
        f"/admin/datasets/{ID}/cancel",
        *words(others),
    ]


@pytest.fixture(scope="module")
def door(notifier: NotifierProcess) -> Iterator[Door]:
    """Where requests come in; at the end the notifier is as well as before."""
    yield Door(notifier)
    began = time.monotonic()
    assert notifier.ask("/healthz").status == 200
    assert time.monotonic() - began < 2.0
    assert "Traceback" not in notifier.log() and "not foreseen" not in notifier.log()


def check(status: int, what: object) -> None:
    assert 200 <= status < 500 or status == NO_BROKER, (status, what)


PIECES = words(r"""
    .. %2e%2e ..%2f %2e%2e%2f ..%5c %00 %0d%0a %0aSet-Cookie:x=1 %ff%fe % %zz %u002e %c0%af
    %ed%a0%80 / // \ ; . * ? # ~ + & = %25252e etc/passwd datasets shards manifest.json .zip
    catalog.sqlite admin-token 1e3 -1 é ☃ %E2%98%83 .gz
""")
pieces = (
    st.sampled_from([*PIECES, ID, ID.upper(), "9" * 30, "a" * 3000])
    | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
)  # fmt: skip


@many
@given(data=st.data(), parts=st.lists(pieces, max_size=6), query=st.lists(pieces, max_size=4))
def test_any_address(
    door: Door, routes: list[str], data: st.DataObject, parts: list[str], query: list[str]
) -> None:
    target = data.draw(st.sampled_from(routes)) + "".join(parts)
    target += "?" + "".join(query) if query else ""
    check(door.status(head("GET", target) + END), target)


@pytest.mark.parametrize(
    "target",
    [
        "/datasets/..%2f..%2fetc%2fpasswd",
        "/datasets/%2e%2e/%2e%2e/admin-token",
        "/datasets/../../catalog.sqlite",
        "/datasets/..%5c..%5cadmin-token",
        "//etc/passwd",
        f"/datasets/{ID}/shards/..%2f..%2fmanifest.json",
        f"/datasets/toy_1_{ID}.zip%00.jpg",
        f"/datasets/toy_..%2f..%2f_{ID}.zip",
        "/..%c0%af..%c0%afetc/passwd",
        "/datasets/" + "a" * 7000,
    ],
)
def test_addresses_that_lead_out_lead_nowhere(
    door: Door, notifier: NotifierProcess, target: str
) -> None:
    answer = door.say(head("GET", target) + END, all_of_it=True)
    assert answer.split(b" ", 2)[1] in (b"404", b"400"), answer[:200]
    token = (notifier.home / "admin-token").read_bytes().strip()
    assert b"root:" not in answer and b"SQLite format" not in answer and token not in answer


NAMES = words("dataset state name limit since until failed dataset_id dataset_name q id v")
values = (
    st.sampled_from(words("ready 0 1 0001-01-01 9999-12-31T23:59:59.999999-23:59 999999999999"))
    | st.integers().map(str)
    | st.floats().map(str)
    | st.datetimes().map(str)
    | pieces
)  # fmt: skip


@many
@given(data=st.data(), query=st.dictionaries(st.sampled_from(NAMES), values, max_size=4))
def test_any_query(
    door: Door,
    notifier: NotifierProcess,
    routes: list[str],
    data: st.DataObject,
    query: dict[str, str],
) -> None:
    route = data.draw(st.sampled_from([*routes, "/admin/requests", "/datasets", "/events"]))
    token = (notifier.home / "admin-token").read_text().strip()
    target = f"{route}?" + "&".join(f"{name}={value}" for name, value in query.items())
    request = head("GET", target, f"Authorization: Bearer {token}\r\n") + END
    check(door.status(request), target)


FIELDS = words("""
    Range If-Range If-Match If-None-Match If-Modified-Since Origin Authorization Accept-Encoding
    Content-Type Content-Encoding Cookie Expect X-Forwarded-For Host Upgrade Sec-WebSocket-Key
    Sec-WebSocket-Version
""")
SAID = words("""
    bytes=0- bytes=-0 bytes=-5 bytes=9999999- bytes=5-2 bytes=0-1,3-4 lines=1-2 bytes= bytes=a-b "x"
    W/ W/"x" " * Bearer null gzip;q=0 100-continue -1 13 http://[ http://x:99999999 websocket
""")
said = st.sampled_from([*SAID, "", "a" * 3000, "bytes=" + "9" * 400 + "-", "Bearer \xff", "\xe9"])
letters = st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")


@many
@given(
    data=st.data(),
    fields=st.dictionaries(
        st.sampled_from(FIELDS), said | st.text(letters, max_size=30), max_size=5
    ),
)
def test_any_fields(
    door: Door, routes: list[str], archive: str, data: st.DataObject, fields: dict[str, str]
) -> None:
    route = data.draw(st.sampled_from([archive, *routes]))
    written = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    status = door.status(head("GET", route, written) + END)
    check(200 if status in (100, 101) else status, (route, fields))


@pytest.mark.parametrize("expectation", ["tea", "\x80", "100-continue, tea"])
@pytest.mark.parametrize("target", ["/healthz", "/nothing"])
def test_expectations_that_nobody_meets(door: Door, target: str, expectation: str) -> None:
    assert door.status(head("GET", target, f"Expect: {expectation}\r\n") + END) == 417


METHODS = words("GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT PROPFIND BREW get")
BODIES = [b"{}", b"[" * 50_000, b"null", b'{"dataset_name":"x"}', b"\xff", b"9" * 5000]


@many
@given(
    data=st.data(),
    method=st.sampled_from(METHODS) | st.text("ABZ!#$%&'*+-.^_`|~", min_size=1, max_size=20),
    body=st.binary(max_size=200) | st.sampled_from(BODIES),
)
def test_any_method_and_body(
    door: Door, routes: list[str], data: st.DataObject, method: str, body: bytes
) -> None:
    route = data.draw(st.sampled_from(["/requests", *routes]))
    request = head(method, route, f"Content-Length: {len(body)}\r\n") + END + body
    check(door.status(request), (method, route, body[:100]))


@pytest.mark.parametrize(
    "length", ["9" * 30, "-1", "1e3", "0x10", "", "1, 1", "+1", str(MAX_MESSAGE_BYTES + 1)]
)
def test_lengths_that_are_none(door: Door, length: str) -> None:
    body = b"x" * (int(length) if length == str(MAX_MESSAGE_BYTES + 1) else 100)
    request = head("POST", "/requests", f"Content-Length: {length}\r\n") + END + body
    assert door.status(request) in (400, 413)
