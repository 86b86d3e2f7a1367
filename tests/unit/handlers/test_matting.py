from pathlib import Path

import numpy as np
import pytest

from dataset_handlers.matting import MattingHandler
from dataset_handlers.operations.trimap import trimap
from dataset_handlers.sdk import ConfigError, NoSourceItemsError
from tests.unit.handlers.pictures import gradient, save
from tests.unit.handlers.reading import pixels_of, read_records

COLOURS = [(20, 30, 200), (20, 190, 40), (200, 40, 20), (220, 220, 30), (230, 40, 220)]
AS_IT_IS = {"image_size": None, "jpeg_quality": 100}


def soft_disc(height: int, width: int) -> np.ndarray:
    """An alpha that falls from 255 in the middle to 0 at the borders."""
    down, right = np.indices((height, width))
    distance = np.hypot((down + 0.5) / height - 0.5, (right + 0.5) / width - 0.5)
    return np.clip(np.rint((0.45 - distance) * 1000), 0, 255).astype(np.uint8)


def draw_cutout(folder: Path, name: str, height: int = 64, width: int = 96) -> np.ndarray:
    """Write a foreground and its alpha; return the alpha."""
    alpha = soft_disc(height, width)
    save(folder / "fg" / f"{name}.png", gradient(height, width))
    save(folder / "alpha" / f"{name}.png", alpha)
    return alpha


def draw_backgrounds(folder: Path, count: int = 5) -> None:
    """Write pictures of one colour each."""
    for number in range(count):
        colour = np.full((80, 100, 3), COLOURS[number], np.uint8)
        save(folder / "bg" / f"{number}.jpg", colour, quality=98, subsampling=0)


@pytest.fixture
def raw(tmp_path) -> Path:
    draw_cutout(tmp_path / "raw", "one")
    draw_backgrounds(tmp_path / "raw")
    return tmp_path / "raw"


def build(folder: Path, config: dict, key: str = "key") -> tuple[list[dict], list[dict]]:
    """Return the records, decoded, and what was skipped."""
    handler = MattingHandler(config, str(folder))
    path = folder.parent / "shard"
    said = handler.write_shard(list(handler.plan_items(key)), str(path), key)
    records = [
        {name: pixels_of(values[0]) for name, values in record.items()}
        for record in read_records(path)
    ]
    return records, said["skipped"]


def shown_background(record: dict) -> int:
    """Return the number of the background that a corner shows."""
    assert record["alpha"][0, 0] == 0
    distances = np.abs(record["image"][0, 0].astype(int) - COLOURS).sum(axis=1)
    assert distances.min() < 12
    return int(distances.argmin())


def composed(record: dict) -> np.ndarray:
    """Return a F + (1 - a) B of what the record says."""
    alpha = record["alpha"][..., np.newaxis] / 255
    background = np.array(COLOURS[shown_background(record)])
    return alpha * record["foreground"] + (1 - alpha) * background


def test_a_composite_of_what_is_in_the_files(raw):
    (record,), skipped = build(raw, AS_IT_IS)
    assert skipped == []
    assert np.array_equal(record["alpha"], soft_disc(64, 96))
    assert np.abs(record["foreground"].astype(int) - gradient(64, 96)).max() <= 3
    # JPEG at its best; chroma is halved.
    assert np.abs(composed(record) - record["image"]).max() <= 8
    assert np.abs(composed(record) - record["image"]).mean() < 1


def test_the_composite_is_exact_before_it_becomes_jpeg(raw):
    """Standardised images are no JPEG files, and can be turned back."""
    config = {"image_size": [64, 96], "resize_mode": "stretch", "standardize": "applied"}
    handler = MattingHandler(config, str(raw))
    (item,) = handler.plan_items("key")
    path = raw.parent / "shard"
    handler.write_shard([item], str(path), "key")
    (record,) = read_records(path)
    image = np.array(record["image"], np.float64).reshape(64, 96, 3)
    alpha = soft_disc(64, 96).astype(int)[..., np.newaxis]
    background = pixels_of((raw / item["files"]["background 0"]).read_bytes())[0, 0].astype(int)
    total = alpha * gradient(64, 96).astype(int) + (255 - alpha) * background
    expected = (2 * total + 255) // 510
    standard = (expected - expected.mean()) / expected.std()
    assert np.abs(image - standard).max() < 1e-4


def test_the_defaults(raw):
    (record,), _ = build(raw, {})
    sizes = {name: pixels.shape for name, pixels in record.items()}
    colour, grey = (320, 320, 3), (320, 320)
    assert sizes == {"image": colour, "foreground": colour, "alpha": grey, "trimap": grey}
    assert shown_background(record) in range(5)
    assert np.array_equal(record["trimap"], trimap(record["alpha"], 10))
    # Proportions stay: the middle two thirds of the width.
    assert (record["alpha"][:, 0] > 0).mean() > 0.4


