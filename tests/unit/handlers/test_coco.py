from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from dataset_handlers.coco import CocoHandler
from dataset_handlers.sdk.errors import ConfigError, NoSourceItemsError, SourceReadError
from tests.unit.handlers.coco_raw import COLOURS, CocoRaw, rectangle, runs_of
from tests.unit.handlers.reading import pixels_of, read_records

AS_IT_IS = {"image_size": None}


@pytest.fixture
def raw(tmp_path) -> CocoRaw:
    return CocoRaw(tmp_path / "raw")


def build(raw: CocoRaw, config: dict, key: str = "key") -> tuple[list[dict], list[dict]]:
    """Return the records, decoded, and what was skipped; the shard by a handler of its own."""
    folder = raw.save()
    items = list(CocoHandler(config, str(folder)).plan_items(key))
    path = folder.parent / "shard"
    said = CocoHandler(config, str(folder)).write_shard(items, str(path), key)
    return [decoded(record) for record in read_records(path)], said["skipped"]


def decoded(record: dict) -> dict:
    return {
        "image": pixels_of(record["image"][0]),
        "boxes": np.array(record["boxes"]).reshape(-1, 4),
        "classes": record["classes"],
        "masks": [pixels_of(mask) for mask in record["masks"]],
        "is_crowd": record["is_crowd"],
        "image_id": record["image_id"],
    }


