"""What an error means to those who wait: the reason and the words of a `failed` event."""

from __future__ import annotations

from datamill.errors import DatamillError
from datamill.events import Reason
from datamill_builder.catalog.lifecycle import Failure
from datamill_builder.catalog.tasks import Claim
from datamill_builder.handlers.environments import EnvironmentFailed
from datamill_builder.handlers.process import HandlerDied, HandlerFailed
from datamill_builder.handlers.sources import UnknownRelease
from datamill_builder.handlers.tools import SourceUnavailable
from datamill_builder.handlers.wheels import BadWheel
from datamill_builder.packing import TooManyBadItems
from datamill_builder.raw import RawDataChanged, UnknownDataset


def failure_of(error: DatamillError) -> Failure:
    """Return why something did not come about."""
    message = str(error)
    match error:
        case RawDataChanged():
            return Failure(Reason.BAD_DATA, message, retryable=True)
        case HandlerFailed(reason=reason):
            return Failure(reason, error.with_cause(), retryable=reason is Reason.TIMEOUT)
        case UnknownDataset():
            return Failure(Reason.UNKNOWN_DATASET, message)
        case UnknownRelease() | BadWheel():
            return Failure(Reason.UNKNOWN_HANDLER, message)
        case SourceUnavailable():
            return Failure(Reason.UNKNOWN_HANDLER, message, retryable=True)
        case EnvironmentFailed():
            return Failure(Reason.HANDLER_ERROR, message, retryable=True)
        case TooManyBadItems():
            return Failure(Reason.BAD_DATA, message)
    return Failure(Reason.INTERNAL, message, retryable=True)


def attempts_used_up(claim: Claim, error: HandlerDied | OSError) -> Failure:
    """Return why there is no further attempt."""
    times = f"{claim.attempts} times on the same {claim.kind}"
    if isinstance(error, HandlerDied):
        return Failure(Reason.HANDLER_ERROR, f"{error.with_cause()} ({times})", retryable=True)
    return Failure(Reason.INTERNAL, f"{error} ({times})", retryable=True)
