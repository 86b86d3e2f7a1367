"""What can't be answered, as JSON: `{"error": "...", "message": "..."}`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from datamill.errors import first_line
from datamill.request import MAX_MESSAGE_BYTES
from datamill_builder.catalog import CatalogUnavailable

log = logging.getLogger(__name__)

RETRY_AFTER_SECS = 5
"""When it is worth trying again what can't be served just now."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):
    """The request can't be answered. `error` is a word for programs, `message` for people."""

    def __init__(
        self, status: int, error: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        """Return the response that says so."""
        document = {"error": self.error, "message": str(self)}
        return web.json_response(document, status=self.status, headers=self.headers)


def not_found(message: str) -> Problem:
    """Return the problem of what isn't there."""
    return Problem(404, "not_found", message)


def invalid(message: str) -> Problem:
    """Return the problem of a request that can't be understood."""
    return Problem(400, "invalid_request", message)


def unavailable(message: str) -> Problem:
    """Return the problem of what can't be had just now."""
    return Problem(503, "unavailable", message, {"Retry-After": str(RETRY_AFTER_SECS)})


def hang_up(request: web.Request) -> None:
    """Cut a connection at once, so that nobody takes what was sent for the whole."""
    if request.transport is not None:
        request.transport.abort()


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into JSON."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        return _of_http(error).response()
    except CatalogUnavailable as error:
        log.warning("%s", error)
        return unavailable(first_line(error)).response()
    except ConnectionError:
        # The other side is gone, or was cut off: no bytes go out any more. Raised further,
        # aiohttp would log it as an error of ours.
        hang_up(request)
        return web.Response(status=503)
    except Exception:
        log.exception("%s %s failed in a way that was not foreseen", request.method, request.path)
        if request.writer.output_size:
            hang_up(request)  # an answer has begun: another must not be taken for its rest
        return Problem(500, "internal", "the server failed; its log says how").response()


def _of_http(error: web.HTTPException) -> Problem:
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    # Words of ours: those of the standard library change between versions of Python.
    match error.status:
        case 404:
            return not_found("there is nothing at this address")
        case 405:
            message = f"this address takes {kept.get('Allow', 'other methods')}"
            return Problem(405, "method_not_allowed", message, kept)
        case 413:
            return Problem(413, "too_large", f"a request has at most {MAX_MESSAGE_BYTES} bytes")
    return Problem(error.status, "refused", error.reason, kept)
