"""A reader of a dataset that knows where it is, and goes on from there in another process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from datamill.early import content_key
from datamill.order import random_seed
from datamill.position import Position, ReaderState
from datamill.reading import ReadingOptions

if TYPE_CHECKING:
    from datamill.dataset import Dataset


class Reader(ABC):
    """Gives a split epoch by epoch, in an order that seed and epoch decide.

    Each `for` over it gives what is left of the epoch; after the last record the next epoch begins.
    What was handed out counts as read, be it by `next(iter(reader))` to look at it: save the state
    after the step that used it. To be used by one thread. Subclasses say what records become.
    """

    def __init__(self, dataset: Dataset, split: str, options: ReadingOptions) -> None:
        self.dataset = dataset
        self.split = split
        self._options = options
        self._seed = random_seed() if options.seed is None else options.seed
        self._epoch = 0
        self._record = 0
        self._content_key = content_key(dataset)
        self._under_way: Iterator[tuple[Any, int]] | None = None

    def __repr__(self) -> str:
        place = f"epoch {self._epoch}, record {self._record}"
        return f"<{type(self).__name__} {self.dataset.id[:12]} {self.split}, {place}>"

    @property
    def position(self) -> Position:
        """How many records of which epoch have been handed out."""
        return Position(self._epoch, self._record)

    @property
    def epoch(self) -> int:
        """The epoch that is read, from 0."""
        return self._epoch

    @property
    def seed(self) -> int:
        """What the orders depend on."""
        return self._seed

    def __iter__(self) -> Iterator[Any]:
        """Yield the records, or batches, that are left of the epoch.

        Raises `RequestFailed`, `DownloadError`, `RecordError`; `DatamillError` for a split that
        does not exist.
        """
        while (item := self._next()) is not None:
            yield item

    def state_dict(self) -> dict[str, Any]:
        """Return position, dataset, split and order, as values that JSON knows."""
        return self._state().model_dump()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a reader was whose `state_dict` this is; batches may have another size.

        What comes next is what would have come next there. A reader that was given no seed takes
        over the state's. Raises `OtherDataset` for a position in another dataset, split or order;
        `DatamillError` for what is no state.
        """
        self._load(ReaderState.parse(state))

    def _state(self) -> ReaderState:
        return ReaderState(
            dataset_id=self.dataset.id,
            content_key=self._content_key,
            split=self.split,
            shuffle=self._options.shuffle_records,
            seed=self._seed,
            epoch=self._epoch,
            record=self._record,
        )

    def _load(self, state: ReaderState) -> None:
        state.check_goes_on(self._state(), any_seed=self._options.seed is None)
        self._seed, self._epoch, self._record = state.seed, state.epoch, state.record
        self._under_way = None

    def _next(self) -> Any:
        """Return what comes next; None at the end of the epoch."""
        if self._under_way is None:
            self._under_way = self._open()
        try:
            found = next(self._under_way, None)
        except BaseException:
            self._under_way = None  # it is over; whoever tries again goes on from the position
            raise
        if found is None:
            self._under_way = None
            self._epoch, self._record = self._epoch + 1, 0
            return None
        item, records = found
        self._record += records
        return item

    @abstractmethod
    def _open(self) -> Iterator[tuple[Any, int]]:
        """Yield records, or batches, from the position to the epoch's end, with their sizes."""
