"""How OpenCV is set up in a process that writes shards."""

from __future__ import annotations

import cv2


def settle_opencv() -> None:
    """Give OpenCV one thread, and no code that only some processors have.

    One process per core is the builder's business. IPP picks other arithmetic on Intel
    processors than OpenCV has elsewhere. What OpenCV logs about broken files is in the errors.
    """
    cv2.setNumThreads(1)
    cv2.ipp.setUseIPP(False)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
