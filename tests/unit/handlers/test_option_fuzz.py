"""Any config whatever is either taken or refused in a line that names the option."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.classification import ClassificationHandler
from dataset_handlers.coco import CocoHandler
from dataset_handlers.coco_clicks import CocoClicksHandler
from dataset_handlers.duts import DutsHandler
from dataset_handlers.imagenet_det import ImagenetDetHandler
from dataset_handlers.matting import MattingHandler
from dataset_handlers.portrait_depth import PortraitDepthHandler
from dataset_handlers.portrait_seg import PortraitSegHandler
from dataset_handlers.salicon import SaliconHandler
from dataset_handlers.sdk.errors import ConfigError
from dataset_handlers.sdk.record_handler import RecordHandler

HANDLERS: list[type[RecordHandler]] = [
    ClassificationHandler,
    DutsHandler,
    ImagenetDetHandler,
    PortraitSegHandler,
    SaliconHandler,
    MattingHandler,
    PortraitDepthHandler,
    CocoClicksHandler,
    CocoHandler,
]
OPTIONS = sorted({name for handler in HANDLERS for name in handler.config_options()})

numbers = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 0.5, 10**400, 2**63, 1e308, 2.0])
texts = st.text(max_size=10) | st.sampled_from(["", "image", "skip", "1", "\0", "\n", "x" * 5000])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=6,
)
names = st.sampled_from(OPTIONS) | st.sampled_from(["imagesize", "Seed", "", "a\nb"]) | texts


def outcome(handler: type[RecordHandler], config: Any) -> RecordHandler | str:
    """The handler with a config, or what it says against it."""
    try:
        return handler(config, "/nothing")
    except ConfigError as error:
        return str(error)


def check(handler: type[RecordHandler], config: Any) -> None:
    made = outcome(handler, config)
    if isinstance(made, str):
        assert len(made.splitlines()) == 1 and 0 < len(made) < 1000
        if isinstance(config, dict):
            shown = [" ".join(name.split())[:60] for name in config]
            named = [name for name in (*shown, *OPTIONS) if made.startswith(name)]
            assert named, f"{made!r} names none of {config!r}"
        return
    resolved = made.resolved_config()
    assert set(resolved) == set(handler.config_options())
    again = outcome(handler, json.loads(json.dumps(resolved, allow_nan=False)))
    assert isinstance(again, RecordHandler) and again.resolved_config() == resolved


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.name)
@settings(max_examples=150, deadline=None)
@given(config=st.dictionaries(names, values, max_size=4))
def test_any_config(handler: type[RecordHandler], config: dict[str, Any]) -> None:
    check(handler, config)


@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=25, deadline=None)
@given(value=values)
def test_any_value_of_an_option(name: str, value: Any) -> None:
    check(ClassificationHandler, {name: value})


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.name)
@pytest.mark.parametrize(
    "config",
    [
        {"recompress_quality": [90, 10]},
        {"standardize": "applied", "image_size": None},
        {"random_crop": True, "random_crop_centered": True, "crop_size": [9, 9]},
        {"crop_size": [100, 100], "image_size": [50, 50]},
        {"input_attributes": ["image", "image"]},
    ],
    ids=lambda config: next(iter(config)),
)
def test_no_handler_loses_a_rule_of_all(
    handler: type[RecordHandler], config: dict[str, Any]
) -> None:
    """A validator of the same name in a class of options would replace it without a word."""
    made = outcome(handler, config)
    assert isinstance(made, str) and made.startswith(next(iter(config)))


@pytest.mark.parametrize("config", [None, [], "x", 1, [["a", 1]]])
def test_what_is_no_config(config: Any) -> None:
    check(DutsHandler, config)
