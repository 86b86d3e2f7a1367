from __future__ import annotations

import numpy as np
import pytest

from dataset_handlers.coco_clicks import CocoClicksHandler
from dataset_handlers.operations.distances import distance_map
from dataset_handlers.sdk.errors import ConfigError, NoSourceItemsError
from dataset_handlers.sdk.plan import split_of
from tests.unit.handlers.coco_raw import COLOURS, CocoRaw, runs_of
from tests.unit.handlers.reading import pixels_of, read_records

AS_IT_IS = {"image_size": None}


@pytest.fixture
def raw(tmp_path) -> CocoRaw:
    return CocoRaw(tmp_path / "raw")


@pytest.fixture
def two(raw) -> CocoRaw:
    """A dog left and a cat right, in one picture."""
    image = raw.picture(size=(120, 200))
    raw.object(image, 7, (20, 20, 80, 80))
    raw.object(image, 3, (40, 120, 100, 190))
    return raw


def build(raw: CocoRaw, config: dict) -> tuple[list[dict], list[dict]]:
    folder = raw.save()
    items = list(CocoClicksHandler(config, str(folder)).plan_items("key"))
    path = folder.parent / "shard"
    said = CocoClicksHandler(config, str(folder)).write_shard(items, str(path), "key")
    return [decoded(record) for record in read_records(path)], said["skipped"]


def decoded(record: dict) -> dict:
    images = ("image", "positive_map", "negative_map", "mask")
    return {
        name: pixels_of(values[0]) if name in images else values[0]
        for name, values in record.items()
    }


def clicks(map_: np.ndarray) -> np.ndarray:
    """The clicks of a map: it is 0 there and nowhere else."""
    return np.argwhere(map_ == 0)


def outside(mask: np.ndarray, place: np.ndarray) -> float:
    """The distance of a place from an object."""
    return float(np.sqrt(((np.argwhere(mask) - place) ** 2).sum(axis=1)).min())


def test_a_record_is_an_object_with_its_clicks(two):
    records, skipped = build(two, AS_IT_IS)
    assert (len(records), skipped) == (2, [])
    assert sorted(record["annotation_id"] for record in records) == [1000, 1001]
    for record in records:
        colour = COLOURS[7 if record["annotation_id"] == 1000 else 3]
        of_object = np.abs(record["image"].astype(int) - colour).max(axis=2) < 90
        assert np.mean(of_object != (record["mask"] > 0)) < 0.01
        assert record["image_id"] == 100
        for name in ("positive_map", "negative_map"):
            map_ = record[name]
            assert np.array_equal(map_, distance_map(clicks(map_), map_.shape))
        for row, column in clicks(record["positive_map"]):
            assert record["mask"][row, column] and outside(record["mask"] == 0, [row, column]) >= 5


@pytest.mark.parametrize("mode", ["stretch", "fit", "fill"])
def test_clicks_lie_where_they_must_whatever_is_done_to_the_picture(two, mode):
    config = {
        "image_size": [160, 160],
        "resize_mode": mode,
        "crop_size": [120, 140],
        "random_crop": True,
        "rotate_degrees": 40,
        "flip_probability": 0.5,
        "variations_per_sample": 30,
        "border_distance": 4,
        "click_distance": 7,
        "band_width": 20,
    }
    records, _ = build(two, config)
    assert len({record["positive_map"].tobytes() for record in records}) > 40
    for record in records:
        mask = record["mask"]
        for place in clicks(record["positive_map"]):
            assert mask[tuple(place)]
        negative = clicks(record["negative_map"])
        for place in negative:
            assert not mask[tuple(place)]
            # What shows no picture is black; blue, red, green and yellow are not.
            assert record["image"][tuple(place)].max() > 100
        apart = np.sqrt(((negative[:, np.newaxis] - negative) ** 2).sum(axis=2))
        assert (apart[~np.eye(len(negative), dtype=bool)] >= 7).all()


