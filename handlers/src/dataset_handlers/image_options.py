"""The options that all handlers of images share."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from dataset_handlers.operations.color_order import ColorOrder
from dataset_handlers.operations.geometry import CropPlace
from dataset_handlers.operations.sizing import ResizeMode
from dataset_handlers.sdk.option_types import (
    SIZE_ALLOWED,
    Flag,
    RealNumber,
    Size,
    WholeNumber,
    option,
)
from dataset_handlers.sdk.options import BaseOptions, impossible

_SHARE = "a number from 0 to 1"

Quality = WholeNumber
Standardize = Literal["no", "metadata", "applied"]
Encoding = Literal["jpeg", "png"]


class ImageOptions(BaseOptions):
    """Order of work: resize, rotate, crop, flip; exposure, brightness, contrast, saturation, hue,
    gamma, blur, noise, JPEG; standardise; encode."""

    image_size: Size | None = option(None, f"null or {SIZE_ALLOWED}")
    """Every image is resized to this; null keeps each one's size."""

    resize_mode: ResizeMode = option("stretch", 'one of "stretch", "fit", "fill", "crop_or_pad"')
    """How: not keeping proportions, or keeping them with bars at two sides (`fit`), or keeping them
    and cutting two sides off (`fill`), or keeping every pixel, with bars or sides cut off."""

    pad_value: WholeNumber = option(0, "an integer from 0 (black) to 255 (white)", ge=0, le=255)
    """What bars show; masks and maps have 0 there."""

    crop_size: Size | None = option(None, f"null or {SIZE_ALLOWED}")
    """The window that is cut out afterwards; null keeps the whole image."""

    random_crop_centered: Flag = option(False, "true or false")
    """Place the window at random, near the centre most often; else exactly in the centre."""

    random_crop: Flag = option(False, "true or false")
    """Place the window at random, anywhere as often."""

    rotate_degrees: RealNumber = option(0.0, "a number from 0 to 180", ge=0, le=180)
    """Rotate by a random angle of at most this, either way, with no corner left empty."""

    flip_probability: RealNumber = option(0.0, _SHARE, ge=0, le=1, examples=[0.5])
    """How often left and right are exchanged."""

    exposure: RealNumber = option(0.0, "a number from 0 to 8", ge=0, le=8)
    """Expose by a random number of stops of at most this, either way."""

    brightness: RealNumber = option(0.0, _SHARE, ge=0, le=1)
    """Multiply by a random factor from 1 - brightness to 1 + brightness."""

    contrast: RealNumber = option(0.0, _SHARE, ge=0, le=1)
    """Multiply distances from the mean by a random factor from 1 - contrast to 1 + contrast."""

    saturation: RealNumber = option(0.0, _SHARE, ge=0, le=1)
    """Multiply distances from grey by a random factor from 1 - saturation to 1 + saturation."""

    hue_degrees: RealNumber = option(0.0, "a number from 0 to 180", ge=0, le=180)
    """Turn colours by a random angle of at most this, either way."""

    gamma: RealNumber = option(0.0, "a number from 0 to 4", ge=0, le=4)
    """Raise values to a random power from 1 / (1 + gamma) to 1 + gamma."""

    blur_sigma: RealNumber = option(0.0, "a number from 0 to 50, in pixels", ge=0, le=50)
    """Blur by a random deviation of at most this."""

    noise_sigma: RealNumber = option(0.0, "a number from 0 to 128, of 255", ge=0, le=128)
    """Add noise of this deviation."""

    recompress_quality: tuple[Quality, Quality] | None = option(
        None, "null or two integers from 1 to 100, [lowest, highest]"
    )
    """Compress as JPEG by a random quality in between, before the record's own encoding."""

    standardize: Standardize = option("no", 'one of "no", "metadata", "applied"')
    """Mean 0 and deviation 1: nothing, or the record also holds the `image_mean` and
    `image_deviation` that the image had before it was encoded, or its image is float32 with that
    done."""

    color_order: ColorOrder = option("rgb", 'one of "rgb", "bgr"')
    """The order of the channels in the record."""

    image_encoding: Encoding = option("jpeg", 'one of "jpeg", "png"')
    """Of the image in the record: PNG loses nothing, and takes several times the room."""

    jpeg_quality: Quality = option(95, "an integer from 1 to 100", ge=1, le=100)
    """Quality of the image in the record on libjpeg's scale, where it is a JPEG."""

    reduced_decoding: Flag = option(True, "true or false")
    """Decode a large JPEG at 1/2, 1/4 or 1/8 of its size, where `image_size` is not larger.

    That is faster by far; pixels differ a little from those of full decoding. A picture that has a
    mask is decoded so only where its sides can be divided: then no pixel moves.
    """

    max_pixels: WholeNumber = option(200_000_000, "an integer from 1", ge=1)
    """Larger source images are refused before they are decoded."""

    @field_validator("crop_size")
    @classmethod
    def _fits(cls, crop: Size | None, info: ValidationInfo) -> Size | None:
        image = info.data.get("image_size")
        if crop and image and (crop[0] > image[0] or crop[1] > image[1]):
            raise impossible(f"it must fit into image_size, which is {list(image)}")
        return crop

    @field_validator("resize_mode")
    @classmethod
    def _resizes(cls, mode: ResizeMode, info: ValidationInfo) -> ResizeMode:
        asked_for = mode != cls.model_fields["resize_mode"].default
        if asked_for and info.data.get("image_size", mode) is None:
            raise impossible("image_size is null, so that nothing is resized")
        return mode

    @field_validator("random_crop")
    @classmethod
    def _one_place(cls, anywhere: bool, info: ValidationInfo) -> bool:
        if anywhere and info.data.get("random_crop_centered"):
            raise impossible("random_crop_centered already says where the window is")
        return anywhere

    @field_validator("recompress_quality")
    @classmethod
    def _in_order(cls, qualities: tuple[int, int] | None) -> tuple[int, int] | None:
        if qualities and not 1 <= qualities[0] <= qualities[1] <= 100:
            raise ValueError("not from lowest to highest")
        return qualities

    @field_validator("standardize")
    @classmethod
    def _has_one_size(cls, standardize: Standardize, info: ValidationInfo) -> Standardize:
        one_size = info.data.get("crop_size") or info.data.get("image_size")
        if standardize == "applied" and not one_size:
            raise impossible("its records need one size: set image_size or crop_size")
        return standardize

    @field_validator("image_encoding")
    @classmethod
    def _is_encoded(cls, encoding: Encoding, info: ValidationInfo) -> Encoding:
        if encoding == "png" and info.data.get("standardize") == "applied":
            raise impossible('with standardize "applied" records hold numbers, not a file')
        return encoding

    @property
    def record_size(self) -> tuple[int | None, int | None]:
        """Height and width of the images in records; None where each has its own."""
        return self.crop_size or self.image_size or (None, None)

    @property
    def crop_place(self) -> CropPlace:
        """Where the window of `crop_size` lies."""
        if self.random_crop:
            return "random"
        return "random_centred" if self.random_crop_centered else "centre"
