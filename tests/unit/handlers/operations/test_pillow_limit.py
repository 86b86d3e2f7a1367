import pytest
from PIL import Image

from dataset_handlers.operations.pillow_limit import without_pillow_limit


@pytest.fixture
def limit(monkeypatch) -> int:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    return 10


@pytest.fixture
def large(tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (21, 1)).save(path)  # more than twice the limit, where Pillow refuses
    return path


def test_pillow_opens_what_it_refuses_otherwise(limit, large):
    with pytest.raises(Image.DecompressionBombError):
        Image.open(large)
    with without_pillow_limit(), Image.open(large) as image:
        assert image.size == (21, 1)


def test_its_limit_is_back_afterwards(limit, large):
    with without_pillow_limit():
        pass
    assert limit == Image.MAX_IMAGE_PIXELS
    with pytest.raises(Image.DecompressionBombError):
        Image.open(large)


def test_its_limit_is_back_after_an_error(limit):
    with pytest.raises(OSError, match="broken"), without_pillow_limit():
        raise OSError("broken")
    assert limit == Image.MAX_IMAGE_PIXELS
