"""Image operations, one per module; each takes and gives uint8 arrays and changes none in place.

What they give is the same on every processor: all of it is integer arithmetic or done by code of
libraries that is exact by design. `tests/unit/handlers/test_same_bytes_on_other_processors.py`
shows it, as far as one machine can.
"""
