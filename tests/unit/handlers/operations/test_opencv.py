import cv2
import pytest

from dataset_handlers.operations.opencv import settle_opencv


@pytest.fixture
def unsettled():
    """OpenCV as it comes; afterwards as it was."""
    threads, ipp = cv2.getNumThreads(), cv2.ipp.useIPP()
    level = cv2.utils.logging.getLogLevel()
    cv2.setNumThreads(2)
    cv2.ipp.setUseIPP(True)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
    yield
    cv2.setNumThreads(threads)
    cv2.ipp.setUseIPP(ipp)
    cv2.utils.logging.setLogLevel(level)


def test_one_thread_and_no_code_of_one_maker(unsettled):
    settle_opencv()
    assert cv2.getNumThreads() == 1
    assert not cv2.ipp.useIPP()


def test_what_opencv_says_of_files_is_not_heard(unsettled, tmp_path, capfd):
    missing = str(tmp_path / "missing.png")
    assert cv2.imread(missing) is None
    assert "missing.png" in capfd.readouterr().err, "it has a word for it"
    settle_opencv()
    assert cv2.imread(missing) is None
    assert capfd.readouterr().err == ""
