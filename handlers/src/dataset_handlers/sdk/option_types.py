"""Types of option values, as they come out of JSON.

JSON has one kind of number: 1024 and 1024.0 are the same, so an integral float is an integer
here. Text is never a number, and true and false are not 1 and 0.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict


def _whole(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("not an integer")
    return value


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")
    try:
        number = float(value)
    except OverflowError as error:  # an integer of more than 308 digits
        raise ValueError("too large") from error
    if not math.isfinite(number):
        raise ValueError("not finite")
    return number


LARGEST_SIDE = 16384
"""In pixels. Rotation counts in 16-bit coordinates; a JPEG can't be larger than 65,535."""

WholeNumber = Annotated[int, BeforeValidator(_whole)]
RealNumber = Annotated[float, BeforeValidator(_real)]
Flag = Annotated[bool, Strict()]
Side = Annotated[WholeNumber, Field(ge=1, le=LARGEST_SIDE)]
Size = tuple[Side, Side]
"""`[height, width]` in pixels."""

SIZE_ALLOWED = f"two integers from 1 to {LARGEST_SIDE}, [height, width]"


def option(default: Any, allowed: str, **limits: Any) -> Any:
    """Return a pydantic field; `allowed` says in words which values it takes.

    The words end the message of the error: "batch_size: 0 is not allowed: an integer from 1".
    `limits` go to pydantic's `Field`: those of numbers and lengths, and `examples`, a list whose
    first value stands in the example of `datamill handlers show`.
    """
    return Field(default, description=allowed, **limits)
