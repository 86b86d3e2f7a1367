"""Every error that handlers raise on purpose.

`datamill_reason` tells the builder whose fault it is: it becomes the `reason` of the `failed`
event. The message is one line that a person can act on.
"""

from __future__ import annotations

from typing import ClassVar


class HandlerError(Exception):
    """The handler itself went wrong."""

    datamill_reason: ClassVar[str] = "handler_error"


class ConfigError(HandlerError, ValueError):
    """The dataset's config asks for something that the handler does not do."""

    datamill_reason = "invalid_config"


class BadItemError(HandlerError):
    """One source item can't be used; the message says why."""

    datamill_reason = "bad_data"


class TooManyBadItemsError(HandlerError):
    """More source items are bad than `max_bad_share` allows."""

    datamill_reason = "bad_data"


class NoSourceItemsError(HandlerError):
    """The raw folder is missing, or holds nothing in the layout that the handler reads."""

    datamill_reason = "bad_data"


class SourceReadError(HandlerError):
    """A raw file was listed but can't be read now.

    Not a bad item: whether a file can be read depends on the machine, so skipping it would give
    different bytes for the same content key.
    """
