"""How the records of a dataset are read, whatever they become."""

from __future__ import annotations

from dataclasses import dataclass

_SHUFFLE_RECORDS = 10_000


@dataclass(frozen=True)
class ReadingOptions:
    """How records become a training's input."""

    batch_size: int | None = None
    """Records per batch; None: no batches."""
    shuffle: bool | int = False
    """The shuffle buffer, in records; True: 10,000."""
    repeat: bool | int = False
    """Epochs; True: for ever."""
    streaming: bool = True
    """Whether to start on the first shards while the rest is built."""

    @property
    def shuffle_records(self) -> int:
        """The shuffle buffer's size in records; 0: none."""
        return _SHUFFLE_RECORDS if self.shuffle is True else int(self.shuffle)

    @property
    def epochs(self) -> int | None:
        """How often the records come; None: for ever."""
        return None if self.repeat is True else max(1, int(self.repeat))
