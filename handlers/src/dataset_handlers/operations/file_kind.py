"""What a file is that is no image: for the reason that people read."""

from __future__ import annotations

_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for"),
    (b"<", "a page of HTML or XML, not an image"),
    (b"%PDF", "a PDF document, not an image"),
    (b"PK\x03\x04", "a zip archive, not an image"),
    (b"\xff\xd8", "a JPEG cut off in its header"),
    (b"\x89PNG", "a PNG cut off in its header"),
)
_LONGEST = 512


def describe_other_file(data: bytes) -> str:
    """Return in a few words what a file seems to be that Pillow knows no format for."""
    start = data[:_LONGEST].lstrip()
    if not data:
        return "the file is empty"
    if data[4:8] == b"ftyp":
        return "HEIC, AVIF or a video, none of which is read"
    for signature, words in _STARTS:
        if start.startswith(signature):
            return words
    return "none of the formats that are read: JPEG, PNG, GIF, BMP, TIFF, WebP"
