"""Every error that Datamill raises, under one root.

The docstring of a class is its default message, so that text and type can't drift apart.
Messages are one line and say what to do.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class DatamillError(Exception):
    """Datamill could not do this."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class SettingsError(DatamillError):
    """A setting has a value that is not allowed."""


class InvalidRequest(DatamillError):
    """The request does not describe a dataset."""


class Flaw(StrEnum):
    """What is wrong with a message, as a word for programs."""

    TOO_LARGE = "too_large"
    """It was not looked at."""
    NOT_JSON = "not_json"
    """Nor UTF-8, or it holds what JSON lacks, or a key twice."""
    NOT_THAT = "not_that"
    """JSON, but not the fields, types and values of what it should be."""
    WRONG_KEY = "wrong_key"
    """It came under another routing key than what it says."""


class DecodeError(InvalidRequest):
    """The message is not what its sender promised.

    `body` holds the bytes as they came; `dataset_id` the id that its sender waits for, where
    the three fields can be told.
    """

    def __init__(
        self,
        message: str,
        body: bytes,
        dataset_id: str | None = None,
        flaw: Flaw = Flaw.NOT_THAT,
    ) -> None:
        super().__init__(message)
        self.body = body
        self.dataset_id = dataset_id
        self.flaw = flaw


class ServiceUnavailable(DatamillError):
    """No Datamill service could be reached."""


class BrokerUnavailable(ServiceUnavailable):
    """The broker could not be reached."""


class BrokerRefused(DatamillError):
    """The broker refused the login, the virtual host or a permission."""


class BrokerBusy(ServiceUnavailable):
    """The broker takes no messages just now (queue full, or out of memory or disk); try later."""


class Unroutable(ServiceUnavailable):
    """Nobody takes requests on this broker: start a builder (`datamill up`)."""


class TopologyMismatch(DatamillError):
    """A queue or exchange exists on the broker with other arguments than Datamill needs."""


class RequestFailed(DatamillError):
    """The dataset will not come.

    `reason` is one of the reasons of the `failed` event, `retryable` whether asking again may
    help.
    """

    def __init__(self, reason: str, message: str, retryable: bool, dataset_id: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.detail = message
        self.retryable = retryable
        self.dataset_id = dataset_id


class WaitTimeout(DatamillError, TimeoutError):
    """The dataset was not ready in time; asking again goes on waiting for the same build."""


class NothingFound(DatamillError):
    """There is nothing to act on."""


class Kept(DatamillError):
    """The dataset stays in the store: it is pinned, or somebody may just be fetching it."""


class NotAllowed(DatamillError):
    """The notifier refused: administration asks for the admin token."""


class DownloadError(DatamillError):
    """The archive could not be downloaded."""


class Gone(DownloadError):
    """The server has no such file (any more); asking for the dataset again brings it back."""


class DigestMismatch(DownloadError):
    """What arrived is not what was announced: its SHA-256 differs."""


class ArchiveError(DatamillError):
    """The archive breaks the rules for archives; nothing of it was kept."""


class InvalidOption(DatamillError, ValueError):
    """An option of reading has a value that is not allowed."""


class OtherDataset(DatamillError):
    """The position is one in another dataset, or in another order of its records."""


class RecordError(DatamillError):
    """A TFRecord file is damaged or is not a TFRecord file."""


class NotCached(DatamillError):
    """The dataset is not in the cache of this machine."""


class TensorFlowMissing(DatamillError):
    """TensorFlow is not installed: `pip install 'datamill[tensorflow]'`."""


class NumPyMissing(DatamillError):
    """NumPy or OpenCV is not installed: `pip install 'datamill[numpy]'`."""


def first_line(error: BaseException | Any) -> str:
    """Return the first line of an error's text, or its type's name where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
