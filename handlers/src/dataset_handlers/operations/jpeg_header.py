"""The size of a plain JPEG, from its header: what most photographs of a dataset are.

Pillow reads the same and much more, in Python as well, and takes a twentieth of the time that
decoding takes. So whatever is not plain here is left to it. Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

from dataset_handlers.operations.arrays import Size

_START = b"\xff\xd8"
_SCAN = 0xDA
# Baseline, extended sequential, progressive: of 8 bits, with one colour component or three.
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_FRAME_BYTES = {1: 11, 3: 17}
_TABLES, _QUANTISATION = frozenset({0xC4, 0xDD}), 0xDB
_QUANTISATION_BYTES = 65
# No APP1: EXIF may say that the picture is to be turned.
_JFIF, _APP2, _ADOBE, _COMMENT = 0xE0, 0xE2, 0xEE, 0xFE
_SKIPPED = _TABLES | {_JFIF, _APP2, _ADOBE, _COMMENT}
_SEVERAL_PICTURES, _PROFILE = b"MPF\0", b"ICC_PROFILE\0"


def plain_jpeg_size(data: bytes) -> Size | None:
    """Return `(height, width)` of a JPEG that OpenCV decodes as Pillow does; else None.

    None also where the header has anything that is not in the ordinary way of things.
    """
    if not data.startswith(_START):
        return None
    size: Size | None = None
    at = len(_START)
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        body = data[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2:
            return None
        if marker == _SCAN:
            return size
        if not _is_plain(marker, body):
            return None
        if marker in _FRAMES:
            if size is not None:
                return None
            size = body[1] << 8 | body[2], body[3] << 8 | body[4]
        at += 2 + length
    return None


def _is_plain(marker: int, body: bytes) -> bool:
    if marker in _FRAMES:
        whole = len(body) > 5 and len(body) == _FRAME_BYTES.get(body[5], 0) - 2
        return whole and body[0] == 8 and any(body[1:3]) and any(body[3:5])
    if marker == _QUANTISATION:
        # Of 8 bits each; others are left to Pillow.
        return len(body) % _QUANTISATION_BYTES == 0 and not body[0] & 0xF0 if body else False
    return marker in _SKIPPED and not body.startswith((_SEVERAL_PICTURES, _PROFILE))
