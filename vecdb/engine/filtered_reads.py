"""Pages through the records that a filter matches, in id order or in the order of an indexed path.

A cursor names the last record returned by its place in the order, never by a position, so that records which exist
during the whole scroll, unchanged, appear exactly once whatever is written meanwhile.
Promises: pages are of the View's seq. Concurrency: as `filtering`; ids and records are read under the View's lock.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.engine import bitmap
from vecdb.engine.records import Decode, fetch_records, ids_after, read_stored, with_vectors_of
from vecdb.engine.terms import TermReader
from vecdb.errors import InvalidRequestError
from vecdb.storage import codec, keys
from vecdb.storage.blocks import LIST, SCALAR

if TYPE_CHECKING:
    from vecdb.engine.filtering import Matches
    from vecdb.engine.index_view import IndexView
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView, View
    from vecdb.types import Record

ORDERED: Final = ("keyword", "int", "float", "bool", "datetime")
SPARSE: Final = 16
"""A filter that keeps fewer than one record in so many is paged by sorting its ids, others by walking over all ids."""

Keys = npt.NDArray[np.int64]


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ends: the id key of its last record, and in an order by path the key it has there (None: none)."""

    id_key: bytes
    key: int | str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An order by the values of an index; records without one come last, in id order."""

    index: IndexView
    descending: bool


def order_by(collection: CollectionView, path: str, *, descending: bool) -> Order:
    """The order of an indexed path. InvalidRequestError when no index of the path has one."""
    for index in collection.indexes:
        if index.state.path == path and index.state.kind in ORDERED:
            return Order(index, descending)
    raise InvalidRequestError(
        f"order_by is {path!r:.80}, which has no ready index to sort by; create_index({path!r:.80}, kind) with one of "
        f"the kinds {', '.join(ORDERED)}",
        path=path,
    )


def filtered_page(
    view: View,
    collection: CollectionView,
    matches: Matches,
    after: Place | None,
    limit: int,
    decode: Decode,
    *,
    with_vectors: bool,
) -> tuple[list[Record], Place | None]:
    """Up to `limit` matching records after a place in id order, and the place to continue from (None at the end)."""
    start = None if after is None else after.id_key
    if matches.count * SPARSE < collection.state.live:
        taken = _sorted_ids(view, collection, matches.slots(), start, limit + 1)
    else:
        taken = _walked_ids(view, collection, matches.words, start, limit + 1)
    last = Place(taken[limit - 1][0]) if len(taken) > limit else None
    return _records(view, collection, [slot for _, slot in taken[:limit]], decode, with_vectors=with_vectors), last


def _records(
    view: View, collection: CollectionView, slots: list[int], decode: Decode, *, with_vectors: bool
) -> list[Record]:
    wanted = np.array(slots, dtype=np.uint32)
    with view.lock:
        found = fetch_records(view, collection.schema.number, wanted, decode)
    return with_vectors_of(collection, wanted, found) if with_vectors else found


def _sorted_ids(
    view: View, collection: CollectionView, slots: Slots, after: bytes | None, limit: int
) -> list[tuple[bytes, int]]:
    """Smallest id keys beyond `after` among a few slots, with their slots."""
    named = zip(_id_keys(view, collection, slots), slots.tolist(), strict=True)
    return sorted(pair for pair in named if after is None or pair[0] > after)[:limit]


def _id_keys(view: View, collection: CollectionView, slots: Slots) -> list[bytes]:
    return list(map(keys.id_key, read_stored(view, collection, slots, codec.decode_record_ids)))


def _walked_ids(
    view: View, collection: CollectionView, words: bitmap.Words, after: bytes | None, limit: int
) -> list[tuple[bytes, int]]:
    """Id keys beyond `after` in order, of matching records only."""
    bits, taken = words.tobytes(), list[tuple[bytes, int]]()
    with view.lock:
        for id_key, slot in ids_after(view, collection, after):
            if slot >> 3 < len(bits) and bits[slot >> 3] >> (slot & 7) & 1:
                taken.append((id_key, slot))
                if len(taken) == limit:
                    break
    return taken


# --- in the order of a path -------------------------------------------------------------------------------------------


def ordered_page(
    view: View,
    collection: CollectionView,
    matches: Matches,
    order: Order,
    after: Place | None,
    limit: int,
    decode: Decode,
    *,
    with_vectors: bool,
) -> tuple[list[Record], Place | None]:
    """As `filtered_page`, in the order of an index. Cost: a key for each match, and a sort of those that remain."""
    ranked = _ranked(view, collection, order, matches.slots())
    taken: list[tuple[Place, int]] = []
    if after is None or after.key is not None:
        taken = _valued_after(view, collection, ranked, after, limit + 1)
    if len(taken) <= limit:
        start = after.id_key if after is not None and after.key is None else None
        rest = _sorted_ids(view, collection, ranked.others, start, limit + 1 - len(taken))
        taken += [(Place(id_key), slot) for id_key, slot in rest]
    last = taken[limit - 1][0] if len(taken) > limit else None
    return _records(view, collection, [slot for _, slot in taken[:limit]], decode, with_vectors=with_vectors), last


@dataclass(frozen=True, slots=True)
class Ranked:
    """Matches that have a value, with a number that ascends in the wanted order, and those that have none.

    `terms` are the strs that the numbers of a keyword index count, in the wanted order.
    """

    slots: Slots
    ranks: Keys
    others: Slots
    terms: list[str] | None
    descending: bool

    def rank(self, key: int | str) -> int:
        """Number of the value at which a cursor stands."""
        if self.terms is not None:
            count = bisect_left(self.terms, str(key))
            return ~count if self.descending else count
        return ~int(key) if self.descending else int(key)

    def key(self, rank: int) -> int | str:
        """The value that a number stands for: a cursor keeps it, for numbers of strs change with the strs there are."""
        count = ~rank if self.descending else rank
        return count if self.terms is None else self.terms[count]


def _ranked(view: View, collection: CollectionView, order: Order, slots: Slots) -> Ranked:
    """Look the values of slots up. Of a list, the element that comes first in the order counts."""
    table = order.index.tables[0]
    terms, places = None, None
    if order.index.state.kind == "keyword":
        terms, places = _places_of_codes(view, collection, order)
    found, states = table.gather(slots)
    has = states == SCALAR
    if places is not None:
        found = np.where(has, places[np.minimum(found, len(places) - 1)], 0)
    for position in np.flatnonzero(states == LIST).tolist():
        elements = table.list_keys(int(slots[position]))
        if len(elements):
            values = elements if places is None else places[elements]
            found[position], has[position] = values.max() if order.descending else values.min(), True
    ranks = ~found if order.descending else found  # unlike a minus, ~ turns every int64 around
    return Ranked(slots[has], ranks[has], slots[~has], terms, order.descending)


def _places_of_codes(view: View, collection: CollectionView, order: Order) -> tuple[list[str], Keys]:
    """All terms in code point order, and the place of each code among them."""
    listed = TermReader(view.txn, view.lock, collection.schema.number, order.index.state.number).terms()
    places = np.zeros(max((code for _, code in listed), default=0) + 1, dtype=np.int64)
    places[[code for _, code in listed]] = np.arange(len(listed))
    return [term for term, _ in listed], places


def _valued_after(
    view: View, collection: CollectionView, ranked: Ranked, after: Place | None, limit: int
) -> list[tuple[Place, int]]:
    """The first places beyond `after`, with their slots; equal values are in id order.

    Ids are read of the records that may be on the page: of its own, and of those equal to its first and its last.
    """
    slots, ranks = ranked.slots, ranked.ranks
    border = None if after is None or after.key is None else ranked.rank(after.key)
    if border is not None:
        slots, ranks = slots[ranks >= border], ranks[ranks >= border]
    wanted = limit + (0 if border is None else int((ranks == border).sum()))
    if len(ranks) > wanted:
        near = ranks <= np.partition(ranks, wanted - 1)[wanted - 1]
        slots, ranks = slots[near], ranks[near]
    listed = sorted(zip(ranks.tolist(), _id_keys(view, collection, slots), slots.tolist(), strict=True))
    if border is not None and after is not None:
        listed = [one for one in listed if one[:2] > (border, after.id_key)]
    return [(Place(id_key, ranked.key(rank)), slot) for rank, id_key, slot in listed[:limit]]
