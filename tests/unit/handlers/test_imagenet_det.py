from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.imagenet_det import ImagenetDetHandler
from dataset_handlers.operations.geometry import Geometry
from dataset_handlers.sdk import ConfigError, NoSourceItemsError, SourceReadError
from dataset_handlers.voc_annotation import MAX_ANNOTATION_BYTES
from tests.unit.handlers.pictures import save
from tests.unit.handlers.reading import pixels_of, read_records
from tests.unit.handlers.voc_raw import (
    draw_marked,
    draw_object,
    object_xml,
    write_annotation,
)

AS_IT_IS = {"image_size": None}
PICTURES = "Data/DET/train"


def build(raw: Path, config: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return the records by key, and the reasons of what was skipped; planned by one handler,
    written by another one, as it is on a server."""
    items = list(ImagenetDetHandler(config, str(raw)).plan_items("key"))
    path = raw.parent / "shard"
    said = ImagenetDetHandler(config, str(raw)).write_shard(items, str(path), "key")
    skipped = {bad["key"].removeprefix(f"{PICTURES}/"): bad["reason"] for bad in said["skipped"]}
    keys = [item["key"].removeprefix(f"{PICTURES}/") for item in items]
    return dict(
        zip((key for key in keys if key not in skipped), read_records(path), strict=True)
    ), skipped


def classes(raw: Path, config: dict[str, Any]) -> list[str]:
    return ImagenetDetHandler(config, str(raw)).feature_spec()["labels"]["label"]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A dog that is larger than a cat, a cat alone, and a picture that shows neither."""
    raw = tmp_path / "raw"
    cat, dog = object_xml("cat", 0, 0, 20, 20), object_xml("dog", 30, 10, 80, 50)
    draw_marked(raw, "n01/both", [cat, dog])
    draw_marked(raw, "n02/deep/cat", [cat])
    draw_marked(raw, "none", [])
    return raw


def test_the_largest_box_decides(raw):
    records, skipped = build(raw, AS_IT_IS)
    assert skipped == {}
    assert classes(raw, AS_IT_IS) == ["background", "cat", "dog"]
    labels = {key: record["label"] for key, record in records.items()}
    assert labels == {"n01/both.JPEG": [2], "n02/deep/cat.JPEG": [1], "none.JPEG": [0]}
    assert records["n01/both.JPEG"]["one_hot"] == [0, 0, 1]
    expected = np.divide([10, 30, 50, 80], [60, 90, 60, 90])
    assert records["n01/both.JPEG"]["box"] == pytest.approx(expected, abs=1e-6)
    assert records["none.JPEG"]["box"] == [0, 0, 1, 1]


def test_the_first_of_two_as_large_decides(tmp_path):
    a, b = object_xml("a", 0, 0, 20, 10), object_xml("b", 40, 0, 50, 20)
    draw_marked(tmp_path / "raw", "ab", [a, b])
    draw_marked(tmp_path / "raw", "ba", [b, a])
    records, _ = build(tmp_path / "raw", {"background_class": None})
    assert {key: record["label"] for key, record in records.items()} == {
        "ab.JPEG": [0],
        "ba.JPEG": [1],
    }


def test_a_box_counts_as_far_as_it_lies_in_the_picture(tmp_path):
    outside, inside = object_xml("a", 80, 0, 9000, 10), object_xml("b", 0, 0, 20, 20)
    draw_marked(tmp_path / "raw", "one", [outside, inside])
    draw_marked(tmp_path / "raw", "two", [outside])
    records, _ = build(tmp_path / "raw", {**AS_IT_IS, "background_class": None})
    assert records["one.JPEG"]["label"] == [1]
    expected = np.divide([0, 80, 10, 90], [60, 90, 60, 90])
    assert records["two.JPEG"]["box"] == pytest.approx(expected, abs=1e-6)


def test_an_object_without_area_decides_nothing(tmp_path):
    draw_marked(tmp_path / "raw", "one", [object_xml("a", 9, 9, 9, 9), object_xml("b", 0, 0, 1, 1)])
    records, _ = build(tmp_path / "raw", {})
    assert records["one.JPEG"]["label"] == [2]


def test_categories_that_are_given(raw):
    config = {"categories": ["cat"]}
    records, _ = build(raw, config)
    assert classes(raw, config) == ["background", "cat"]
    assert {key: record["label"] for key, record in records.items()} == {
        "n01/both.JPEG": [1],
        "n02/deep/cat.JPEG": [1],
        "none.JPEG": [0],
    }


def test_labels_follow_the_order_of_the_categories(raw):
    config = {"categories": ["dog", "zebra", "cat", "background"]}
    records, _ = build(raw, config)
    assert classes(raw, config) == ["dog", "zebra", "cat", "background"]
    assert {record["label"][0] for record in records.values()} == {0, 2, 3}


def test_without_a_class_for_it_background_is_left_out(raw):
    config = {"background_class": None, "categories": ["dog"]}
    records, skipped = build(raw, config)
    assert (list(records), skipped) == (["n01/both.JPEG"], {})
    assert classes(raw, config) == ["dog"]


def test_nothing_of_what_is_asked_for(raw):
    handler = ImagenetDetHandler({"background_class": None, "categories": ["zebra"]}, str(raw))
    with pytest.raises(NoSourceItemsError, match=r"none of 3 pictures .* marked are: cat, dog$"):
        list(handler.plan_items("key"))


def test_another_name_for_background(raw):
    assert classes(raw, {"background_class": "nothing"}) == ["nothing", "cat", "dog"]
    assert classes(raw, {"background_class": "dog"}) == ["dog", "cat"], "a category of that name"


def test_classes_do_not_depend_on_the_sample(raw):
    for count in (1, 2, 3):
        records, _ = build(raw, {"max_items": count})
        assert [len(record["one_hot"]) for record in records.values()] == [3] * count


def test_pictures_in_folders_of_background_need_no_annotation(raw):
    (raw / PICTURES / "ILSVRC2013_train_extra3").mkdir()
    (raw / PICTURES / "none.JPEG").rename(raw / PICTURES / "ILSVRC2013_train_extra3/x.JPEG")
    (raw / "Annotations/DET/train/none.xml").unlink()
    records, skipped = build(raw, {})
    assert skipped == {}
    assert records["ILSVRC2013_train_extra3/x.JPEG"]["label"] == [0]
    _, skipped = build(raw, {"background_folders": []})
    (reason,) = skipped.values()
    assert reason == "there is no annotation of its name in Annotations/DET/train"


def test_subsets(raw):
    for tree, suffix in (("Data", "JPEG"), ("Annotations", "xml")):
        (raw / tree / "DET" / "val").mkdir()
        (raw / tree / f"DET/train/none.{suffix}").rename(raw / tree / f"DET/val/v.{suffix}")
    assert sorted(build(raw, {})[0]) == ["n01/both.JPEG", "n02/deep/cat.JPEG"]
    assert list(build(raw, {"subsets": ["val"]})[0]) == ["Data/DET/val/v.JPEG"]
    assert len(build(raw, {"subsets": ["train", "val"]})[0]) == 3


def test_the_default_size(raw):
    records, _ = build(raw, {})
    assert {pixels_of(record["image"][0]).shape for record in records.values()} == {(415, 482, 3)}


def test_annotations_are_read_once_and_by_the_planner_alone(raw, monkeypatch):
    read: list[str] = []
    whole = ImagenetDetHandler.read_source

    def counted(self: ImagenetDetHandler, path: str, **limits: Any) -> bytes:
        read.append(path)
        return whole(self, path, **limits)

    monkeypatch.setattr(ImagenetDetHandler, "read_source", counted)
    planner = ImagenetDetHandler({}, str(raw))
    planner.feature_spec()
    items = list(planner.plan_items("key"))
    planner.feature_spec()
    assert sorted(read) == [
        f"Annotations/DET/train/{name}.xml" for name in ("n01/both", "n02/deep/cat", "none")
    ]
    read.clear()
    ImagenetDetHandler({}, str(raw)).write_shard(items, str(raw.parent / "shard"), "key")
    assert sorted(path.rpartition(".")[2] for path in read) == ["JPEG"] * 3


def test_a_shard_of_bad_items_alone(raw):
    items = [i for i in ImagenetDetHandler({}, str(raw)).plan_items("key") if "none" in i["key"]]
    items[0]["meta"] = {"problem": "it is late"}
    said = ImagenetDetHandler({}, str(raw)).write_shard(items, str(raw.parent / "shard"), "key")
    assert (said["records"], len(said["skipped"])) == (0, 1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_box_stays_around_its_object(data, tmp_path_factory):
    size = data.draw(st.tuples(st.integers(40, 140), st.integers(40, 140)))
    top, left = (data.draw(st.integers(0, side - 20)) for side in size)
    box = (top, left, *(data.draw(st.integers(start + 20, side)) for start, side in
                        zip((top, left), size, strict=True)))  # fmt: skip
    turned = data.draw(st.booleans())
    crop = data.draw(st.none() | st.just([48, 40]))
    config = {
        "image_size": data.draw(st.tuples(st.integers(50, 90), st.integers(50, 90))),
        "resize_mode": data.draw(st.sampled_from(["stretch", "fit", "fill", "crop_or_pad"])),
        "crop_size": crop,
        "random_crop": crop is not None and data.draw(st.booleans()),
        "flip_probability": 0.5,
        "rotate_degrees": 40 if turned else 0,
        "jpeg_quality": 100,
        "seed": data.draw(st.integers(0, 99)),
    }
    raw = tmp_path_factory.mktemp("one") / "raw"
    draw_object(raw, "one", "thing", box, size)
    (record,) = build(raw, config)[0].values()
    picture = pixels_of(record["image"][0]).astype(int)
    height, width = picture.shape[:2]
    found = np.multiply(record["box"], [height, width, height, width])
    red = (picture[..., 0] > picture[..., 2] + 40) & (picture[..., 0] > 90)
    down, across = np.nonzero(red)
    if not len(down):
        assert min(found[2] - found[0], found[3] - found[1]) < 4
        return
    # Where the object is half of a pixel, or blurred by JPEG, its edge may be a pixel off.
    around = [down.min(), across.min(), down.max() + 1, across.max() + 1]
    assert (found[:2] <= np.add(around[:2], 2)).all() and (
        found[2:] >= np.add(around[2:], -2)
    ).all()
    if not turned:
        assert np.abs(found - around).max() <= 2


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_box_that_the_frame_cuts_is_not_more_when_it_is_turned(data, tmp_path_factory):
    """No larger than what is shown of the object before the turn, turned."""
    size = data.draw(st.sampled_from([(60, 180), (180, 60), (100, 120)]))
    top, left = (data.draw(st.integers(0, side - 20)) for side in size)
    box = (top, left, *(data.draw(st.integers(start + 20, side)) for start, side in
                        zip((top, left), size, strict=True)))  # fmt: skip
    config = {
        "image_size": [64, 64],
        "resize_mode": data.draw(st.sampled_from(["fill", "crop_or_pad"])),
        "jpeg_quality": 100,
        "seed": data.draw(st.integers(0, 99)),
    }
    raw = tmp_path_factory.mktemp("cut") / "raw"
    draw_object(raw, "one", "thing", box, size)
    (still,) = build(raw, config)[0].values()
    with pytest.MonkeyPatch.context() as patch:
        used: list[Geometry] = []
        draw = ImagenetDetHandler.geometry
        patch.setattr(
            ImagenetDetHandler, "geometry", lambda *args: used.append(draw(*args)) or used[-1]
        )
        (turned,) = build(raw, {**config, "rotate_degrees": 60})[0].values()
    found = np.multiply(turned["box"], 64)
    picture = pixels_of(still["image"][0]).astype(int)
    down, across = np.nonzero((picture[..., 0] > picture[..., 2] + 40) & (picture[..., 0] > 90))
    if not len(down):
        assert min(found[2] - found[0], found[3] - found[1]) < 4
        return
    rows, columns = (down.min(), down.max() + 1), (across.min(), across.max() + 1)
    corners = used[0].move(np.array([[y, x] for y in rows for x in columns], float))
    most = np.clip([*corners.min(axis=0), *corners.max(axis=0)], 0, 64)
    assert (np.abs(found - most) <= 4).all()


def test_an_object_that_the_frame_leaves_out_has_an_empty_box_however_it_is_turned(tmp_path):
    draw_object(tmp_path / "raw", "one", "thing", (0, 0, 60, 30), (60, 180))
    config = {"image_size": [60, 60], "resize_mode": "fill", "rotate_degrees": 45}
    records, _ = build(tmp_path / "raw", config)
    box = records["one.JPEG"]["box"]
    assert (box[2] - box[0], box[3] - box[1]) == (0, 0)


def test_an_object_that_a_crop_leaves_out_has_an_empty_box(tmp_path):
    draw_object(tmp_path / "raw", "one", "thing", (0, 0, 10, 10), (60, 90))
    records, _ = build(tmp_path / "raw", {**AS_IT_IS, "crop_size": [20, 20]})
    assert records["one.JPEG"]["label"] == [1]
    assert records["one.JPEG"]["box"] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("objects", "told", "reason"),
    [
        ([], (90, 60), "the annotation is of an image of [90, 60], it is [60, 90]"),
        (
            [object_xml("a", 5, 5, 5, 9)],
            None,
            "annotation: of no object in it is there a box with an area in the picture",
        ),
        (
            [object_xml("a", 100, 5, 120, 9)],
            None,
            "annotation: of no object in it is there a box with an area in the picture",
        ),
        (
            [object_xml("a", 0, 0, 91, 9)],
            (0, 0),
            "the box [0.0, 0.0, 9.0, 91.0] reaches outside the image, which is [60, 90], and the "
            "annotation does not say a size",
        ),
        (
            [object_xml("a", 9, 0, 1, 9)],
            None,
            "annotation: object 1 (a) has xmin 9, which is more than its xmax 1",
        ),
    ],
)
def test_bad_annotations(tmp_path, objects, told, reason):
    draw_marked(tmp_path / "raw", "one", objects, told=told)
    assert build(tmp_path / "raw", {}) == ({}, {"one.JPEG": reason})


def test_a_box_inside_needs_no_size(tmp_path):
    draw_marked(tmp_path / "raw", "one", [object_xml("a", 0, 0, 90, 60)], told=(0, 0))
    records, skipped = build(tmp_path / "raw", {})
    assert (records["one.JPEG"]["label"], skipped) == ([1], {})


def test_missing_partners(raw):
    (raw / PICTURES / "n01/both.JPEG").unlink()
    (raw / "Annotations/DET/train/none.xml").unlink()
    _, skipped = build(raw, {})
    assert skipped == {
        "Annotations/DET/train/n01/both.xml": "there is no image of its name in Data/DET/train",
        "none.JPEG": "there is no annotation of its name in Annotations/DET/train",
    }


def test_two_of_one_name(raw):
    save(raw / PICTURES / "none.png", np.zeros((9, 9, 3), np.uint8))
    write_annotation(raw, "n01/both.XML", b"")
    (raw / "Annotations/DET/train/n01/both.XML.xml").rename(
        raw / "Annotations/DET/train/n01/both.XML"
    )
    _, skipped = build(raw, {})
    assert skipped == {
        "Annotations/DET/train/none.xml": "there are 2 images of its name in Data/DET/train",
        "n01/both.JPEG": "there are 2 annotations of its name in Annotations/DET/train",
    }


def test_a_huge_annotation_is_not_read(raw):
    write_annotation(raw, "none", b" " * (MAX_ANNOTATION_BYTES + 1))
    assert build(raw, {})[1] == {
        "none.JPEG": f"annotation: it is larger than {MAX_ANNOTATION_BYTES} bytes"
    }


def test_a_broken_picture_names_its_role(raw):
    (raw / PICTURES / "none.JPEG").write_bytes(b"")
    assert build(raw, {})[1] == {"none.JPEG": "image: the file is empty"}


def test_a_name_that_is_not_utf8_is_a_bad_item(raw):
    name = bytes(raw / PICTURES) + b"/caf\xe9.JPEG"
    try:
        Path(name.decode(errors="surrogateescape")).touch()
    except OSError:
        pytest.skip("this file system takes no such names")
    assert build(raw, {})[1] == {"caf\\xe9.JPEG": "its file name is not UTF-8"}


def test_folders_that_are_links_to_themselves_end(raw):
    (raw / PICTURES / "n01/again").symlink_to(raw / PICTURES)
    (raw / "Annotations/DET/train/n01/again").symlink_to(raw / "Annotations/DET/train")
    assert len(build(raw, {})[0]) == 3


@pytest.mark.parametrize(
    "make", [lambda raw: None, lambda raw: (raw / PICTURES).mkdir(parents=True)]
)
def test_nothing_there(tmp_path, make):
    make(tmp_path / "raw")
    handler = ImagenetDetHandler({}, str(tmp_path / "raw"))
    for call in (lambda: list(handler.plan_items("key")), handler.feature_spec):
        with pytest.raises(NoSourceItemsError, match="imagenet_det reads Data/DET/<subset>"):
            call()


def test_an_annotation_that_cant_be_read_now_ends_the_build(raw, monkeypatch):
    """Skipping it would give other bytes on other machines."""

    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    handler = ImagenetDetHandler({}, str(raw))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceReadError, match=r"\.xml can't be read: Permission denied$"):
        list(handler.plan_items("key"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"subsets": []}, "a list of folders below Data/DET"),
        ({"subsets": ["../secret"]}, "a list of folders below Data/DET"),
        ({"subsets": ["train", "train"]}, "a list of folders below Data/DET"),
        ({"categories": []}, "null or a list of names"),
        ({"categories": ["a", "a"]}, "null or a list of names"),
        ({"categories": ["a\nb"]}, "null or a list of names"),
        ({"categories": [3]}, "null or a list of names"),
        ({"categories": "dog"}, "null or a list of names"),
        ({"background_class": ""}, "null or a name"),
        ({"background_class": " a"}, "null or a name"),
        ({"background_folders": None}, "a list of patterns"),
        ({"resize_mode": "crop"}, 'one of "stretch", "fit", "fill", "crop_or_pad"'),
        ({"input_attributes": ["mask"]}, 'a list of "image", "label", "one_hot", "box"'),
    ],
)
def test_options_that_are_refused(config, words):
    (name,) = config
    with pytest.raises(ConfigError) as caught:
        ImagenetDetHandler(config, "")
    assert str(caught.value).startswith(f"{name}: ") and words in str(caught.value)
