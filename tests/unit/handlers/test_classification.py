import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset_handlers.classification import ClassificationHandler
from dataset_handlers.labels import is_label_name
from dataset_handlers.operations.encode import encode_jpeg
from dataset_handlers.sdk import ConfigError, NoSourceItemsError
from tests.unit.handlers.pictures import gradient, save
from tests.unit.handlers.reading import pixels_of, read_records


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    for number, name in enumerate(["bees/b.jpg", "ants/a.PNG", "ants/deep/no.jpg", "cats/c.webp"]):
        save(folder / name, gradient(40 + number, 60))
    (folder / "empty").mkdir()
    (folder / "notes").mkdir()
    (folder / "notes" / "read me.txt").touch()
    return folder


def build(folder: Path, config: dict) -> list[dict]:
    handler = ClassificationHandler(config, str(folder))
    path = folder.parent / "shard"
    said = handler.write_shard(list(handler.plan_items("key")), str(path), "key")
    assert said["skipped"] == []
    return read_records(path)


def test_classes_are_folders_with_images_sorted(raw):
    spec = ClassificationHandler({}, str(raw)).feature_spec()
    assert spec["labels"] == {"label": ["ants", "bees", "cats"]}


def test_label_and_one_hot_are_those_of_the_folder(raw):
    handler = ClassificationHandler({}, str(raw))
    keys = [item["key"] for item in handler.plan_items("key")]
    assert sorted(keys) == ["ants/a.PNG", "bees/b.jpg", "cats/c.webp"]
    for key, record in zip(keys, build(raw, {}), strict=True):
        label = ["ants", "bees", "cats"].index(key[:4])
        assert record["label"] == [label]
        assert record["one_hot"] == [float(label == other) for other in range(3)]


def test_the_image_is_the_picture(raw):
    for record in build(raw, {"image_size": [50, 70], "jpeg_quality": 98}):
        pixels = pixels_of(record["image"][0]).astype(int)
        assert np.abs(pixels - gradient(50, 70)).max() < 16


def test_grey_records(raw):
    record = build(raw, {"channels": 1})[0]
    assert pixels_of(record["image"][0]).shape == (224, 224)
    features = ClassificationHandler({"channels": 1}, str(raw)).features()
    assert features["image"].channels == 1


def test_small_digits_are_enlarged(tmp_path):
    save(tmp_path / "raw" / "7" / "a.png", np.full((8, 8), 99, np.uint8))
    (record,) = build(tmp_path / "raw", {})
    pixels = pixels_of(record["image"][0])
    assert pixels.shape == (224, 224, 3)
    assert (pixels == 99).all()


def test_sizes_stay_without_image_size(raw):
    shapes = {pixels_of(record["image"][0]).shape for record in build(raw, {"image_size": None})}
    assert shapes == {(40, 60, 3), (41, 60, 3), (43, 60, 3)}


def test_variations_differ(raw):
    config = {"variations_per_sample": 3, "crop_size": [100, 100], "random_crop_centered": True}
    records = build(raw, config)
    assert len(records) == 9
    assert len({record["image"][0] for record in records}) == 9


def test_without_random_options_variations_are_equal(raw):
    images = [record["image"][0] for record in build(raw, {"variations_per_sample": 2})]
    assert images[0::2] == images[1::2]


def test_a_folder_that_is_gone_since_the_plan_is_a_bad_item(raw):
    handler = ClassificationHandler({}, str(raw))
    items = list(handler.plan_items("key"))
    (raw / "bees" / "b.jpg").unlink()
    said = ClassificationHandler({}, str(raw)).write_shard(items, str(raw.parent / "s"), "key")
    assert said["skipped"] == [
        {"key": "bees/b.jpg", "reason": "its class bees is not in the raw data any more"}
    ]


