"""Colour profiles as cameras and programs write them: what LittleCMS makes of them is made here."""

import numpy as np
from PIL import Image

from dataset_handlers.operations.color_profile import conversion_to_srgb
from tests.unit.handlers.operations.test_color_profile import by_littlecms

PHOTOS = ("classification/*/*.jpg", "coco/images/*.jpg", "portrait_*/images/*.jpg")


def test_photos_with_profiles(shared_data):
    converted = left = 0
    for path in sorted(path for pattern in PHOTOS for path in shared_data.glob(pattern)):
        with Image.open(path) as image:
            profile = image.info.get("icc_profile")
            if not profile or image.mode != "RGB":
                continue
            pixels = np.asarray(image)[..., ::-1].copy()
        conversion = conversion_to_srgb(profile)
        found = conversion.apply(pixels) if conversion else pixels
        # A profile that moves no colour by 4 steps is taken for sRGB's.
        most = 1 if conversion else 3
        assert np.abs(found - by_littlecms(pixels, profile)).max() <= most, path.name
        converted, left = converted + bool(conversion), left + (conversion is None)
    assert converted == 25 and left > 20
