"""Dataset handlers: from raw images and annotations to TFRecord files.

`dataset_handlers.sdk` holds what a handler is made of, `dataset_handlers.operations` the image
operations; every other module is one handler.
"""

__version__ = "1.0.0"