@pytest.mark.parametrize(
    "name", [" ants", "ants ", "an\nts", "an\rts", "an\u2028ts", "\u3000", "\n"]
)
def test_a_folder_whose_name_is_no_line_is_no_class(raw, name):
    save(raw / name / "x.jpg", gradient(9, 9))
    handler = ClassificationHandler({}, str(raw))
    assert handler.feature_spec()["labels"] == {"label": ["ants", "bees", "cats"]}
    said = handler.write_shard(list(handler.plan_items("key")), str(raw.parent / "s"), "key")
    (bad,) = said["skipped"]
    assert (said["records"], bad["key"]) == (3, f"{name}/x.jpg")
    assert "its folder, can't be the name of a class: it has a line break" in bad["reason"]
    assert "\n" not in bad["reason"]


@pytest.mark.parametrize("name", ["a b", "é", "狐狸 🦊", "0", "a\tb", "-"])
def test_names_of_classes_that_tensorflow_datasets_reads_as_they_are(tmp_path, name):
    assert is_label_name(name)
    labels = tmp_path / "label.labels.txt"
    labels.write_text(f"{name}\n", encoding="utf-8")
    # What tensorflow_datasets.core.features.ClassLabel does.
    assert [line.strip() for line in labels.read_text("utf-8").split("\n") if line.strip()] == [
        name
    ]


def test_no_classes(tmp_path):
    handler = ClassificationHandler({}, str(tmp_path))
    for call in (lambda: list(handler.plan_items("key")), handler.feature_spec):
        with pytest.raises(NoSourceItemsError, match="a folder per class with images in it"):
            call()


@pytest.mark.parametrize("channels", [2, 0, 4, True, "3", None])
def test_channels_are_1_or_3(channels):
    with pytest.raises(
        ConfigError, match=r"^channels: .* is not allowed: 1 \(grey\) or 3 \(RGB\)$"
    ):
        ClassificationHandler({"channels": channels}, "")


def test_a_name_that_is_not_utf8_is_a_bad_item(raw):
    broken = bytes(raw / "ants") + b"/caf\xe9.jpg"
    try:
        Path(broken.decode(errors="surrogateescape")).write_bytes((raw / "bees/b.jpg").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    handler = ClassificationHandler({}, str(raw))
    said = handler.write_shard(list(handler.plan_items("key")), str(raw.parent / "s"), "key")
    assert said["skipped"] == [{"key": "ants/caf\\xe9.jpg", "reason": "its file name is not UTF-8"}]


def test_large_pictures_are_decoded_in_full_where_pixels_must_be_exact(tmp_path):
    picture = gradient(333, 501)
    save(tmp_path / "raw" / "ants" / "a.jpg", picture)
    size = {"image_size": [40, 60], "jpeg_quality": 100}
    fast, exact = (
        build(tmp_path / "raw", {**size, "reduced_decoding": reduced})[0]["image"][0]
        for reduced in (True, False)
    )
    decoded = cv2.imread(str(tmp_path / "raw" / "ants" / "a.jpg"))
    assert exact == encode_jpeg(cv2.resize(decoded, (60, 40), interpolation=cv2.INTER_AREA), 100)
    assert fast != exact
    assert np.abs(pixels_of(fast).astype(int) - pixels_of(exact)).max() < 12


SIXTEEN = {"bit_depth": 16, "image_encoding": "png"}


def sixteen_of(encoded: bytes) -> np.ndarray:
    """Decode with OpenCV, RGB or grey, whatever the depth."""
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_png_loses_nothing(raw, channels):
    config = {"image_encoding": "png", "image_size": None, "channels": channels}
    features = ClassificationHandler(config, str(raw)).features()
    assert features["image"].encoding == "png"
    save(raw / "ants" / "a.PNG", gradient(40, 60))
    pictures = [pixels_of(record["image"][0]) for record in build(raw, config)]
    expected = gradient(40, 60)
    if channels == 1:
        expected = np.asarray(Image.fromarray(expected).convert("L"))
    assert any(np.array_equal(picture, expected) for picture in pictures)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_kept(tmp_path, suffix, channels):
    rng = np.random.default_rng(1)
    shape = (30, 40, 3) if channels == 3 else (30, 40)
    pixels = rng.integers(0, 65536, shape).astype(np.uint16)
    (tmp_path / "raw" / "one").mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "raw" / "one" / f"a{suffix}"), pixels)
    config = {**SIXTEEN, "channels": channels, "image_size": None}
    (record,) = build(tmp_path / "raw", config)
    rgb = pixels[..., ::-1] if channels == 3 else pixels
    assert np.array_equal(sixteen_of(record["image"][0]), rgb)
    (record,) = build(tmp_path / "raw", {**config, "bit_depth": 8})
    assert np.array_equal(sixteen_of(record["image"][0]), rgb >> 8)
    features = ClassificationHandler(config, str(tmp_path / "raw")).features()
    assert (features["image"].dtype, features["image"].channels) == ("uint16", channels)


