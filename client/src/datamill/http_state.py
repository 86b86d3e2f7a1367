"""A dataset's state as the notifier tells it: `GET /datasets/<id>`, `POST /requests`."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datamill.client_name import CLIENT_FIELD
from datamill.errors import InvalidRequest, ServiceUnavailable, first_line
from datamill.events import Accepted, Event, Failed, Planned, Progress, Ready, Reason, ShardDone
from datamill.request import Request
from datamill.trace_context import TraceContext

TIMEOUT_SECS = 10.0

REQUEST_ID_FIELD = "idempotency-key"
"""The HTTP header field that says which request is asked again."""


class _Shard(BaseModel):
    model_config = ConfigDict(extra="ignore")

    index: int
    split: str
    url: str
    bytes: int
    sha256: str
    records: int


class State(BaseModel):
    """What `GET /datasets/<id>` says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dataset_id: str
    state: Literal["queued", "building", "ready", "failed", "cancelled", "evicted"]
    shards: int | None = None
    shards_done: int | None = None
    records_done: int | None = None
    waiting: int | None = None
    ahead: int | None = None
    requests: int | None = None
    """How often it was asked for, ever."""
    ready: Ready | None = None
    failed: Failed | None = None
    planned: Planned | None = None
    progress: Progress | None = None
    """How fast its build is, where that is told."""
    shard_list: list[_Shard] = Field(default_factory=list)

    def events(self) -> Iterator[Event]:
        """Yield the events that say the same."""
        if self.planned:
            yield self.planned
        yield from self._shard_events()
        match self.state:
            case "queued" | "building":
                yield Accepted(
                    dataset_id=self.dataset_id,
                    state=self.state,
                    waiting=self.waiting or 0,
                    ahead=self.ahead or 0,
                )
                yield self._progress()
            case "ready" if self.ready:
                yield self.ready
            case "failed" | "cancelled":
                yield self.failed or self._cancelled()

    def _shard_events(self) -> Iterator[ShardDone]:
        for shard in self.shard_list:
            yield ShardDone(
                dataset_id=self.dataset_id, shards=self.shards or 0, **shard.model_dump()
            )

    def _progress(self) -> Progress:
        # What the catalog counts is newer; what the build tells counts shards in hand, too.
        told = self.progress
        return Progress(
            dataset_id=self.dataset_id,
            shards_done=self.shards_done or 0,
            shards=self.shards or 0,
            records_done=max(self.records_done or 0, told.records_done if told else 0),
            records_per_sec=told.records_per_sec if told else 0.0,
            secs_left=told.secs_left if told else None,
        )

    def _cancelled(self) -> Failed:
        return Failed(
            dataset_id=self.dataset_id,
            reason=Reason.CANCELLED if self.state == "cancelled" else Reason.INTERNAL,
            message=f"the build is {self.state}",
            retryable=True,
        )


def fetch_state(http_url: str, dataset_id: str) -> State | None:
    """Return the state of a dataset; None if the service does not know it.

    Raises `ServiceUnavailable`.
    """
    body = _call(urllib.request.Request(f"{http_url}/datasets/{dataset_id}"))
    if body is None:
        return None
    try:
        return State.model_validate_json(body)
    except ValidationError as error:
        raise ServiceUnavailable(
            f"{http_url} does not answer as a notifier does: {error.errors()[0]['msg']}"
        ) from error


def fetch_datasets(http_url: str, limit: int) -> list[dict[str, Any]]:
    """Return summaries of datasets, newest first; raise `ServiceUnavailable`."""
    body = _call(urllib.request.Request(f"{http_url}/datasets?limit={limit}"))
    try:
        found = json.loads(body or b"")
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise ServiceUnavailable(f"{http_url} does not answer as a notifier does")
    return found


def post_request(
    http_url: str,
    request: Request,
    message_id: str | None = None,
    client: str | None = None,
    trace: TraceContext | None = None,
) -> None:
    """Ask for a dataset, as `client`; under the same id it is one request however often asked.

    Raises `ServiceUnavailable`, or `InvalidRequest` if it is refused.
    """
    headers: dict[str, Any] = {"Content-Type": "application/json"}
    headers |= trace.headers() if trace else {}
    if message_id:
        headers[REQUEST_ID_FIELD] = f'"{message_id}"'
    if client:
        # As bytes: text would have to be Latin-1, and a name may be in any script.
        headers[CLIENT_FIELD] = client.encode()
    call = urllib.request.Request(
        f"{http_url}/requests", data=request.encode(), headers=headers, method="POST"
    )
    if _call(call) is None:
        raise ServiceUnavailable(f"{http_url} takes no requests: is it a Datamill notifier?")


def _call(call: urllib.request.Request) -> bytes | None:
    """Return the body of the answer; None for 404."""
    asked = call.full_url
    try:
        with urllib.request.urlopen(call, timeout=TIMEOUT_SECS) as response:
            _check_address(asked, response.url)
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        with error:
            _check_address(asked, error.url)
            if error.code == http.HTTPStatus.NOT_FOUND:
                return None
            raise _refusal(call.host, error) from error
    except (OSError, http.client.HTTPException) as error:
        raise ServiceUnavailable(
            f"the service at {call.host} could not be reached: {first_line(error)}"
        ) from error


def _check_address(asked: str, answered: str | None) -> None:
    """Raise if somebody else answered: where a request is sent on, what it carries is lost."""
    if answered not in (None, asked):
        raise ServiceUnavailable(
            f"{_server(asked)} sends requests on to {_server(answered)}: set DATAMILL_URL to the "
            "address where the notifier is"
        )


def _server(url: str | None) -> str:
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _refusal(host: str, error: urllib.error.HTTPError) -> ServiceUnavailable | InvalidRequest:
    said = _message(error.read()) or f"{error.code} {error.reason}"
    if error.code in (http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        return InvalidRequest(said)
    return ServiceUnavailable(f"the service at {host} says: {said}")


def _message(body: bytes) -> str | None:
    try:
        document: Any = json.loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict) or "message" not in document:
        return None
    return str(document["message"])
