"""Real annotations of COCO, good and bad, from ../shared/data."""

import json
from pathlib import Path

import pytest
from pycocotools import mask as coco_mask

from dataset_handlers.annotations.segmentation import mask_of
from dataset_handlers.coco import CocoHandler
from dataset_handlers.coco_clicks import CocoClicksHandler
from dataset_handlers.sdk.errors import NoSourceItemsError


def build(handler, path: Path) -> dict:
    return handler.write_shard(list(handler.plan_items("key")), str(path), "key")


def test_coco(shared_data, tmp_path):
    handler = CocoHandler({}, str(shared_data / "coco"))
    said = build(handler, tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (61, [])  # three pictures have no object
    names = handler.feature_spec()["labels"]["classes"]
    assert (len(names), names[0], names[-1]) == (80, "person", "toothbrush")
    with_all = {"crowds": "keep", "without_objects": "keep"}
    said = build(CocoHandler(with_all, str(shared_data / "coco")), tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (64, [])


def test_masks_of_coco_are_those_of_pycocotools(shared_data):
    compared = 0
    for path in sorted((shared_data / "coco" / "annotations").glob("*.json")):
        document = json.loads(path.read_text())
        sizes = {image["id"]: (image["height"], image["width"]) for image in document["images"]}
        for annotation in document["annotations"]:
            size, given = sizes[annotation["image_id"]], annotation["segmentation"]
            rles = coco_mask.frPyObjects(given, *size)
            reference = coco_mask.merge(rles) if isinstance(given, list) else rles
            assert mask_of(given, size) == reference, annotation["id"]
            compared += 1
    assert compared == 586


def test_coco_clicks(shared_data, tmp_path):
    config = {"image_size": [128, 128], "click_distance": 5, "border_distance": 1, "band_width": 10}
    handler = CocoClicksHandler(config, str(shared_data / "coco"))
    said = build(handler, tmp_path / "shard")
    assert (said["records"], said["skipped"]) == (200, [])


def test_bad_coco_is_not_built_from_a_file_that_is_cut_off(shared_data, tmp_path):
    with pytest.raises(NoSourceItemsError) as caught:
        build(CocoHandler({}, str(shared_data / "bad" / "coco")), tmp_path / "shard")
    assert str(caught.value) == (
        "annotations/instances_cut.json is broken: the JSON is cut off at byte 26571"
    )


@pytest.mark.parametrize(
    ("name", "records", "bad"),
    [
        (
            "missing_image",
            3,
            {
                "images/000000412151.jpg": "its file is not in images/",
                "images/000000462565.jpg": "its file is not in images/",
            },
        ),
        (
            "orphan_annotations",
            3,
            {
                "annotations/instances_orphan_annotations.json, image 412151": (
                    "annotations are of image 412151, which is not listed"
                )
            },
        ),
        (
            "unknown_category",
            2,
            {
                "images/000000391895.jpg": (
                    "annotation 202758: its category 1 is not among the categories"
                )
            },
        ),
        (
            "odd_shapes",
            1,
            {
                "images/000000391895.jpg": (
                    "annotation 1260346: a polygon has 2 points, 3 are the least"
                ),
                "images/000000403013.jpg": "annotation 1119231 is there twice",
            },
        ),
    ],
)
def test_bad_coco(shared_data, tmp_path, name, records, bad):
    config = {"annotation_files": [f"instances_{name}.json"]}
    said = build(CocoHandler(config, str(shared_data / "bad" / "coco")), tmp_path / "shard")
    assert {one["key"]: one["reason"] for one in said["skipped"]} == bad
    assert said["records"] == records


def test_bad_coco_clicks(shared_data, tmp_path):
    """An object is an item here, which is not bad by a broken neighbour."""
    config = {"annotation_files": ["instances_odd_shapes.json"]}
    said = build(CocoClicksHandler(config, str(shared_data / "bad" / "coco")), tmp_path / "shard")
    assert {one["key"]: one["reason"] for one in said["skipped"]} == {
        "images/000000391895.jpg#151091": "annotation 151091: it has no segmentation",
        "images/000000403013.jpg": "annotation 1119231 is there twice",
    }
    assert said["records"] == 10
