"""The description as a whole."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version

from datamill_notifier.openapi.components import schemas
from datamill_notifier.openapi.operations import ADMIN_TOKEN, Document, written, written_head
from datamill_notifier.openapi.paths import OPERATIONS

OPENAPI_VERSION = "3.1.0"

_ABOUT = (
    "Asking for prepared machine-learning datasets, following their builds and fetching them, "
    "for those who cannot reach the broker."
)


def _header(says: str, example: str) -> Document:
    return {"description": says, "schema": {"type": "string"}, "example": example}


HEADERS: dict[str, Document] = {
    "ETag": _header("The SHA-256, as a strong validator.", f'"{"9b0e" * 16}"'),
    "Repr-Digest": _header(
        "RFC 9530: the digest of the whole, beside a part of it too.",
        "sha-256=:mw6bDpsOmw6bDpsOmw6bDpsOmw6bDpsOmw6bDpsOmw4=:",
    ),
    "Accept-Ranges": _header("RFC 9110, section 14.3.", "bytes"),
    "Content-Range": _header("RFC 9110, section 14.4.", "bytes 1000-1999/812345678"),
    "Cache-Control": _header("RFC 9111, section 5.2.", "no-cache"),
    "Location": _header(
        "Where the state of the dataset is.", "http://data.example:8080/datasets/…"
    ),
    "Retry-After": _header("In so many seconds it is worth another try.", "5"),
    "WWW-Authenticate": _header("RFC 9110, section 11.6.1.", "Bearer"),
}


@lru_cache(maxsize=8)
def description(public_url: str) -> Document:
    """Return the description of a notifier that is reached at an address."""
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Datamill",
            "version": version("datamill-notifier"),
            "description": _ABOUT,
        },
        "servers": [{"url": public_url}],
        "tags": [
            {"name": "everybody", "description": "Asks for no token."},
            {"name": "administration", "description": "For who has the admin token."},
        ],
        "paths": _paths(),
        "components": {
            "schemas": schemas(),
            "headers": HEADERS,
            "securitySchemes": {
                ADMIN_TOKEN: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "DATAMILL_ADMIN_TOKEN, or `admin-token` in the server's home.",
                }
            },
        },
    }


def _paths() -> Document:
    paths: Document = {}
    for operation in OPERATIONS:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method.lower()] = written(operation)
        if operation.method == "GET" and operation.head:
            methods["head"] = written_head(operation)
    return paths
