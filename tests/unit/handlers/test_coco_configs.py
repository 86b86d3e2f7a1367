"""Whatever config is allowed, records are made: values from both ends of each option's range."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dataset_handlers.coco import CocoHandler
from dataset_handlers.coco_clicks import CocoClicksHandler
from dataset_handlers.coco_handler import CocoBaseHandler
from dataset_handlers.sdk.errors import ConfigError, NoSourceItemsError
from tests.unit.handlers.coco_raw import CocoRaw
from tests.unit.handlers.reading import read_records

HANDLERS: list[type[CocoBaseHandler]] = [CocoHandler, CocoClicksHandler]

# Sizes without an end of their own are small here, and a thousand variations are no other than two.
GIVEN: dict[str, list[Any]] = {
    "image_size": [None, [1, 1], [1, 40], [33, 20], [400, 3]],
    "crop_size": [None, [1, 1], [1, 30], [20, 20]],
    "recompress_quality": [None, [1, 1], [1, 100], [100, 100]],
    "categories": [None, ["dog"], ["tree", "cat"]],
    "annotation_files": [None, ["instances_train.json"]],
    "min_area": [0, 50, 1e300],
    "variations_per_sample": [1, 2],
    "on_bad_item": ["skip"],
    "input_attributes": [["image"]],
    "max_pixels": [200_000_000, 1],
    "max_items": [None, 1],
    "validation_share": [0, 0.99],
}


def ends(handler: type[CocoBaseHandler], name: str) -> list[Any]:
    """The default of an option, and its least and most; or all there are."""
    field = handler.Options.model_fields[name]
    if name in GIVEN:
        return GIVEN[name]
    if field.annotation is bool:
        return [False, True]
    if get_origin(field.annotation) is Literal:
        return list(get_args(field.annotation))
    found = [getattr(limit, end, None) for limit in field.metadata for end in ("ge", "le")]
    limits = [limit for limit in found if limit is not None]
    assert len(limits) == 2, f"{name} has no two ends"
    return [field.default, *limits]


def drawn(handler: type[CocoBaseHandler], raw: Path, data: st.DataObject) -> CocoBaseHandler:
    """The handler with a config that is allowed: values that do not go with others are left out."""
    values = {name: st.sampled_from(ends(handler, name)) for name in handler.config_options()}
    config = data.draw(st.fixed_dictionaries(values))
    while True:
        try:
            return handler(config, str(raw))
        except ConfigError as error:
            refused = str(error).partition(":")[0]
            assume(refused in config)  # else it is a default that does not go with others
            del config[refused]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = CocoRaw(tmp_path_factory.mktemp("configs") / "raw")
    image = raw.picture("one.jpg", (24, 31))
    raw.object(image, 7, (2, 3, 12, 20))
    raw.object(image, 3, (10, 15, 24, 31))
    raw.object(image, 90, (0, 0, 1, 1))
    crowd = {"size": [24, 31], "counts": [24 * 20, 24 * 11]}
    raw.object(image, 7, (0, 20, 24, 31), iscrowd=1, segmentation=crowd)
    raw.object(raw.picture("all.jpg", (9, 9)), 7, (0, 0, 9, 9))
    raw.object(raw.picture("long.jpg", (2, 400)), 3, (0, 0, 2, 5))
    raw.object(raw.picture("pixel.jpg", (1, 1)), 90, (0, 0, 1, 1))
    box = raw.picture("box.jpg", (20, 20))
    raw.object(box, 7, (5, 5, 15, 15), segmentation=None)
    return raw.save()


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.name)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_config_that_is_allowed_makes_records(
    handler: type[CocoBaseHandler], raw: Path, data: st.DataObject
) -> None:
    made = drawn(handler, raw, data)
    try:
        items = list(made.plan_items("key"))
    except NoSourceItemsError:  # none is that large
        return
    said = made.write_shard(items, str(raw.parent / "shard"), "key")
    records = read_records(raw.parent / "shard")
    assert len(records) == said["records"]
    for record in records:
        assert set(record) == set(made.features())
