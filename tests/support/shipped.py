"""The handlers that ship with Datamill."""

HANDLERS = (
    "classification",
    "duts",
    "imagenet_det",
    "matting",
    "portrait_depth",
    "portrait_seg",
    "salicon",
)
