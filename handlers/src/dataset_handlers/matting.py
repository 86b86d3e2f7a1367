"""Matting: objects with their alpha, put on other backgrounds.

`fg/<name>.png`, `alpha/<name>.png` and `bg/*.jpg`; backgrounds may have any other format of images.
Sources of the layout and of what is done with it: N. Xu et al., "Deep Image Matting", CVPR 2017,
4.1 and 4.2, which puts each foreground on many backgrounds; C. Rhemann et al., "A Perceptually
Motivated Online Benchmark for Image Matting", CVPR 2009 (alphamatting.com).

A record is one composite: `variations_per_sample` says how many a foreground gets, each with
another background, as long as there are enough. Which ones depends on the item's key, `seed` and
the names in `bg` alone. Alpha, foreground and background are brought to the record's size first
and the composite is made of what they are then, so that `C = aF + (1 - a)B` holds for the record's
own values, on sRGB as it is in the files; colour options change F and B alike before, blur, noise
and compression the composite after. Foregrounds that have other colours than the object's where
alpha is 0 leave no rim: next to the object they get its colours before anything is resized.

Alpha is taken as grey, 0 to 255, whatever the file's channels are; a foreground's own transparency
is not looked at. Bad items are a foreground or alpha without its partner, an alpha of another size
than its foreground (both upright), an alpha that is 0 everywhere or has no values but 0 and 1, an
empty file in `bg`, and a foreground that got a background which can't be decoded: the reason names
it. The next one would do as well, but then nobody would ever hear of the broken file.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator

from dataset_handlers.companions import check_levels, check_size
from dataset_handlers.image_handler import ImageHandler, LastItem
from dataset_handlers.image_options import ImageOptions
from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.operations.color_order import in_order
from dataset_handlers.operations.composite import composite
from dataset_handlers.operations.decode import Reducible, decode_color, decode_opaque
from dataset_handlers.operations.encode import encode_png
from dataset_handlers.operations.resize import resize
from dataset_handlers.operations.sizing import ResizeMode, Sizing
from dataset_handlers.operations.surround import surround
from dataset_handlers.operations.trimap import trimap
from dataset_handlers.operations.zoom import random_zoom
from dataset_handlers.sdk.errors import BadItemError, NoSourceItemsError
from dataset_handlers.sdk.features import Feature, Image
from dataset_handlers.sdk.option_types import (
    SIZE_ALLOWED,
    RealNumber,
    WholeNumber,
    option,
)
from dataset_handlers.sdk.option_types import Size as SizeOption
from dataset_handlers.sdk.options import BaseOptions
from dataset_handlers.sdk.plan import random_numbers
from dataset_handlers.sdk.source import SourceItem
from dataset_handlers.sdk.source_files import (
    IMAGE_SUFFIXES,
    NOT_UTF8,
    is_portable,
    portable,
    visible_files,
)
from dataset_handlers.tone import randomly_colored

FOREGROUNDS, ALPHAS, BACKGROUNDS = "fg", "alpha", "bg"

_WIDEST_TRIMAP = 200
_Width = Annotated[WholeNumber, Field(ge=0, le=_WIDEST_TRIMAP)]
_Scale = Annotated[RealNumber, Field(ge=1, le=16)]


class MattingOptions(ImageOptions):
    """Those of all handlers of images, and how composites and trimaps are made.

    `variations_per_sample` is the number of composites per foreground. `fill` is the default: what
    `fit` leaves free around a foreground shows the background, and an object that its photograph
    cuts off ends in the middle of the record, in a straight line.
    """

    input_attributes: tuple[Literal["image", "alpha", "foreground", "trimap"], ...] = option(
        ("image", "trimap"),
        'a list of "image", "alpha", "foreground", "trimap", each once',
        min_length=1,
    )
    image_size: SizeOption | None = option((320, 320), f"null or {SIZE_ALLOWED}")
    resize_mode: ResizeMode = option("fill", 'one of "stretch", "fit", "fill", "crop_or_pad"')

    trimap_width: _Width | tuple[_Width, _Width] = option(
        10, f"an integer from 0 to {_WIDEST_TRIMAP}, or two such, [least, most]"
    )
    """How many pixels of the record the unknown band of the trimap reaches beyond what is neither
    foreground nor background, either way; of two numbers, at random from one to the other."""

    background_scale: tuple[_Scale, _Scale] = option(
        (1.0, 2.0), "two numbers from 1 to 16, [least, most]"
    )
    """How large a background is shown, at random: at 1 as small as still fills the record, at 2
    twice as large. Which part of it is shown is random, too."""

    @field_validator("trimap_width", "background_scale")
    @classmethod
    def _least_first(cls, value: Any) -> Any:
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError("not from least to most")
        return value


class _Cutout(NamedTuple):
    foreground: Pixels
    alpha: Pixels


class MattingHandler(ImageHandler):
    """A composite (JPEG), the foreground in it (JPEG), its alpha and a trimap (PNG)."""

    name: ClassVar[str] = "matting"
    layout: ClassVar[str] = (
        f"{FOREGROUNDS}/*.png and {ALPHAS}/*.png of the same names, and {BACKGROUNDS}/*.jpg"
    )
    Options: ClassVar[type[BaseOptions]] = MattingOptions
    options: MattingOptions

    def __init__(self, config: dict[str, Any], base_data_path: str) -> None:
        super().__init__(config, base_data_path)
        self._cutout = LastItem(self._load)

    def source_items(self) -> Iterator[SourceItem]:
        """Yield foregrounds with their backgrounds, and as bad items files that can't be used."""
        alphas: dict[str, list[str]] = {}
        for name in visible_files(self.base_path / ALPHAS, {".png"}):
            alphas.setdefault(PurePosixPath(name).stem, []).append(name)
        backgrounds, bad = self._list_backgrounds()
        yield from bad
        paired = set()
        for name in visible_files(self.base_path / FOREGROUNDS, {".png"}):
            stem = PurePosixPath(name).stem
            paired.add(stem)
            key = f"{FOREGROUNDS}/{portable(name)}"
            problem = _problem(name, stem, alphas.get(stem, []))
            if problem:
                yield SourceItem.bad(key, problem)
            elif not backgrounds:
                raise NoSourceItemsError(
                    f"{self.base_path / BACKGROUNDS} holds no background image that can be used"
                )
            else:
                alpha = f"{ALPHAS}/{alphas[stem][0]}"
                chosen = self._chosen(key, backgrounds)
                yield SourceItem(key, {"foreground": key, "alpha": alpha, **chosen})
        for stem in alphas.keys() - paired:
            for name in alphas[stem]:
                reason = f"an alpha without its foreground {FOREGROUNDS}/{portable(stem)}.png"
                yield SourceItem.bad(f"{ALPHAS}/{portable(name)}", reason)

    def features(self) -> dict[str, Feature]:
        """`image`: the composite, `foreground`, both RGB. `alpha`: PNG, 0 (background) to 255
        (foreground). `trimap`: PNG, 0 (background), 128 (unknown), 255 (foreground)."""
        height, width = self.options.record_size
        return {
            **self.picture_features(),
            "alpha": Image(height, width, 1, "png"),
            "foreground": Image(height, width, 3, self.options.image_encoding),
            "trimap": Image(height, width, 1, "png"),
        }

    def records(self, item: SourceItem, variation: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return one composite."""
        cutout = self._cutout(item)
        geometry = self.geometry(cutout.alpha, rng)
        width = self._trimap_width(rng)
        # The background first: it is decoded before there are more pictures to hold.
        background = self._background(item, variation, geometry.result_size, rng)
        foreground, alpha = geometry.apply(cutout.foreground), geometry.apply(cutout.alpha)
        # The same numbers for both, and before they are one: F stays what is seen where alpha is 1.
        foreground = randomly_colored(foreground, self.options, copy.deepcopy(rng))
        background = randomly_colored(background, self.options, rng, spare=True)
        image = composite(foreground, alpha, background, spare=True)
        ordered = in_order(foreground, self.options.color_order)
        return {
            **self.picture_values(image, rng, spare=True, colored=True),
            "alpha": encode_png(alpha),
            "foreground": self.encoded(ordered),
            "trimap": encode_png(trimap(alpha, width)),
        }

    def _load(self, item: SourceItem) -> _Cutout:
        max_pixels = self.options.max_pixels
        foreground = self.decoded(item, "foreground", lambda data: decode_opaque(data, max_pixels))
        alpha = self.grey(item, "alpha")
        check_size(alpha, foreground, "alpha", "foreground")
        if not alpha.pixels.any():
            raise BadItemError("the alpha is 0 everywhere: there is no foreground")
        check_levels(alpha.pixels, "alpha")
        place = self.sizing(alpha.size)
        surround(foreground.pixels, alpha.pixels, self._reach(place), spare=True)
        # Alpha has soft edges, so it is resized as pictures are; bars of `fit` have none of it.
        return _Cutout(self.sized(foreground), place.apply(alpha.pixels))

    def _reach(self, place: Sizing) -> int:
        """Return how far from the object a pixel may lie that gets mixed with one of it."""
        if place.inner == place.source and not self.options.rotate_degrees:
            return 0
        shrunk = max(math.ceil(a / b) for a, b in zip(place.source, place.inner, strict=True))
        return 2 * shrunk  # once to resize, and a pixel of what that gives to rotate

    def _list_backgrounds(self) -> tuple[list[str], list[SourceItem]]:
        usable, bad = [], []
        folder = self.base_path / BACKGROUNDS
        for name in visible_files(folder, IMAGE_SUFFIXES):
            path = f"{BACKGROUNDS}/{portable(name)}"
            if not is_portable(name):
                bad.append(SourceItem.bad(path, NOT_UTF8))
            elif not (folder / name).stat().st_size:
                bad.append(SourceItem.bad(path, "a background that is an empty file"))
            else:
                usable.append(path)
        return usable, bad

    def _chosen(self, key: str, backgrounds: list[str]) -> dict[str, str]:
        """Return the backgrounds of an item: different ones, as many as it has composites."""
        count = min(self.options.variations_per_sample, len(backgrounds))
        rng = random_numbers(f"backgrounds {self.options.seed}", key, 0)
        places = rng.choice(len(backgrounds), count, replace=False).tolist()
        return {_role(number): backgrounds[place] for number, place in enumerate(places)}

    def _background(
        self, item: SourceItem, variation: int, size: Size, rng: np.random.Generator
    ) -> Pixels:
        """Return a random part of the variation's background, in `size`."""
        scale = self.options.background_scale
        reducible = None
        if self.options.reduced_decoding:
            # Still enough pixels where the smallest part of it is shown.
            height, width = (math.ceil(side * scale[1]) for side in size)
            reducible = Reducible((height, width), "fill", exact=False)
        count = sum(role.startswith(_role("")) for role in item.files)
        path = item.files[_role(variation % count)]
        try:
            decoded = decode_color(self.read_source(path), self.options.max_pixels, reducible)
        except BadItemError as error:
            raise BadItemError(f"its background {path}: {error}") from error
        picture = decoded.pixels
        window = random_zoom((picture.shape[0], picture.shape[1]), size, scale, rng)
        return resize(window.cut(picture), size)

    def _trimap_width(self, rng: np.random.Generator) -> int:
        width = self.options.trimap_width
        return width if isinstance(width, int) else int(rng.integers(width[0], width[1] + 1))


def _role(number: object) -> str:
    return f"background {number}"


def _problem(name: str, stem: str, alphas: list[str]) -> str | None:
    """Return what the listing says against a foreground."""
    if not alphas:
        return f"a foreground without its alpha {ALPHAS}/{portable(stem)}.png"
    if len(alphas) > 1:
        return f"a foreground with {len(alphas)} alphas: {', '.join(map(portable, alphas))}"
    return None if is_portable(name) else NOT_UTF8
