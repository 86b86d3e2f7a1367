"""The handlers that ship with Datamill."""

HANDLERS = ("classification", "duts", "matting", "portrait_depth", "portrait_seg", "salicon")
