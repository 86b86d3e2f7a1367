"""The notifier's HTTP interface, as commands use it."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from datamill.errors import (
    DatamillError,
    InvalidRequest,
    Kept,
    NotAllowed,
    NothingFound,
    ServiceUnavailable,
    first_line,
)
from datamill.runfile import Service

TIMEOUT_SECS = 20.0
TIDYING_TIMEOUT_SECS = 1800.0
"""Deleting large files takes its time."""
MAX_LIST = 10_000
"""The longest list that the notifier gives at once."""
MIN_PREFIX = 6
"""Fewer characters of a dataset id are too easily somebody else's."""

_PREFIX = re.compile(r"[0-9a-f]{1,64}")
_ID_LENGTH = 64
_SHOWN = 12
_REDIRECTS = range(300, 400)

Document = dict[str, Any]
Parameters = Mapping[str, str | int | float | None]


class Gateway:
    """Asks a notifier. Every method raises `ServiceUnavailable` where it can't be reached."""

    def __init__(self, service: Service, timeout_secs: float = TIMEOUT_SECS) -> None:
        if service.http_url is None:
            raise ServiceUnavailable(
                "this asks the notifier, and its address is not known: set DATAMILL_URL"
            )
        self.url = service.http_url
        self._token = service.admin_token
        self._timeout_secs = timeout_secs
        self._opener = urllib.request.build_opener(_NoRedirects())

    def dataset(self, dataset_id: str) -> Document:
        """Return the state of a dataset; raise `NothingFound` for one nobody asked for."""
        found: Document = self._call("GET", f"/datasets/{dataset_id}")
        return found

    def details(self, dataset_id: str) -> Document:
        """Return everything about a dataset; raise `NothingFound` for one nobody asked for."""
        found: Document = self._call("GET", f"/datasets/{dataset_id}/details")
        return found

    def datasets(
        self, state: str | None = None, name: str | None = None, limit: int = MAX_LIST
    ) -> list[Document]:
        """Return summaries of datasets, newest first."""
        parameters = {"state": state, "name": name, "limit": limit}
        found: list[Document] = self._call("GET", "/datasets", parameters)
        return found

    def full_id(self, given: str) -> str:
        """Return the dataset id that begins so; else the one whose content key does.

        Of several for one content that is the one asked for first. Raises `InvalidRequest` or
        `NothingFound`.
        """
        if is_full_id(given):
            return given
        found = self._ids(given)
        if found["datasets"] or not found["contents"]:
            return _only(given, {each["dataset_id"] for each in found["datasets"]})
        key = _only(given, {each["content_key"] for each in found["contents"]})
        (content,) = found["contents"]
        if not content["dataset_ids"]:
            raise NothingFound(
                f"{key[:_SHOWN]} is a content key that no dataset id stands for any more: `pin`, "
                "`unpin` and `evict` take it"
            )
        return str(content["dataset_ids"][0])

    def full_id_or_content(self, given: str) -> str:
        """Return the dataset id, or else the content key, that begins so.

        Raises `InvalidRequest` or `NothingFound`.
        """
        if is_full_id(given):
            return given
        found = self._ids(given)
        ids = {each["dataset_id"] for each in found["datasets"]}
        known = {each["content_key"] for each in found["datasets"]}
        others = {each["content_key"] for each in found["contents"]} - known
        return _only(given, ids | others)

    def _ids(self, prefix: str) -> Document:
        found: Document = self._call("GET", f"/ids/{prefix}")
        return found

    def compare(self, one: object, other: object) -> Document:
        """Return what differs between two dataset ids or requests (as documents)."""
        found: Document = self._call("POST", "/compare", body={"a": one, "b": other})
        return found

    def near(self, request: Document) -> Document | None:
        """Return the finished dataset that is near to a request, if there is one."""
        answer: Document = self._call("POST", "/near", body=request)
        found: Document | None = answer["near"]
        return found

    def overview(self) -> Document:
        """Return the service at a glance: what runs, what waits, what came of it."""
        found: Document = self._call("GET", "/overview")
        return found

    def readiness(self) -> Document:
        """Return which parts of the notifier work; `ready` says whether all do."""
        try:
            found: Document = self._call("GET", "/readyz")
        except _Unready as unready:
            return unready.parts
        return found

    def accepted_requests(self, parameters: Parameters) -> list[Document]:
        """Return the newest accepted requests that match, newest last. Needs the admin token."""
        found: list[Document] = self._call("GET", "/admin/requests", parameters)
        return found

    def cancel(self, dataset_id: str) -> Document:
        """Stop the build of a dataset; return its state. Needs the admin token.

        Raises `NothingFound` where nothing is being built for it.
        """
        found: Document = self._call("POST", f"/admin/datasets/{dataset_id}/cancel")
        return found

    def pin(self, dataset_id: str, *, pinned: bool) -> Document:
        """Have a dataset's content never evicted, or let it be. Needs the admin token."""
        word = "pin" if pinned else "unpin"
        found: Document = self._call("POST", f"/admin/datasets/{dataset_id}/{word}")
        return found

    def evict(self, dataset_id: str, *, force: bool) -> Document:
        """Take a dataset out of the store; return what went. Needs the admin token.

        Raises `Kept` where it has to stay, and `NothingFound` where nothing of it is there.
        """
        parameters = {"force": int(force)}
        path = f"/admin/datasets/{dataset_id}/evict"
        found: Document = self._call("POST", path, parameters, TIDYING_TIMEOUT_SECS)
        return found

    def gc(self, budget_bytes: int | None, *, dry_run: bool) -> Document:
        """Bring the store under its budget; return what went and what stays, and why."""
        parameters = {"budget": budget_bytes, "dry_run": int(dry_run)}
        found: Document = self._call("POST", "/admin/gc", parameters, TIDYING_TIMEOUT_SECS)
        return found

    def _call(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        timeout_secs: float | None = None,
        body: object | None = None,
    ) -> Any:
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        query = f"?{urllib.parse.urlencode(given)}" if given else ""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        call = urllib.request.Request(f"{self.url}{path}{query}", data, headers, method=method)
        try:
            with self._opener.open(call, timeout=timeout_secs or self._timeout_secs) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                _check_not_moved(call.full_url, error)
                raise _refusal(self.url, error.code, error.read()) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceUnavailable(
                f"the notifier at {self.url} could not be reached: {first_line(error)}"
            ) from error


