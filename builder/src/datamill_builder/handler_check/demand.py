"""A demand, and what was found when a package was asked to meet it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from datamill.errors import DatamillError
from datamill.events import Reason
from datamill_builder.handlers.process import HandlerFailed


class Unmet(DatamillError):
    """A demand is not met. `advice`: what to do, where there is more to say than in general."""

    def __init__(self, says: str, advice: str = "") -> None:
        super().__init__(says)
        self.advice = advice


@dataclass(frozen=True)
class Demand:
    """`meet` returns what is to be said where it is met, and raises an error where it is not."""

    name: str
    meet: Callable[[], str]
    advice: str
    """What to do where it is not met."""
    needed: bool = False
    """Whether nothing that follows can be tried without it."""


@dataclass(frozen=True)
class Finding:
    """How it went with one demand. `handler`: None where it is about the package."""

    demand: str
    verdict: Literal["ok", "failed", "not tried"]
    says: str
    advice: str = ""
    traceback: str = ""
    handler: str | None = None

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def findings(demands: Iterable[Demand], handler: str | None = None) -> Iterator[Finding]:
    """Try one demand after the other."""
    missing: str | None = None
    for demand in demands:
        if missing is not None:
            yield Finding(demand.name, "not tried", f"needs: {missing}", handler=handler)
            continue
        finding = _tried(demand, handler)
        yield finding
        if finding.verdict == "failed" and demand.needed:
            missing = demand.name


def _tried(demand: Demand, handler: str | None) -> Finding:
    traceback = ""
    advice = demand.advice
    try:
        return Finding(demand.name, "ok", demand.meet(), handler=handler)
    except Unmet as error:
        says, advice = str(error), error.advice or advice
    except HandlerFailed as error:
        says = str(error)
        if error.reason is Reason.HANDLER_ERROR:  # others are meant to be read as they are
            traceback = error.traceback.rstrip()
    except (DatamillError, OSError) as error:
        says = str(error)
    return Finding(demand.name, "failed", says, advice, traceback, handler)
