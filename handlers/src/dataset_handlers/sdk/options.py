"""Options: a frozen pydantic model per handler, and what is said about a config that is wrong."""

from __future__ import annotations

import difflib
import json
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from dataset_handlers.sdk.errors import ConfigError
from dataset_handlers.sdk.option_types import RealNumber, WholeNumber, option

_SHOWN_CHARACTERS = 80
_IMPOSSIBLE = "impossible"
_SEEDS = 2**63

OptionsModel = TypeVar("OptionsModel", bound=BaseModel)


class BaseOptions(BaseModel):
    """The options of every handler that is made of source items."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    input_attributes: tuple[str, ...] = option(
        ("image",), "a list of features of the record, each once", min_length=1
    )
    """Features that `tf_records_mapper` gives as inputs; the others are the targets."""

    variations_per_sample: WholeNumber = option(1, "an integer from 1 to 1000", ge=1, le=1000)
    """Records per source item, each with random numbers of its own."""

    validation_share: RealNumber = option(
        0.0, "a number from 0 to less than 1", ge=0, lt=1, examples=[0.1]
    )
    """Share of the source items that goes into the split `validation`."""

    seed: WholeNumber = option(0, "an integer from -2^63 to 2^63 - 1", ge=-_SEEDS, le=_SEEDS - 1)
    """Picks which items go into `validation`, and other random numbers."""

    batch_size: WholeNumber = option(32, "an integer from 1 to 1000000", ge=1, le=1_000_000)
    """Records that `tf_records_mapper` puts into a batch."""

    max_items: WholeNumber | None = option(None, "null or an integer from 1", ge=1, examples=[100])
    """Take a fair sample of this many source items; null takes all."""

    on_bad_item: Literal["skip", "fail"] = option("skip", 'one of "skip", "fail"')
    """Whether an item that can't be used is left out or ends the build."""

    max_bad_share: RealNumber = option(0.01, "a number from 0 to 1", ge=0, le=1)
    """Share of the items that may be skipped before the whole build fails."""

    @field_validator("input_attributes")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a name is there twice")
        return names


def impossible(message: str) -> PydanticCustomError:
    """Return an error for a validator to raise: the value is fine by itself, not with others."""
    return PydanticCustomError(_IMPOSSIBLE, "{message}", {"message": message})


def parse_options(model: type[OptionsModel], config: object, handler: str) -> OptionsModel:
    """Return the options that `config` asks for, defaults filled in.

    `handler` is the handler's name and version, for the message. Raises `ConfigError`, one line.
    """
    if not isinstance(config, dict):
        raise ConfigError(f"the config must be a JSON object, not {_shown(config)}")
    unknown = [str(name) for name in config if name not in model.model_fields]
    if unknown:
        raise ConfigError(_unknown(unknown[0], model, handler))
    try:
        return model.model_validate(config)
    except ValidationError as error:
        raise ConfigError(_not_allowed(error.errors()[0], model, config)) from error


def _unknown(name: str, model: type[BaseModel], handler: str) -> str:
    known = list(model.model_fields)
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {close[0]}?" if close else "."
    return f"{_line(name)} is not an option of {handler}{hint} It knows: {', '.join(known)}"


def _not_allowed(error: ErrorDetails, model: type[BaseModel], config: dict[str, Any]) -> str:
    said = " ".join(error["msg"].removeprefix("Value error, ").split())
    if not error["loc"]:  # of a validator of the whole model, which has to name options itself
        return said
    name = str(error["loc"][0])
    if error["type"] == "missing" and name not in config:
        return f"{name} has no default, and has to be given"
    field = model.model_fields[name]
    reason = said if error["type"] == _IMPOSSIBLE or not field.description else field.description
    return f"{name}: {_shown(config.get(name, field.default))} is not allowed: {reason}"


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return _line(text)


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