def is_full_id(given: str) -> bool:
    """Return whether a dataset id is given in full; raise `InvalidRequest` if it is none."""
    if not _PREFIX.fullmatch(given) or len(given) < MIN_PREFIX:
        raise InvalidRequest(
            f"{given!r} is no dataset id: 64 hex digits, or at least the first {MIN_PREFIX}"
        )
    return len(given) == _ID_LENGTH


def _only(given: str, found: Collection[str]) -> str:
    if not found:
        raise NothingFound(f"no dataset id begins with {given}; `datamill list` shows them")
    if len(found) > 1:
        raise InvalidRequest(f"{given} begins {len(found)} ids: give more of it")
    (one,) = found
    return one


def full_ids(service: Service, given: Iterable[str]) -> list[str]:
    """Return dataset ids in full, each once; the notifier is asked only where one is not."""
    found = [one if is_full_id(one) else Gateway(service).full_id(one) for one in given]
    return list(dict.fromkeys(found))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows none: urllib would send the admin token on to whatever server is named."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


def _check_not_moved(asked: str, error: urllib.error.HTTPError) -> None:
    if error.code in _REDIRECTS:
        there = urllib.parse.urljoin(asked, error.headers.get("Location", ""))
        raise ServiceUnavailable(
            f"{_server(asked)} sends requests on to {_server(there)}: set DATAMILL_URL to the "
            "address where the notifier is"
        ) from error


def _server(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class _Unready(ServiceUnavailable):
    """The notifier says that it can't serve."""

    def __init__(self, message: str, parts: Document) -> None:
        super().__init__(message)
        self.parts = parts


def _refusal(url: str, code: int, body: bytes) -> DatamillError:
    document = _document(body)
    said = str(document.get("message") or f"{code} {HTTPStatus(code).phrase}")
    match code:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return NotAllowed(f"{said}: set DATAMILL_ADMIN_TOKEN to the notifier's")
        case HTTPStatus.CONFLICT if document.get("error") == "kept":
            return Kept(said)
        case HTTPStatus.NOT_FOUND | HTTPStatus.CONFLICT:
            return NothingFound(said)
        case HTTPStatus.BAD_REQUEST:
            return InvalidRequest(said)
        case HTTPStatus.SERVICE_UNAVAILABLE if "ready" in document:
            return _Unready(said, document)
    return ServiceUnavailable(f"the notifier at {url} says: {said}")


def _document(body: bytes) -> Document:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