def filled(size: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    mask[box[0] : box[2], box[1] : box[3]] = 255
    return mask


def has_colour(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(axis=2) < 90


def test_a_picture_and_its_objects_as_they_are(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50))
    raw.object(image, 3, (30, 60, 60, 90))
    (record,), skipped = build(raw, AS_IT_IS)
    assert skipped == []
    assert record["image"].shape == (60, 90, 3)
    assert np.array_equal(record["masks"][0], filled((60, 90), (10, 20, 40, 50)))
    assert np.array_equal(record["masks"][1], filled((60, 90), (30, 60, 60, 90)))
    expected = [[10 / 60, 20 / 90, 40 / 60, 50 / 90], [30 / 60, 60 / 90, 1, 1]]
    assert record["boxes"] == pytest.approx(np.array(expected))
    assert record["classes"] == [1, 0]  # cat, dog, tree: the order of their ids
    assert (record["is_crowd"], record["image_id"]) == ([0, 0], [100])


def test_names_of_classes_are_in_the_metadata(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    folder = str(raw.save())
    assert CocoHandler({}, folder).feature_spec()["labels"] == {"classes": ["cat", "dog", "tree"]}
    config = {"categories": ["tree", "dog"]}
    assert CocoHandler(config, folder).feature_spec()["labels"] == {"classes": ["dog", "tree"]}


def test_the_annotation_file_is_read_once_and_not_for_writing(raw, monkeypatch):
    image = raw.picture()
    annotation = raw.object(image, 7, (10, 20, 40, 50))
    read = []
    plain = "dataset_handlers.annotations.coco_listing.read_coco_file"
    from dataset_handlers.annotations.coco_listing import read_coco_file

    monkeypatch.setattr(plain, lambda *where: read.append(where) or read_coco_file(*where))
    folder = raw.save()
    handler = CocoHandler({}, str(folder))
    handler.feature_spec()
    items = list(handler.plan_items("key"))
    assert len(read) == 1
    # An item holds where its annotations are, not what they are.
    (((start, length),),) = [item["meta"]["objects"] for item in items]
    data = (folder / "annotations" / raw.name).read_bytes()
    assert json.loads(data[start : start + length]) == annotation
    said = CocoHandler({}, str(folder)).write_shard(items, str(folder.parent / "shard"), "key")
    assert (said["records"], len(read)) == (1, 1)


def test_the_default_size_keeps_proportions(raw):
    raw.object(raw.picture(), 7, (0, 0, 60, 90))
    (record,), _ = build(raw, {})
    assert record["image"].shape == (512, 512, 3)
    top, height = (512 - 341) // 2, 341
    assert np.array_equal(record["masks"][0], filled((512, 512), (top, 0, top + height, 512)))


@pytest.mark.parametrize("mode", ["stretch", "fit", "fill"])
def test_every_variation_keeps_objects_under_their_masks_and_boxes(raw, mode):
    image = raw.picture(size=(240, 320))
    raw.object(image, 7, (40, 60, 130, 150))
    raw.object(image, 3, (120, 170, 200, 290))
    config = {
        "image_size": [200, 260],
        "resize_mode": mode,
        "crop_size": [150, 150],
        "random_crop": True,
        "variations_per_sample": 12,
        "rotate_degrees": 180,
        "flip_probability": 0.5,
    }
    records, _ = build(raw, config)
    assert len({record["image"].tobytes() for record in records}) == len(records) > 8
    for record in records:
        for label, mask, box in zip(
            record["classes"], record["masks"], record["boxes"], strict=True
        ):
            colour = COLOURS[3 if label == 0 else 7]
            # JPEG and interpolation blur the object's edge, nothing more.
            assert np.mean(has_colour(record["image"], colour) != (mask > 0)) < 0.03
            rows, columns = np.nonzero(mask)
            around = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            assert box * 150 == pytest.approx(np.array(around), abs=1e-4)


def test_masks_of_every_kind(raw):
    image = raw.picture(size=(20, 30))
    mask = filled((20, 30), (2, 3, 10, 12))
    runs = runs_of(mask)
    raw.object(image, 7, (2, 3, 10, 12))
    raw.object(image, 7, (2, 3, 10, 12), segmentation={"size": [20, 30], "counts": runs})
    text = {"size": [20, 30], "counts": "R28<0000000000000000jC"}
    from pycocotools import mask as coco_mask

    text["counts"] = coco_mask.encode(np.asfortranarray(mask // 255))["counts"].decode()
    raw.object(image, 7, (2, 3, 10, 12), segmentation=text)
    parts = [rectangle(2, 3, 5, 12), rectangle(5, 3, 10, 12)]
    raw.object(image, 7, (2, 3, 10, 12), segmentation=parts)
    (record,), _ = build(raw, AS_IT_IS)
    assert len(record["masks"]) == 4
    for found in record["masks"]:
        assert np.array_equal(found, mask)


def test_an_object_that_only_has_a_box(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50), segmentation=[])
    raw.object(image, 3, (0, 0, 20, 80), segmentation=None, bbox=[-30, -5, 110, 20])
    config = {"image_size": [120, 90], "resize_mode": "stretch", "crop_size": [60, 90]}
    (record,), _ = build(raw, config)
    assert record["classes"] == [1]  # the other one is above the crop
    assert not record["masks"][0].any()
    assert record["boxes"] == pytest.approx(np.array([[0, 20 / 90, 50 / 60, 50 / 90]]))


def test_chosen_categories(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50))
    raw.object(image, 90, (0, 60, 20, 90))
    raw.object(image, 3, (30, 60, 60, 90))
    (record,), _ = build(raw, {"categories": ["tree", "dog"]})
    assert record["classes"] == [0, 1]


def test_unknown_categories_are_refused_before_any_work(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    folder = str(raw.save())
    for begin in (CocoHandler.feature_spec, lambda handler: list(handler.plan_items("key"))):
        with pytest.raises(ConfigError) as caught:
            begin(CocoHandler({"categories": ["fox"]}, folder))
        assert str(caught.value) == (
            'categories: "fox" is not allowed: no category has that name; there are: cat, dog, tree'
        )


def test_the_smallest_area(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 20, 30))
    raw.object(image, 3, (30, 60, 40, 71))
    raw.object(image, 90, (0, 0, 10, 9), area=None)
    records, _ = build(raw, {"min_area": 100})
    assert [record["classes"] for record in records] == [[1, 0]]
    records, _ = build(raw, {"min_area": 101})
    assert [record["classes"] for record in records] == [[0]]


def test_crowds(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 20, 30))
    runs = {"size": [60, 90], "counts": runs_of(filled((60, 90), (30, 0, 60, 90)))}
    raw.object(image, 3, (30, 0, 60, 90), iscrowd=1, segmentation=runs)
    (record,), _ = build(raw, AS_IT_IS)
    assert (record["classes"], record["is_crowd"]) == ([1], [0])
    (record,), _ = build(raw, {**AS_IT_IS, "crowds": "keep"})
    assert (record["classes"], record["is_crowd"]) == ([1, 0], [0, 1])
    assert np.array_equal(record["masks"][1], filled((60, 90), (30, 0, 60, 90)))


def test_pictures_without_objects(raw):
    raw.picture("none.jpg")
    raw.object(raw.picture("small.jpg"), 3, (10, 20, 12, 22))
    raw.object(raw.picture("large.jpg"), 7, (10, 20, 40, 50))
    records, skipped = build(raw, {"min_area": 50})
    assert ([record["image_id"] for record in records], skipped) == ([[102]], [])
    records, skipped = build(raw, {"min_area": 50, "without_objects": "keep"})
    assert sorted(record["image_id"] for record in records) == [[100], [101], [102]]
    assert sum(len(record["masks"]) for record in records) == 1
    assert skipped == []


def test_crops_without_objects(raw):
    raw.object(raw.picture(), 7, (0, 0, 10, 10))
    config = {**AS_IT_IS, "crop_size": [20, 20]}
    assert build(raw, config) == ([], [])
    (record,), _ = build(raw, {**config, "without_objects": "keep"})
    assert (record["boxes"].shape, record["masks"]) == ((0, 4), [])


@pytest.mark.parametrize("segmentation", [None, "polygon"])
def test_the_least_visible_share(raw, segmentation):
    image = raw.picture(size=(40, 80))
    box = (10, 10, 20, 30)  # half of it is left of the crop
    more = {} if segmentation else {"segmentation": None}
    raw.object(image, 7, box, **more)
    config = {**AS_IT_IS, "crop_size": [40, 40]}
    (record,), _ = build(raw, {**config, "min_visible_share": 0.5})
    assert record["boxes"] == pytest.approx(np.array([[10 / 40, 0, 20 / 40, 10 / 40]]))
    assert build(raw, {**config, "min_visible_share": 0.51}) == ([], [])


@pytest.mark.parametrize("segmentation", [None, "polygon"])
def test_the_visible_share_counts_what_fill_cuts_off(raw, segmentation):
    image = raw.picture(size=(40, 80))
    more = {} if segmentation else {"segmentation": None}
    raw.object(image, 7, (10, 10, 20, 30), **more)
    config = {"image_size": [40, 40], "resize_mode": "fill"}
    assert len(build(raw, {**config, "min_visible_share": 0.5})[0]) == 1
    assert build(raw, {**config, "min_visible_share": 0.51}) == ([], [])


def test_an_object_that_is_too_small_for_the_record_is_left_out(raw):
    image = raw.picture(size=(80, 80))
    raw.object(image, 7, (1, 1, 2, 2))
    raw.object(image, 3, (40, 40, 60, 60))
    (record,), _ = build(raw, {"image_size": [16, 16]})
    assert record["classes"] == [0]


def test_a_large_picture_that_is_decoded_reduced_keeps_its_masks(raw):
    image = raw.picture(size=(960, 1920))
    raw.object(image, 7, (240, 640, 480, 1920))
    (record,), _ = build(raw, {"image_size": [120, 240]})
    red = record["image"][..., 0].astype(int) > record["image"][..., 2]
    assert np.array_equal(red, record["masks"][0] > 0)


def test_all_annotation_files_or_some(raw, tmp_path):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    val = CocoRaw(raw.folder, "instances_val.json")
    val.object(val.picture("two.jpg"), 3, (10, 20, 40, 50))
    val.categories.append({"id": 1, "name": "fox"})
    val.save()
    records, _ = build(raw, {})
    assert sorted(record["classes"] for record in records) == [[1], [2]]
    records, _ = build(raw, {"annotation_files": ["instances_val.json"]})
    assert [record["classes"] for record in records] == [[1]]


def skipped_reason(raw: CocoRaw) -> str:
    records, skipped = build(raw, {})
    assert records == []
    (bad,) = skipped
    assert bad["key"] == "images/one.jpg"
    return bad["reason"]


def test_a_broken_segmentation_is_bad(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50), segmentation=[[1, 1, 5, 5]])
    assert skipped_reason(raw) == "annotation 1000: a polygon has 2 points, 3 are the least"