def test_bars_show_the_background(raw):
    (record,), _ = build(raw, {"resize_mode": "fit"})
    bars = np.ones((320, 320), bool)
    bars[53:267] = False
    assert not record["alpha"][bars].any() and record["alpha"][~bars].any()
    colour = COLOURS[shown_background(record)]
    assert np.abs(record["image"][bars].astype(int) - colour).max() < 12


def test_each_composite_has_a_background_of_its_own(raw):
    records, _ = build(raw, {"variations_per_sample": 5})
    assert {shown_background(record) for record in records} == set(range(5))


def test_more_composites_than_backgrounds_take_them_in_turn(raw):
    records, _ = build(raw, {"variations_per_sample": 12})
    shown = [shown_background(record) for record in records]
    assert shown[:5] == shown[5:10] and shown[:2] == shown[10:]


def chosen(folder: Path, config: dict) -> dict[str, list[str]]:
    items = MattingHandler(config, str(folder)).plan_items("key")
    return {
        item["key"]: [path for path in item["files"].values() if path.startswith("bg/")]
        for item in items
    }


def test_what_decides_which_backgrounds_an_item_gets(raw):
    for number in range(20):
        draw_cutout(raw, f"more{number}", 8, 8)
    first = chosen(raw, {"variations_per_sample": 2})
    assert all(len(set(paths)) == 2 for paths in first.values())
    assert len({tuple(paths) for paths in first.values()}) > 8
    # Neither other options nor other items.
    (raw / "fg" / "more3.png").unlink()
    again = chosen(raw, {"variations_per_sample": 2, "image_size": [8, 8], "flip_probability": 0.5})
    assert {key: paths for key, paths in first.items() if key != "fg/more3.png"} == {
        key: paths for key, paths in again.items() if key.startswith("fg/")
    }
    assert chosen(raw, {"variations_per_sample": 2, "seed": 1}) != again


def test_geometry_is_the_same_for_all(raw):
    config = {
        "image_size": [128, 192],
        "crop_size": [100, 110],
        "random_crop": True,
        "rotate_degrees": 30,
        "flip_probability": 0.5,
        "variations_per_sample": 8,
        "jpeg_quality": 100,
    }
    records, _ = build(raw, config)
    assert len({record["alpha"].tobytes() for record in records}) == 8
    for record in records:
        assert record["image"].shape == (100, 110, 3)
        alpha = record["alpha"].astype(int)
        inside = alpha == 255
        assert np.abs(record["image"].astype(int) - record["foreground"])[inside].max() <= 8
        # The gradient says where each pixel comes from, the disc's middle where it is whole.
        right, down = record["foreground"][..., 0] / 255, record["foreground"][..., 1] / 255
        distance = np.hypot(down - 0.5, right - 0.5)
        assert np.abs(np.clip((0.45 - distance) * 1000, 0, 255) - alpha).mean() < 8


def test_colours_change_before_and_alpha_stays(raw):
    config = {**AS_IT_IS, "brightness": 0.4, "exposure": 0.5, "variations_per_sample": 6}
    records, _ = build(raw, config)
    assert len({record["alpha"].tobytes() for record in records}) == 1
    assert len({int(record["image"].mean()) for record in records}) > 3
    for record in records:
        inside = record["alpha"] == 255
        assert np.abs(record["image"].astype(int) - record["foreground"])[inside].max() <= 8
        alpha = record["alpha"][..., np.newaxis] / 255
        made = alpha * record["foreground"] + (1 - alpha) * record["image"][0, 0]
        assert np.abs(made - record["image"]).mean() < 1.5


def test_noise_is_the_composites_alone(raw):
    plain, _ = build(raw, AS_IT_IS)
    noisy, _ = build(raw, {**AS_IT_IS, "noise_sigma": 20})
    assert np.array_equal(plain[0]["foreground"], noisy[0]["foreground"])
    assert np.abs(plain[0]["image"].astype(int) - noisy[0]["image"]).mean() > 8


def test_the_order_of_channels(raw):
    (rgb,), _ = build(raw, AS_IT_IS)
    (bgr,), _ = build(raw, {**AS_IT_IS, "color_order": "bgr"})
    for name in ("image", "foreground"):
        assert np.abs(rgb[name].astype(int) - bgr[name][..., ::-1]).max() <= 12


def test_a_trimap_of_one_width(raw):
    for width in (0, 3, 200):
        (record,), _ = build(raw, {"trimap_width": width, "image_size": [64, 96]})
        assert np.array_equal(record["trimap"], trimap(record["alpha"], width))


