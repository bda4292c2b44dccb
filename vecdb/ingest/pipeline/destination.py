"""Defines where records go: a database in a directory (`embedded`) or at a server (`served`).

Promises of every destination: swaps are stored in the order in which they are given, each as a whole or not at all,
and `deliver` says so only once they are on the disk. Delivering a swap again changes nothing.
Concurrency: one thread delivers; `versions` may be called by another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.types import Metadata, RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Some items' old chunks for their new ones, in one transaction. Ids to delete are none of those put.

    `completes` is what the journal is to be told once it is stored; destinations hand it back unseen.
    """

    ids: Sequence[RecordId] = ()
    vectors: NDArray[np.float32] | None = None
    metadata: Sequence[Metadata] = ()
    deletes: Sequence[RecordId] = ()
    completes: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A swap is on the disk, with this seq."""

    swap: Swap
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The collection as it was found or made: `created` now, `records` in it, `seq` of the database."""

    created: bool
    records: int
    seq: int


class Supply(Protocol):
    """Where a destination takes swaps from."""

    @property
    def is_ended(self) -> bool:
        """True when no more will come."""

    def take(self, timeout_s: float) -> Swap | None:
        """The next swap, waiting for it so long at most; None when there is none yet, or none any more."""


class Destination(Protocol):
    """A field of a collection that is kept true to its sources."""

    @property
    def collection(self) -> str:
        """Name of the collection, for messages."""

    @property
    def uuid(self) -> str:
        """Identity of the database, once it is prepared: another one is empty as far as a journal is concerned."""

    def model(self) -> ModelFingerprint | None:
        """The model that the field's vectors are of; None where none is stored, or there is no collection yet."""

    def exists(self) -> bool:
        """Whether there is such a collection. Nothing is made."""

    def prepare(self, fingerprint: ModelFingerprint) -> Prepared:
        """Make the collection, or check that its vectors are of this model (ModelMismatchError)."""

    def deliver(self, supply: Supply, acknowledged: Callable[[Acknowledged], None]) -> None:
        """Store what `supply` gives until it is ended, and tell of each once it is stored.

        Errors end the delivery; what was not acknowledged until then may be stored or not.
        """

    def versions(self, ids: Sequence[RecordId]) -> dict[RecordId, int]:
        """Versions of those records that are stored."""

    def close(self) -> None:
        """Give the database back."""
