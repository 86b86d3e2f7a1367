"""The options that all handlers of images share."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator

from dataset_handlers.sdk.option_types import (
    SIZE_ALLOWED,
    Flag,
    RealNumber,
    Size,
    WholeNumber,
    option,
)
from dataset_handlers.sdk.options import BaseOptions, impossible


class ImageOptions(BaseOptions):
    """Order of work: resize, rotate, crop, flip, brightness, encode."""

    image_size: Size | None = option(None, f"null or {SIZE_ALLOWED}")
    """Every image is resized to this, its proportions not kept; null keeps each one's size."""

    crop_size: Size | None = option(None, f"null or {SIZE_ALLOWED}")
    """The window that is cut out afterwards; null keeps the whole image."""

    random_crop_centered: Flag = option(False, "true or false")
    """Place the window at random, near the centre most often; else exactly in the centre."""

    rotate_degrees: RealNumber = option(0.0, "a number from 0 to 180", ge=0, le=180)
    """Rotate by a random angle of at most this, either way."""

    flip_probability: RealNumber = option(0.0, "a number from 0 to 1", ge=0, le=1)
    """How often left and right are exchanged."""

    brightness: RealNumber = option(0.0, "a number from 0 to 1", ge=0, le=1)
    """Multiply by a random factor from 1 - brightness to 1 + brightness."""

    jpeg_quality: WholeNumber = option(95, "an integer from 1 to 100", ge=1, le=100)
    """Quality on libjpeg's scale."""

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

    @property
    def record_size(self) -> tuple[int | None, int | None]:
        """Height and width of the images in records; None where each has its own."""
        return self.crop_size or self.image_size or (None, None)