def test_16_bits_of_pictures_of_8(raw):
    config = {"image_size": [40, 60], "resize_mode": "crop_or_pad", "pad_value": 200}
    for eight, sixteen in zip(
        build(raw, {**config, "image_encoding": "png"}),
        build(raw, {**config, **SIXTEEN}),
        strict=True,
    ):
        expected = pixels_of(eight["image"][0]).astype(np.uint16) * 257
        assert np.array_equal(sixteen_of(sixteen["image"][0]), expected)


def test_16_bits_through_all_that_moves_pixels(raw):
    config = {
        "image_size": [50, 80],
        "resize_mode": "fit",
        "pad_value": 255,
        "crop_size": [30, 80],
        "random_crop": True,
        "flip_probability": 0.5,
        "variations_per_sample": 4,
        "color_order": "bgr",
        "reduced_decoding": False,
    }
    records = zip(
        build(raw, {**config, "image_encoding": "png"}),
        build(raw, {**config, **SIXTEEN}),
        strict=True,
    )
    for eight, sixteen in records:
        found = sixteen_of(sixteen["image"][0])
        assert (found.shape, found.dtype) == ((30, 80, 3), np.uint16)
        # Each of the two axes was rounded to 8 bits once, or to 16.
        assert np.abs(found / 257 - pixels_of(eight["image"][0])).max() <= 1.1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"bit_depth": 16}, 'a JPEG has 8 bits: set image_encoding to "png"'),
        ({**SIXTEEN, "standardize": "metadata"}, 'standardize takes 8 bits: set it to "no"'),
        *(
            ({**SIXTEEN, name: value}, f"{name} works on 8 bits: leave it out")
            for name, value in {
                "rotate_degrees": 5,
                "exposure": 1,
                "brightness": 0.1,
                "contrast": 0.1,
                "saturation": 0.1,
                "hue_degrees": 3,
                "gamma": 0.1,
                "blur_sigma": 1,
                "noise_sigma": 1,
                "recompress_quality": [50, 60],
            }.items()
        ),
        ({"bit_depth": 12}, "8 or 16"),
    ],
)
def test_what_16_bits_do_not_go_with(config, words):
    with pytest.raises(ConfigError) as caught:
        ClassificationHandler(config, "")
    assert str(caught.value) == f"bit_depth: {config['bit_depth']} is not allowed: {words}"


def test_numbers_are_in_no_file():
    with pytest.raises(ConfigError, match=r"^image_encoding: .* hold numbers, not a file$"):
        ClassificationHandler({"standardize": "applied", "image_encoding": "png"}, "")


def test_a_record_of_float32_is_in_memory_once(tmp_path):
    """Four times its picture, while it is made and while it is written; one variation at a time."""
    save(tmp_path / "raw" / "ants" / "a.png", gradient(1200, 1000))
    config = {"image_size": [1200, 1000], "standardize": "applied", "variations_per_sample": 3}
    handler = ClassificationHandler(config, str(tmp_path / "raw"))
    items = list(handler.plan_items("key"))
    tracemalloc.start()
    handler.write_shard(items, str(tmp_path / "shard"), "key")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    picture = 1200 * 1000 * 3
    assert 4 * picture < peak < 6.5 * picture