@pytest.mark.parametrize(
    "segmentation",
    [
        [[20, 10, 50, 40, 20, 10]],  # a line
        [[5, 5, 5, 5, 5, 5]],
        [[-40, 10, -20, 10, -20, 40]],  # outside
        {"size": [60, 90], "counts": [60 * 90]},
    ],
)
def test_an_object_that_covers_nothing_is_bad(raw, segmentation):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50), segmentation=segmentation)
    raw.object(image, 3, (10, 60, 40, 85))
    assert skipped_reason(raw) == (
        "annotation 1000: its segmentation covers no pixel of the picture"
    )


def test_a_box_outside_the_picture_is_bad(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50), segmentation=None, bbox=[90, 10, 20, 20])
    assert skipped_reason(raw) == (
        "annotation 1000: it has no segmentation, and its bbox is outside the picture"
    )


def test_what_the_options_leave_out_may_be_broken(raw):
    image = raw.picture()
    raw.object(image, 7, (10, 20, 40, 50), segmentation=[[1, 1, 5, 5]])
    raw.object(image, 3, (10, 20, 40, 50))
    records, skipped = build(raw, {"categories": ["cat"]})
    assert (len(records), skipped) == (1, [])


def test_neither_mask_nor_box_is_bad(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50), segmentation=[], bbox=[])
    assert skipped_reason(raw) == (
        "annotation 1000: it has neither a segmentation nor a bbox of four numbers"
    )


