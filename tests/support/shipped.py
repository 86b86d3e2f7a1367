"""The handlers that ship with Datamill."""

HANDLERS = (
    "classification",
    "coco",
    "coco_clicks",
    "duts",
    "imagenet_det",
    "matting",
    "portrait_depth",
    "portrait_seg",
    "salicon",
)
