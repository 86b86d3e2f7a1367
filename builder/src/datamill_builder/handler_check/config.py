"""The demands on a handler's class and options."""

from __future__ import annotations

import json
from typing import Any

from datamill.errors import first_line
from datamill.events import Reason
from datamill_builder.handler_check.demand import Demand, Unmet
from datamill_builder.handler_check.trial import Trial
from datamill_builder.handlers import answers
from datamill_builder.handlers.process import HandlerDied, HandlerFailed

_UNKNOWN = "no_such_option"
_WRONG: dict[str, Any] = {"no": "such value"}
_NAMED = 3

_CLASSIC = (
    "the class has to have config_options, as_tfrecord and tf_records_mapper; derive it from "
    "dataset_handlers.sdk.RecordHandler or follow the classic contract"
)
_EMPTY = "every option needs a default with which a dataset can be built"
_RESOLVED = (
    "resolved_config() has to give every option, defaults filled in, as JSON: shards are written "
    "by processes that get it as their config"
)
_GIVEN = "correct --config, or the handler"
_REFUSED = (
    "__init__ has to raise an error whose datamill_reason is `invalid_config` and whose message "
    "names the option: a misspelled one would otherwise be a dataset that nobody asked for"
)


def config_demands(trial: Trial) -> list[Demand]:
    """Return the demands that need no raw data."""
    checks = _ConfigChecks(trial)
    return [
        Demand("contract", checks.contract, _CLASSIC, needed=True),
        Demand("empty config", checks.empty, _EMPTY, needed=True),
        Demand("resolved config", checks.resolved, _RESOLVED, needed=True),
        Demand("config", checks.given, _GIVEN, needed=True),
        Demand("bad config", checks.bad, _REFUSED),
    ]


class _ConfigChecks:
    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def contract(self) -> str:
        trial = self._trial
        answer = trial.process().call(
            "describe",
            entry_point=trial.environment.entry_point,
            timeout_secs=trial.settings.open_timeout_secs,
        )
        trial.description = answers.description(answer)
        if trial.description.mode == "sharded":
            return "shard protocol 1: built shard by shard"
        return "the classic contract: built as one piece of work"

    def empty(self) -> str:
        self._trial.info = self._trial.open({})
        count = len(self._trial.info["config"])
        return f"{count} options with their defaults"

    def resolved(self) -> str:
        trial = self._trial
        assert trial.description is not None
        config = trial.info["config"]
        missing = [each.name for each in trial.description.options if each.name not in config]
        if missing:
            raise Unmet(f"resolved_config() lacks {', '.join(missing)}")
        again = trial.open(config)["config"]
        if again != config:
            raise Unmet(f"resolved once more it is another: {_difference(config, again)}")
        return "means the same when it is given as a config"

    def given(self) -> str:
        trial = self._trial
        trial.info = trial.open(trial.given_config)
        return _shown(trial.given_config)

    def bad(self) -> str:
        trial = self._trial
        assert trial.description is not None
        # Options of which their handler does not tell the type may well be objects.
        asked = [
            option.name
            for option in trial.description.options
            if not any(word in option.type for word in ("anything", "object"))
        ]
        _refuses(trial, _UNKNOWN, 1)
        taken = []
        for name in asked:
            try:
                _refuses(trial, name, _WRONG)
            except Unmet as error:
                taken.append(str(error))
        if taken:
            others = len(taken) - _NAMED
            more = f"; and so for {others} other options" if others > 0 else ""
            raise Unmet("; ".join(taken[:_NAMED]) + more)
        return f"refused by name: an unknown option, and values of another type for {len(asked)}"


def _refuses(trial: Trial, name: str, value: Any) -> None:
    """Raise `Unmet` unless a value is refused as it should be."""
    try:
        trial.open({name: value})
    except HandlerDied:
        raise
    except HandlerFailed as error:
        words = first_line(error)
        if error.reason is not Reason.INVALID_CONFIG:
            raise Unmet(f"{_shown({name: value})} is a {error.reason}: {words}") from error
        if name not in words:
            raise Unmet(f"{_shown({name: value})} is refused without its name: {words}") from error
        return
    raise Unmet(f"{_shown({name: value})} is taken")


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    name = next(n for n in one.keys() | other.keys() if one.get(n) != other.get(n))
    return f"{name} was {_shown(one.get(name))} and is {_shown(other.get(name))}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