@pytest.mark.parametrize("strategy", ["around", "others", "along"])
def test_strategies(two, strategy):
    config = {**AS_IT_IS, "strategy": strategy, "variations_per_sample": 10, "click_distance": 9}
    records, _ = build(two, config)
    assert len(records) == 20
    for record in records:
        negative = clicks(record["negative_map"])
        for place in negative:
            far = outside(record["mask"], place)
            match strategy:
                case "around":
                    assert 5 <= far <= 40
                case "along":
                    assert 5 <= far < 6
                case "others":
                    top, left, bottom, right = (
                        (40, 120, 100, 190) if record["annotation_id"] == 1000 else (20, 20, 80, 80)
                    )
                    assert top + 4 <= place[0] < bottom - 4 and left + 4 <= place[1] < right - 4
    assert max(len(clicks(record["negative_map"])) for record in records) > 2


def test_random_takes_each_strategy(two):
    config = {**AS_IT_IS, "variations_per_sample": 40, "categories": ["dog"]}
    records, _ = build(two, config)
    kinds = set()
    for record in records:
        far = [outside(record["mask"], place) for place in clicks(record["negative_map"])]
        if not far:
            continue
        if all(5 <= one < 6 for one in far):
            kinds.add("along")
        elif max(far) <= 40:
            kinds.add("around")
        else:
            kinds.add("others")
    assert kinds == {"along", "around", "others"}


def test_numbers_of_clicks(two):
    config = {
        **AS_IT_IS,
        "max_positive_clicks": 3,
        "max_clicks_around": 2,
        "max_clicks_per_other": 2,
        "max_clicks_along": 7,
        "click_distance": 3,
        "variations_per_sample": 40,
    }
    two.object(100, 90, (5, 150, 30, 190))
    negative = {"around": {0, 1, 2}, "others": {0, 2, 4}, "along": {7}}
    for strategy, expected in negative.items():
        records, _ = build(two, {**config, "strategy": strategy})
        assert {len(clicks(record["positive_map"])) for record in records} == {1, 2, 3}
        assert {len(clicks(record["negative_map"])) for record in records} == expected


@pytest.mark.parametrize("strategy", ["around", "others"])
def test_every_number_of_clicks_is_as_likely_none_too(two, strategy):
    most = {"max_clicks_around": 2, "max_clicks_per_other": 2}
    config = {**AS_IT_IS, **most, "strategy": strategy, "variations_per_sample": 150}
    records, _ = build(two, config)
    numbers = [len(clicks(record["negative_map"])) for record in records]
    assert len(numbers) == 300 and min(numbers.count(number) for number in range(3)) > 70


def test_without_others_there_is_nothing_to_click_on(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    (record,), _ = build(raw, {**AS_IT_IS, "strategy": "others"})
    assert (record["negative_map"] == 255).all()
    config = {**AS_IT_IS, "variations_per_sample": 60, "max_clicks_around": 100}
    records, _ = build(raw, config)
    assert sum(len(clicks(record["negative_map"])) > 0 for record in records) > 50


def test_objects_are_chosen_by_category_and_share(raw):
    image = raw.picture(size=(100, 100))
    raw.object(image, 7, (0, 0, 20, 20))
    raw.object(image, 3, (40, 40, 59, 60))
    raw.object(image, 3, (70, 0, 90, 20))
    chosen = {"categories": ["cat"], "min_share": 0.04}
    records, _ = build(raw, {**AS_IT_IS, **chosen})
    assert [record["annotation_id"] for record in records] == [1002]


def test_options_that_leave_no_object(two):
    with pytest.raises(NoSourceItemsError) as caught:
        build(two, {"min_share": 0.5})
    assert str(caught.value) == (
        "none of 1 pictures shows an object that categories and min_share ask for; "
        "marked are: cat, dog"
    )


def test_crowds_are_neither_chosen_nor_clicked_on(raw):
    image = raw.picture(size=(60, 90))
    raw.object(image, 7, (5, 5, 25, 25))
    mask = np.zeros((60, 90))
    mask[30:, 30:] = 1
    runs = {"size": [60, 90], "counts": runs_of(mask)}
    raw.object(image, 7, (30, 30, 60, 90), iscrowd=1, segmentation=runs)
    (record,), _ = build(raw, {**AS_IT_IS, "strategy": "others"})
    assert (record["negative_map"] == 255).all()


def test_an_object_without_a_segmentation(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50), segmentation=[])
    raw.object(image, 3, (10, 60, 40, 85))
    (record,), (bad,) = build(raw, {**AS_IT_IS, "strategy": "others"})
    assert (record["negative_map"] == 255).all()
    assert bad == {
        "key": "images/one.jpg#1000",
        "reason": "annotation 1000: it has no segmentation",
    }


