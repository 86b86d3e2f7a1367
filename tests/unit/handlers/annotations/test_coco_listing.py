"""What a listing makes of files that strangers wrote."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_handlers.annotations.coco_file import read_coco_file
from dataset_handlers.annotations.coco_listing import CocoListing, annotation_names, shown_names
from dataset_handlers.sdk.errors import ConfigError, NoSourceItemsError, SourceReadError
from tests.unit.handlers.coco_raw import CocoRaw

FILE = "annotations/instances_train.json"


@pytest.fixture
def raw(tmp_path) -> CocoRaw:
    raw = CocoRaw(tmp_path / "raw")
    raw.object(raw.picture(), 7, (10, 20, 40, 50))
    return raw


def listing_of(raw: CocoRaw) -> CocoListing:
    return CocoListing(raw.save(), [raw.name])


def test_where_annotations_stand_and_what_they_are_chosen_by(raw):
    raw.object(100, 3, (0, 0, 5, 6), iscrowd=1)
    raw.object(100, 90, (0, 0, 5, 6), area=12.5)
    (picture,) = listing_of(raw).pictures
    data = (raw.folder / FILE).read_bytes()
    listed = list(picture.image.objects())
    assert [one[2:] for one in listed] == [
        (1000, 7, False, 900.0),
        (1001, 3, True, 30.0),
        (1002, 90, False, 12.5),
    ]
    found = [json.loads(data[one.start : one.start + one.length]) for one in listed]
    assert found == raw.annotations


def test_arrays_in_any_order(raw):
    raw.save()
    document = json.loads((raw.folder / FILE).read_text())
    turned = {name: document[name] for name in ("categories", "annotations", "images")}
    (raw.folder / FILE).write_text(json.dumps(turned))
    (picture,) = CocoListing(raw.folder, [raw.name]).pictures
    assert len(list(picture.image.objects())) == 1


def test_categories_in_the_order_of_their_ids(raw):
    raw.categories.append({"id": 1, "name": "two\nlines"})
    listing = listing_of(raw)
    assert listing.names() == ["two lines", "cat", "dog", "tree"]
    assert listing.chosen_names(("tree", "cat")) == ("cat", "tree")


def test_ids_of_one_name_are_one_category(raw):
    raw.categories.append({"id": 0, "name": "dog"})
    assert listing_of(raw).names() == ["dog", "cat", "tree"]


def test_an_unknown_category_is_told_with_those_there_are(raw):
    with pytest.raises(ConfigError) as caught:
        listing_of(raw).chosen_names(("cat", "dgo"))
    assert str(caught.value) == (
        'categories: "dgo" is not allowed: no category has that name; did you mean "dog"? '
        "there are: cat, dog, tree"
    )


def test_names_by_the_hundred_are_not_all_shown():
    names = [str(number) for number in range(101)]
    assert shown_names(names) == ", ".join(names[:100]) + ", …"
    assert shown_names(names[:100]) == ", ".join(names[:100])
    assert shown_names([]) == "none"


def test_which_files_are_read(raw):
    folder = raw.save()
    for name in ("captions.json", "instances_val.json", "notes.txt"):
        (folder / "annotations" / name).touch()
    assert annotation_names(folder, None) == ["instances_train.json", "instances_val.json"]
    assert annotation_names(folder, ("captions.json",)) == ["captions.json"]
    for name in ("instances_test.json", "../annotations/captions.json", "notes.txt"):
        with pytest.raises(ConfigError) as caught:
            annotation_names(folder, (name,))
        assert str(caught.value) == (
            f'annotation_files: "{name}" is not allowed: annotations/ holds '
            "captions.json, instances_train.json, instances_val.json"
        )


def test_pictures_in_a_folder_of_the_part(raw):
    images = raw.folder / "images"
    (images / "train").mkdir()
    (images / "one.jpg").rename(images / "train" / "one.jpg")
    (picture,) = listing_of(raw).pictures
    assert picture.path == "images/train/one.jpg"


def test_file_names_with_a_folder(raw):
    images = raw.folder / "images"
    (images / "train2").mkdir()
    (images / "one.jpg").rename(images / "train2" / "one.jpg")
    raw.images[0]["file_name"] = "train2/./one.jpg"
    (picture,) = listing_of(raw).pictures
    assert picture.path == "images/train2/one.jpg"


@pytest.mark.parametrize("target", ["nothing.jpg", "one.jpg", None, "folder"])
def test_what_is_called_like_a_picture_but_is_no_file(raw, target):
    path = raw.folder / "images" / "one.jpg"
    path.unlink()
    (raw.folder / "images" / "folder").mkdir()
    if target:
        path.symlink_to(target)  # also to itself
    else:
        path.mkdir()
    listing = listing_of(raw)
    assert listing.pictures == []
    assert listing.bad == {PICTURE: "its file is not in images/"}


def test_links_to_pictures(raw):
    path = raw.folder / "images" / "one.jpg"
    path.rename(raw.folder / "elsewhere.jpg")
    path.symlink_to("../elsewhere.jpg")
    (picture,) = listing_of(raw).pictures
    assert picture.path == PICTURE


PICTURE = "images/one.jpg"
ENTRY = f"{FILE}, images[0]"
ANNOTATION = f"{FILE}, annotations[0]"

BAD_IMAGES = [
    ({"file_name": "two.jpg"}, "images/two.jpg", "its file is not in images/"),
    ({"file_name": None}, ENTRY, f"{ENTRY}: it has no file_name"),
    ({"file_name": ""}, ENTRY, f"{ENTRY}: it has no file_name"),
    ({"file_name": "../one.jpg"}, ENTRY, f"{ENTRY}: its file_name leads out of images/"),
    ({"file_name": "/one.jpg"}, ENTRY, f"{ENTRY}: its file_name leads out of images/"),
    ({"file_name": "\ud800.jpg"}, ENTRY, f"{ENTRY}: its file_name is no Unicode text"),
    ({"height": "60"}, PICTURE, f"{ENTRY}: its height is no integer"),
    ({"height": 0}, PICTURE, f"{ENTRY}: its height and width are [0, 90]"),
    ({"width": 10**40}, PICTURE, f"{ENTRY}: its width is no integer"),
]


@pytest.mark.parametrize(("spoiled", "key", "reason"), BAD_IMAGES)
def test_entries_of_images_that_are_bad(raw, spoiled, key, reason):
    raw.images[0].update(spoiled)
    listing = listing_of(raw)
    assert listing.pictures == []
    assert listing.bad == {key: reason}


def test_an_image_without_a_usable_id_leaves_its_annotations_behind(raw):
    raw.images[0]["id"] = "100"
    assert listing_of(raw).bad == {
        PICTURE: f"{ENTRY}: its id is no integer",
        f"{FILE}, image 100": "annotations are of image 100, which is not listed",
    }


def test_an_entry_that_is_no_object(raw):
    raw.images.append(7)
    listing = listing_of(raw)
    assert len(listing.pictures) == 1
    assert listing.bad == {f"{FILE}, images[1]": f"{FILE}, images[1]: it is no JSON object"}


BAD_ANNOTATIONS = [
    ({"category_id": 4}, PICTURE, "annotation 1000: its category 4 is not among the categories"),
    ({"category_id": None}, PICTURE, "annotation 1000: its category_id is no integer"),
    ({"id": 1.5}, PICTURE, f"{ANNOTATION}: its id is no integer"),
    ({"iscrowd": 2}, PICTURE, "annotation 1000: its iscrowd is neither 0 nor 1"),
    ({"area": -1}, PICTURE, "annotation 1000: its area is no number from 0"),
    ({"area": "12"}, PICTURE, "annotation 1000: its area is no number from 0"),
    ({"area": float("nan")}, PICTURE, "annotation 1000: its area is no number from 0"),
]


@pytest.mark.parametrize(("spoiled", "key", "reason"), BAD_ANNOTATIONS)
def test_annotations_that_are_bad(raw, spoiled, key, reason):
    raw.annotations[0].update(spoiled)
    listing = listing_of(raw)
    assert listing.pictures == []
    assert listing.bad == {key: reason}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (7, "it is no JSON object"),
        ({"id": 5}, "it has no image_id"),
        ({"image_id": "100"}, "its image_id is no integer"),
    ],
)
def test_annotations_of_no_picture(raw, value, reason):
    raw.annotations.append(value)
    listing = listing_of(raw)
    assert len(listing.pictures) == 1
    assert listing.bad == {f"{FILE}, annotations[1]": reason}


def test_annotations_of_pictures_that_are_not_listed(raw):
    raw.annotations += [{**raw.annotations[0], "image_id": 5}] * 2
    assert listing_of(raw).bad == {
        f"{FILE}, image 5": "annotations are of image 5, which is not listed"
    }


def test_an_annotation_that_is_there_twice(raw):
    raw.annotations.append(raw.annotations[0])
    assert listing_of(raw).bad == {PICTURE: "annotation 1000 is there twice"}


def test_two_pictures_of_one_id(raw):
    raw.picture("two.jpg")
    raw.images[1]["id"] = 100
    assert listing_of(raw).bad == {
        PICTURE: "2 images have the id 100",
        "images/two.jpg": "2 images have the id 100",
    }


def test_a_picture_that_is_listed_twice(raw):
    raw.images.append({**raw.images[0], "id": 101})
    assert listing_of(raw).bad == {PICTURE: f"{FILE} lists it 2 times"}


def test_a_picture_in_two_files(raw):
    listing = CocoListing(raw.save(), [raw.name])
    raw.name = "instances_val.json"
    listing = CocoListing(raw.save(), ["instances_train.json", "instances_val.json"])
    assert listing.pictures == []
    assert listing.bad == {
        PICTURE: f"it is listed in {FILE} and in annotations/instances_val.json: "
        "choose by annotation_files"
    }


@pytest.mark.parametrize(
    ("category", "reason"),
    [
        ({"id": 4}, f"{FILE}, categories[3]: it has no name"),
        ({"id": 4, "name": " \n"}, f"{FILE}, categories[3]: it has no name"),
        ({"name": "fox"}, f"{FILE}, categories[3]: it has no id"),
        ("fox", f"{FILE}, categories[3]: it is no JSON object"),
        ({"id": 7, "name": "fox"}, f'{FILE}, categories[3]: category 7 is "dog" and "fox"'),
    ],
)
def test_broken_categories_fail_all(raw, category, reason):
    raw.categories.append(category)
    with pytest.raises(NoSourceItemsError) as caught:
        listing_of(raw)
    assert str(caught.value) == reason


def test_files_that_contradict_each_other(raw):
    raw.save()
    raw.name, raw.categories[0]["name"] = "instances_val.json", "fox"
    with pytest.raises(NoSourceItemsError) as caught:
        CocoListing(raw.save(), ["instances_train.json", "instances_val.json"])
    assert str(caught.value) == (
        f'category 7 is "dog" in {FILE}, "fox" in annotations/instances_val.json'
    )


def test_a_file_that_is_cut_off_fails_all(raw):
    raw.save()
    data = (raw.folder / FILE).read_bytes()
    (raw.folder / FILE).write_bytes(data[:200])
    with pytest.raises(NoSourceItemsError, match="is broken: the JSON is cut off at byte 200"):
        CocoListing(raw.folder, [raw.name])


def test_a_file_that_can_not_be_read(tmp_path):
    with pytest.raises(SourceReadError, match="can't be read: No such file"):
        read_coco_file(tmp_path, FILE)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
fields = st.sampled_from(
    ["id", "image_id", "category_id", "name", "file_name", "height", "width", "area", "bbox",
     "iscrowd", "segmentation"]
)  # fmt: skip
entries = st.lists(values | st.dictionaries(fields, values), max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    document=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("images", "annotations", "categories"), entries | values)
    )
)
def test_any_file_is_listed_or_refused(document, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "any_listing"
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(document))
    try:
        listing = CocoListing(folder, ["instances_train.json"])
    except NoSourceItemsError as error:
        assert str(error).startswith(FILE)
        return
    assert listing.pictures == []
    assert all(reason for reason in listing.bad.values())