def test_a_trimap_of_a_random_width(raw):
    config = {"trimap_width": [1, 6], "image_size": [64, 96], "variations_per_sample": 40}
    records, _ = build(raw, config)
    of_width = {trimap(records[0]["alpha"], width).tobytes(): width for width in range(1, 7)}
    assert {of_width[record["trimap"].tobytes()] for record in records} == set(range(1, 7))


def draw_gradient_background(folder: Path) -> None:
    for number in range(5):
        (folder / "bg" / f"{number}.jpg").unlink()
    save(folder / "bg" / "gradient.jpg", gradient(256, 256), quality=98, subsampling=0)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_background_is_shown_so_large(raw, scale):
    draw_gradient_background(raw)
    save(raw / "alpha" / "one.png", 2 * np.eye(64, 96, dtype=np.uint8))
    config = {
        "image_size": [64, 64],
        "background_scale": [scale, scale],
        "variations_per_sample": 20,
        "jpeg_quality": 100,
    }
    records, _ = build(raw, config)
    spans = [np.ptp(record["image"][..., 0].astype(int)) for record in records]
    # All of it at 1, a half at 2, a quarter at 4.
    assert np.abs(np.array(spans) - 255 / scale).max() < 8
    corners = {tuple(record["image"][0, 0, :2] // 16) for record in records}
    assert len(corners) == 1 if scale == 1 else len(corners) > 5


def test_the_scale_is_random(raw):
    draw_gradient_background(raw)
    config = {"background_scale": [1, 4], "variations_per_sample": 60, "image_size": [64, 64]}
    records, _ = build(raw, config)
    spans = [np.ptp(record["image"][-3:, :, 0].astype(int)) for record in records]
    assert min(spans) < 90 and max(spans) > 220


def test_a_large_background_is_decoded_reduced(raw):
    draw_gradient_background(raw)
    save(raw / "bg" / "gradient.jpg", gradient(2048, 2048), quality=98)
    config = {"image_size": [64, 64], "background_scale": [2, 2], "jpeg_quality": 100}
    (reduced,), _ = build(raw, config)
    (whole,), _ = build(raw, {**config, "reduced_decoding": False})
    assert np.abs(reduced["image"].astype(int) - whole["image"]).max() < 12


def test_a_small_background_is_enlarged(raw):
    draw_gradient_background(raw)
    save(raw / "bg" / "gradient.jpg", np.full((3, 2, 3), 90, np.uint8))
    (record,), _ = build(raw, {"background_scale": [16, 16]})
    assert np.abs(record["image"][0, 0].astype(int) - 90).max() < 6


def test_a_foregrounds_own_transparency_is_not_looked_at(raw):
    (opaque,), _ = build(raw, AS_IT_IS)
    save(raw / "fg" / "one.png", np.dstack([gradient(64, 96), soft_disc(64, 96)]))
    (record,), _ = build(raw, AS_IT_IS)
    assert np.array_equal(record["image"], opaque["image"])


@pytest.mark.parametrize("outside", [0, 255])
@pytest.mark.parametrize("size", [[25, 31], [150, 200]])
@pytest.mark.parametrize("degrees", [0, 30])
def test_what_a_foreground_has_outside_leaves_no_rim(raw, outside, size, degrees):
    # Grey, so that JPEG's halved chroma mixes nothing.
    alpha = np.where(soft_disc(64, 96) > 99, 255, 0).astype(np.uint8)
    foreground = np.full((64, 96, 3), 120, np.uint8)
    foreground[alpha == 0] = outside
    save(raw / "fg" / "one.png", foreground)
    save(raw / "alpha" / "one.png", alpha)
    config = {"image_size": size, "rotate_degrees": degrees, "variations_per_sample": 4}
    records, _ = build(raw, {**config, "jpeg_quality": 100})
    for record in records:
        edge = (record["alpha"] > 0) & (record["alpha"] < 255)
        assert edge.any()
        assert np.abs(record["foreground"][edge].astype(int) - 120).max() <= 4


@pytest.mark.parametrize("deep", [False, True])
def test_alphas_of_other_kinds(raw, deep):
    alpha = soft_disc(64, 96)
    if deep:
        save(raw / "alpha" / "one.png", alpha.astype(np.uint16) * 257)
    else:
        save(raw / "alpha" / "one.png", np.repeat(alpha[..., np.newaxis], 3, axis=2))
    (record,), skipped = build(raw, AS_IT_IS)
    assert skipped == []
    assert np.array_equal(record["alpha"], alpha)


def skipped_reasons(folder: Path, config: dict | None = None) -> dict[str, str]:
    _, skipped = build(folder, config or {})
    return {bad["key"]: bad["reason"] for bad in skipped}


def test_an_alpha_of_another_size_is_bad(raw):
    save(raw / "alpha" / "one.png", soft_disc(32, 48))
    reason = "the alpha is [32, 48], its foreground [64, 96]"
    assert skipped_reasons(raw) == {"fg/one.png": reason}


def test_an_alpha_without_anything_is_bad(raw):
    save(raw / "alpha" / "one.png", np.zeros((64, 96), np.uint8))
    reason = "the alpha is 0 everywhere: there is no foreground"
    assert skipped_reasons(raw) == {"fg/one.png": reason}


def test_partners_that_are_not_there(raw):
    draw_cutout(raw, "two")
    draw_cutout(raw, "three")
    (raw / "alpha" / "two.png").unlink()
    (raw / "fg" / "three.png").unlink()
    save(raw / "alpha" / "one.PNG", soft_disc(64, 96))
    assert skipped_reasons(raw) == {
        "fg/one.png": "a foreground with 2 alphas: one.PNG, one.png",
        "fg/two.png": "a foreground without its alpha alpha/two.png",
        "alpha/three.png": "an alpha without its foreground fg/three.png",
    }


def test_the_reason_names_the_background_that_is_broken(raw):
    for number in range(5):
        (raw / "bg" / f"{number}.jpg").write_bytes(b"\xff\xd8 cut off")
    (reason,) = skipped_reasons(raw).values()
    (path,) = chosen(raw, {})["fg/one.png"]
    assert reason == f"its background {path}: a JPEG cut off in its header"


def test_an_empty_background_is_bad_and_is_not_taken(raw):
    for number in range(4):
        (raw / "bg" / f"{number}.jpg").write_bytes(b"")
    records, skipped = build(raw, {"variations_per_sample": 5})
    assert [shown_background(record) for record in records] == [4] * 5
    assert sorted(bad["key"] for bad in skipped) == [f"bg/{number}.jpg" for number in range(4)]
    assert {bad["reason"] for bad in skipped} == {"a background that is an empty file"}


def test_backgrounds_of_any_kind(raw):
    for number, suffix in enumerate(("png", "tif", "webp", "BMP")):
        save(raw / "bg" / f"{number}.{suffix}", np.full((80, 100, 3), COLOURS[number], np.uint8))
        (raw / "bg" / f"{number}.jpg").unlink()
    (raw / "bg" / "notes.txt").write_text("no background")
    records, skipped = build(raw, {"variations_per_sample": 5})
    assert ({shown_background(record) for record in records}, skipped) == (set(range(5)), [])


def test_without_backgrounds_nothing_can_be_made(raw):
    for path in (raw / "bg").iterdir():
        path.unlink()
    with pytest.raises(NoSourceItemsError, match=r"bg holds no background image"):
        build(raw, {})


def test_an_empty_folder(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(NoSourceItemsError, match=r"matting reads fg/\*\.png and alpha/\*\.png"):
        build(tmp_path / "raw", {})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"trimap_width": [5, 2]},
            "trimap_width: [5, 2] is not allowed: an integer from 0 to 200, or two such, "
            "[least, most]",
        ),
        (
            {"trimap_width": 201},
            "trimap_width: 201 is not allowed: an integer from 0 to 200, or two such, "
            "[least, most]",
        ),
        (
            {"resize_mode": "crop"},
            'resize_mode: "crop" is not allowed: one of "stretch", "fit", "fill", "crop_or_pad"',
        ),
        (
            {"background_scale": [0.5, 2]},
            "background_scale: [0.5, 2] is not allowed: two numbers from 1 to 16, [least, most]",
        ),
        (
            {"background_scale": [3, 2]},
            "background_scale: [3, 2] is not allowed: two numbers from 1 to 16, [least, most]",
        ),
    ],
)
def test_options_are_checked_at_once(config, message):
    with pytest.raises(ConfigError) as caught:
        MattingHandler(config, "")
    assert str(caught.value) == message


def test_whole_floats_are_integers():
    options = MattingHandler({"trimap_width": [1.0, 2.0]}, "").resolved_config()
    assert options["trimap_width"] == [1, 2]


def test_who_makes_a_composite_makes_no_difference(raw):
    for number in range(3):
        draw_cutout(raw, f"more{number}", 40, 40)
    config = {
        "variations_per_sample": 3,
        "image_size": [40, 40],
        "rotate_degrees": 20,
        "trimap_width": [0, 9],
        "hue_degrees": 30,
    }
    handler = MattingHandler(config, str(raw))
    items, path = list(handler.plan_items("key")), raw.parent / "shard"
    handler.write_shard(items, str(path), "key")
    together = read_records(path)
    alone = []
    for item in reversed(items):
        MattingHandler(config, str(raw)).write_shard([item], str(path), "key")
        alone = [*read_records(path), *alone]
    assert alone == together