def test_an_object_that_covers_nothing(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50), segmentation=[[5, 5, 5, 5, 5, 5]])
    raw.object(image, 3, (10, 60, 40, 85))
    records, (bad,) = build(raw, AS_IT_IS)
    assert [record["annotation_id"] for record in records] == [1001]
    assert bad == {
        "key": "images/one.jpg#1000",
        "reason": "annotation 1000: its segmentation covers no pixel of the picture",
    }


@pytest.mark.parametrize("strategy", ["random", "others", "around"])
def test_a_broken_neighbour_takes_nothing_but_itself(two, strategy):
    two.object(100, 90, (90, 10, 118, 60), segmentation=[[1, 1, 5, 5]])
    config = {**AS_IT_IS, "strategy": strategy, "variations_per_sample": 10}
    records, (bad,) = build(two, config)
    assert {record["annotation_id"] for record in records} == {1000, 1001}
    assert len(records) == 20
    assert bad["key"] == "images/one.jpg#1002"
    if strategy == "others":
        for record in records:
            for row, column in clicks(record["negative_map"]):
                assert column > 100 or row < 90  # on the dog or the cat


def test_crops_that_show_too_little_of_an_object(two):
    config = {**AS_IT_IS, "crop_size": [120, 100]}  # columns 50 to 150
    records, _ = build(two, config)
    assert len(records) == 2
    records, _ = build(two, {**config, "min_visible_share": 0.5})
    assert [record["annotation_id"] for record in records] == [1000]
    records, skipped = build(two, {**config, "min_visible_share": 0.51})
    assert (records, skipped) == ([], [])


def test_others_are_in_the_plan_only_where_they_are_needed(two):
    for strategy, count in (("random", 2), ("others", 2), ("around", 1), ("along", 1)):
        handler = CocoClicksHandler({"strategy": strategy}, str(two.save()))
        assert [len(item["meta"]["objects"]) for item in handler.plan_items("key")] == [count] * 2


def test_no_picture_is_in_two_splits(raw):
    for number in range(30):
        image = raw.picture(f"{number}#.jpg", (30, 30))
        for left in (0, 10, 20):
            raw.object(image, 7, (5, left, 20, left + 9))
    (raw.folder / "images" / "3#.jpg").unlink()
    config = {"validation_share": 0.4, "seed": 5}
    splits: dict[str, set[str]] = {}
    for item in CocoClicksHandler(config, str(raw.save())).plan_items("key"):
        picture = item["files"].get("image", item["key"])
        splits.setdefault(picture, set()).add(item["split"])
    assert len(splits) == 30
    for picture, of_its_objects in splits.items():
        assert of_its_objects == {split_of(picture, 5, 0.4)}
    assert {split for (split,) in splits.values()} == {"train", "validation"}


def test_without_validation_all_are_for_training(two):
    items = CocoClicksHandler({}, str(two.save())).plan_items("key")
    assert {item["split"] for item in items} == {"train"}


def test_it_reads_the_folder_of_coco():
    assert CocoClicksHandler.raw_folder == "coco"


def test_the_band_has_to_leave_room():
    with pytest.raises(ConfigError) as caught:
        CocoClicksHandler({"border_distance": 10, "band_width": 9}, "")
    assert str(caught.value) == (
        "band_width: 9 is not allowed: clicks around it keep border_distance, which is 10, from it"
    )