def test_a_picture_of_another_size_is_bad(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    raw.images[0]["width"] = 91
    assert skipped_reason(raw) == (
        "the picture is [60, 90], in annotations/instances_train.json [60, 91]"
    )


def turn(path: Path, orientation: int) -> None:
    """Tell in a picture's EXIF that the camera was held like this."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    with Image.open(path) as picture:
        picture.load()
        picture.save(path, exif=exif, quality=98, subsampling=0)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotations_of_a_picture_as_it_was_before_it_was_turned_are_bad(raw, orientation):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    turn(raw.folder / "images" / "one.jpg", orientation)
    assert skipped_reason(raw) == (
        "the picture is [90, 60], in annotations/instances_train.json [60, 90]: "
        "it is turned by its EXIF orientation, its annotations are not"
    )


def test_sides_that_are_exchanged_without_a_turn(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    raw.images[0].update(height=90, width=60)
    turn(raw.folder / "images" / "one.jpg", 3)
    assert skipped_reason(raw) == (
        "the picture is [60, 90], in annotations/instances_train.json [90, 60]"
    )


def test_annotations_are_of_the_upright_picture(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    raw.images[0].update(height=90, width=60)
    turn(raw.folder / "images" / "one.jpg", 6)  # its left side is at the top then
    raw.annotations[0]["segmentation"] = [rectangle(20, 20, 50, 50)]
    (record,), skipped = build(raw, AS_IT_IS)
    assert skipped == []
    assert np.mean(has_colour(record["image"], COLOURS[7]) != (record["masks"][0] > 0)) < 0.01


def test_a_broken_picture_is_bad(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    (raw.folder / "images" / "one.jpg").write_bytes(b"")
    assert skipped_reason(raw) == "image: the file is empty"


def test_what_the_listing_knows_to_be_bad(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    (raw.folder / "images" / "one.jpg").unlink()
    assert skipped_reason(raw) == "its file is not in images/"


def test_an_annotation_file_that_changed_meanwhile(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    folder = raw.save()
    handler = CocoHandler({}, str(folder))
    items = list(handler.plan_items("key"))
    raw.images[0]["license"] = 12345
    raw.save()
    with pytest.raises(SourceReadError, match="has changed since the build was planned"):
        handler.write_shard(items, str(folder.parent / "shard"), "key")


def test_no_annotation_file(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(NoSourceItemsError, match=r"coco reads images/\*.jpg and annotations/"):
        list(CocoHandler({}, str(tmp_path)).plan_items("key"))


def test_options_that_leave_no_object(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    raw.object(raw.picture("two.jpg"), 3, (10, 20, 40, 50))
    for config in ({"min_area": 901}, {"categories": ["tree"]}):
        with pytest.raises(NoSourceItemsError) as caught:
            build(raw, config)
        assert str(caught.value) == (
            "none of 2 pictures shows an object that categories, min_area and crowds ask for, and "
            'without_objects is "skip"; marked are: cat, dog'
        )


def test_pictures_in_which_nothing_is_marked(raw):
    raw.picture()
    with pytest.raises(NoSourceItemsError, match=r"none of 1 pictures .* marked are: none$"):
        build(raw, {})


def test_what_options_say_of_themselves():
    said = {one["name"]: one for one in CocoHandler.describe_options()}
    assert "whatever the order of this list" in said["categories"]["meaning"]
    assert said["resize_mode"]["allowed"] == 'one of "stretch", "fit", "fill", "crop_or_pad"'


def test_features_follow_the_options(raw):
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    features = CocoHandler({"crop_size": [30, 40]}, str(raw.save())).features()
    mask = features["masks"].feature
    assert (mask.height, mask.width, mask.channels) == (30, 40, 1)
    assert features["classes"].feature.names == ("cat", "dog", "tree")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"categories": []},
            "categories: [] is not allowed: null or a list of names of categories, each once",
        ),
        (
            {"categories": ["cat", "cat"]},
            'categories: ["cat", "cat"] is not allowed: '
            "null or a list of names of categories, each once",
        ),
        ({"crowds": "drop"}, 'crowds: "drop" is not allowed: one of "skip", "keep"'),
        (
            {"min_area": -1},
            "min_area: -1 is not allowed: a number from 0, in pixels of the source image",
        ),
    ],
)
def test_options_are_checked_at_once(config, message):
    with pytest.raises(ConfigError) as caught:
        CocoHandler(config, "")
    assert str(caught.value) == message


def test_a_broken_annotation_file_is_an_item_only_where_any_share_may_be_bad(raw):
    raw.object(raw.picture(), 7, (10, 10, 30, 30))
    folder = raw.save()
    broken = "annotations/instances_broken.json"
    (folder / broken).write_text('{"images": [')
    for config in ({}, {"max_bad_share": 0.99}, {"max_bad_share": 1, "on_bad_item": "fail"}):
        with pytest.raises(NoSourceItemsError, match=r"instances_broken\.json is broken: the JSON"):
            list(CocoHandler(config, str(folder)).source_items())
    records, skipped = build(raw, {**AS_IT_IS, "max_bad_share": 1})
    assert len(records) == 1
    assert skipped == [{"key": broken, "reason": "the JSON is cut off at byte 12"}]
