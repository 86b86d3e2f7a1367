"""Where a reader is, in a form that goes into a training's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datamill.errors import DatamillError, OtherDataset

_Count = Annotated[int, Field(ge=0)]


class Position(NamedTuple):
    """A place in a training: how many records of which epoch have been handed out."""

    epoch: int
    """From 0."""
    record: int
    """Of this epoch, in its order; batches may have another size after a restart."""


class ReaderState(BaseModel):
    """A position, and what it is a position in."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    dataset_id: str
    content_key: str | None
    """What the dataset was made from; None where that was not known yet."""
    split: str
    shuffle: _Count
    """The shuffle buffer, in records; 0: none."""
    seed: _Count
    epoch: _Count
    record: _Count

    @classmethod
    def parse(cls, state: Mapping[str, Any] | str | bytes) -> ReaderState:
        """Return what a checkpoint holds, a mapping or JSON; raise `DatamillError`."""
        try:
            if isinstance(state, str | bytes):
                return cls.model_validate_json(state)
            return cls.model_validate(dict(state))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "it"
            raise DatamillError(f"this is no reader's state: {place}: {first['msg']}") from error

    def check_goes_on(self, reader: ReaderState, any_seed: bool) -> None:
        """Raise `OtherDataset` unless this is a position in what a reader reads, in its order."""
        if self.dataset_id != reader.dataset_id:
            raise OtherDataset(
                f"the checkpoint is of dataset {self.dataset_id}, and this reader reads "
                f"{reader.dataset_id}: ask for the same dataset, or begin a new training"
            )
        for name in ("split", "shuffle") if any_seed else ("split", "shuffle", "seed"):
            saved, given = getattr(self, name), getattr(reader, name)
            if saved != given:
                raise OtherDataset(
                    f"the checkpoint's {name} is {saved!r}, and this reader's {given!r}: "
                    "other records would come than those that would have come"
                )
        if None not in (self.content_key, reader.content_key):
            self._check_content(str(reader.content_key))

    def _check_content(self, content_key: str) -> None:
        if self.content_key != content_key:
            raise OtherDataset(
                f"dataset {self.dataset_id} was built anew from other raw data since the "
                f"checkpoint: it was {self.content_key}, and is {content_key}; "
                "begin a new training, or leave the reader out of the checkpoint"
            )
