"""What lies on a picture pixel by pixel: its mask, map, alpha or depth map.

Both are taken upright, each by its own EXIF orientation. Tools that export masks often leave the
orientation out and the pixels as the camera stored them; where that shows, the reason says so.
"""

from __future__ import annotations

from dataset_handlers.operations.arrays import Pixels, Size
from dataset_handlers.operations.decode import Decoded
from dataset_handlers.sdk.errors import BadItemError


def check_size(companion: Decoded, picture: Decoded, role: str, of: str = "image") -> None:
    """Raise `BadItemError` where a companion, as in "mask", has another size than its picture."""
    if companion.size == picture.size:
        return
    why = ""
    if companion.size == picture.size[::-1] and companion.turned != picture.turned:
        turned, other = (of, role) if picture.turned else (role, of)
        why = f": the {turned} is turned by its EXIF orientation, the {other} is not"
    sizes = f"the {role} is {list(companion.size)}, its {of} {list(picture.size)}"
    raise BadItemError(sizes + why)


def check_annotated_size(told: Size, picture: Decoded) -> None:
    """Raise `BadItemError` where an annotation is of another size than its picture, upright."""
    if told == picture.size:
        return
    why = ""
    if told == picture.size[::-1] and picture.turned:
        why = ": the image is turned by its EXIF orientation, its annotation is not"
    sizes = f"the annotation is of an image of {list(told)}, it is {list(picture.size)}"
    raise BadItemError(sizes + why)


def check_levels(levels: Pixels, role: str) -> None:
    """Raise `BadItemError` for levels, 0 to 255, that are none: ids of classes, say."""
    if levels.max() == 1:
        raise BadItemError(f"the {role} is all but black: its values are 0 and 1, not 0 to 255")
