"""The order in which a reader takes records: by seed and epoch alone, to be gone on with.

Records are numbers here: what comes at any place of an epoch is known without reading any.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from datamill.split_records import SplitRecords


def random_seed() -> int:
    """Return a seed that no other run has; JSON keeps it whole (RFC 8259, section 6)."""
    return random.SystemRandom().getrandbits(53)


def epoch_order(
    records: SplitRecords, shuffle_records: int, seed: int, epoch: int, begin: int = 0
) -> Iterator[int | None]:
    """Yield the numbers of a split's records in an epoch's order, from one place in it on.

    None stands for a wait for the build. `shuffle_records`: the buffer's size; 0: no shuffling.
    """
    if not shuffle_records:
        return records.numbers(begin)
    # Python promises the same numbers from `random()` in every version, NumPy does not (NEP 19).
    dice = random.Random(f"{seed}:{epoch}")
    return _without_first(begin, shuffled(records.numbers(), shuffle_records, dice))


def shuffled(numbers: Iterator[int | None], size: int, dice: random.Random) -> Iterator[int | None]:
    """Yield a random one of the next `size`, as `tf.data` does. None is passed on at once."""
    buffer: list[int] = []
    for number in numbers:
        if number is None:
            yield None
        elif len(buffer) < size:
            buffer.append(number)
        else:
            place = int(dice.random() * size)
            yield buffer[place]
            buffer[place] = number
    while buffer:
        place = int(dice.random() * len(buffer))
        buffer[place], buffer[-1] = buffer[-1], buffer[place]
        yield buffer.pop()


def _without_first(count: int, numbers: Iterator[int | None]) -> Iterator[int | None]:
    for number in numbers:
        if count and number is not None:
            count -= 1
        else:
            yield number
