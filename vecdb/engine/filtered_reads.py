"""Pages through the records that a filter matches, in id order or in the order of an indexed path.

A cursor names the last record returned by its place in the order, never by a position, so that records which exist
during the whole scroll, unchanged, appear exactly once whatever is written meanwhile.
Promises: pages are of the View's seq. Concurrency: as `filtering`; ids and records are read under the View's lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import numpy.typing as npt

from vecdb.engine import bitmap
from vecdb.engine.records import Decode, fetch_records, ids_after, read_stored, with_vectors_of
from vecdb.engine.terms import TermOrder, TermReader, term_order
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
SORTING: Final = 2
"""Ids are sorted where that takes less than so many times what a walk over all ids to the end of the page is expected
to take: to read the id of a match takes 2 µs, to walk past an id 1 µs, and a walk may have to pass many first."""

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
    if _is_walked(collection, matches.count, limit + 1):
        taken = _walked_ids(view, collection, matches.words, start, limit + 1)
    else:
        taken = _sorted_ids(view, collection, matches.slots(), start, limit + 1)
    last = Place(taken[limit - 1][0]) if len(taken) > limit else None
    return _records(view, collection, [slot for _, slot in taken[:limit]], decode, with_vectors=with_vectors), last


def _records(
    view: View, collection: CollectionView, slots: list[int], decode: Decode, *, with_vectors: bool
) -> list[Record]:
    wanted = np.array(slots, dtype=np.uint32)
    with view.lock:
        found = fetch_records(view, collection.schema.number, wanted, decode)
    return with_vectors_of(collection, wanted, found) if with_vectors else found


def _is_walked(collection: CollectionView, count: int, limit: int) -> bool:
    """Whether the first `limit` of so many records are found by a walk over all ids, rather than by sorting theirs."""
    return count * count > SORTING * limit * collection.state.live


def _first_ids(
    view: View, collection: CollectionView, slots: Slots, after: bytes | None, limit: int
) -> list[tuple[bytes, int]]:
    """Smallest id keys beyond `after` among some slots, with their slots."""
    if not _is_walked(collection, len(slots), limit):
        return _sorted_ids(view, collection, slots, after, limit)
    nowhere = np.zeros(bitmap.words_for(collection.state.next_slot), dtype=np.uint64)
    return _walked_ids(view, collection, bitmap.with_bits(nowhere, slots), after, limit)


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
    taken: list[tuple[int | None, bytes, int]] = []
    if after is None or after.key is not None:
        taken += _valued_after(view, collection, ranked, after, limit + 1)
    if len(taken) <= limit:
        start = after.id_key if after is not None and after.key is None else None
        rest = _first_ids(view, collection, ranked.others, start, limit + 1 - len(taken))
        taken += [(None, *pair) for pair in rest]
    last = None
    if len(taken) > limit:
        rank, id_key, _ = taken[limit - 1]
        last = Place(id_key, None if rank is None else ranked.key(rank))
    return _records(view, collection, [slot for _, _, slot in taken[:limit]], decode, with_vectors=with_vectors), last


@dataclass(frozen=True, slots=True)
class Ranked:
    """Matches that have a value, with a number that ascends in the wanted order, and those that have none.

    `words` when the numbers count the strs of a keyword index.
    """

    slots: Slots
    ranks: Keys
    others: Slots
    words: Words | None
    descending: bool

    def border(self, key: int | str, id_key: bytes) -> tuple[int, bytes | None]:
        """The rank of a cursor's value, and the id key that records of this rank beyond it are greater than."""
        if isinstance(key, str) is (self.words is None):
            raise InvalidRequestError(
                "the cursor is of a page in another order; continue with the order_by that it came from, or begin anew"
            )
        if self.words is None:
            count = int(key)
        else:
            count = self.words.order.before(self.words.terms, str(key))
            if count == len(self.words.order.codes) or self.words.text(count) != key:
                # An index made anew since then may lack the str: then all that come after it are beyond the cursor.
                return (-count if self.descending else count), None
        return (~count if self.descending else count), id_key

    def key(self, rank: int) -> int | str:
        """The value that a number stands for: a cursor keeps it, for numbers of strs change with the strs there are."""
        count = ~rank if self.descending else rank
        return count if self.words is None else self.words.text(count)


@dataclass(frozen=True, slots=True)
class Words:
    """The strs of a keyword index in code point order."""

    terms: TermReader
    order: TermOrder

    def text(self, place: int) -> str:
        """The str at a place."""
        return self.terms.text(int(self.order.codes[place]))


def _ranked(view: View, collection: CollectionView, order: Order, slots: Slots) -> Ranked:
    """Look the values of slots up. Of a list, the element that comes first in the order counts."""
    index, words = order.index, None
    if index.state.kind == "keyword":
        terms = TermReader(view.txn, view.lock, collection.schema.number, index.state.number)
        words = Words(terms, term_order(terms, index.state.next_code, index.orders))
    found, states = index.tables[0].gather(slots)
    has, lists = states == SCALAR, np.flatnonzero(states == LIST)
    elements, starts = index.tables[0].lists(slots[lists])
    if words is not None:
        found[has], elements = words.order.places[found[has]], words.order.places[elements].astype(np.int64)
    filled = np.diff(starts) > 0
    if filled.any():
        first_of = np.maximum if order.descending else np.minimum
        found[lists[filled]] = first_of.reduceat(elements, starts[:-1][filled])
        has[lists[filled]] = True
    ranks = ~found if order.descending else found  # unlike a minus, ~ turns every int64 around
    return Ranked(slots[has], ranks[has], slots[~has], words, order.descending)


def _valued_after(
    view: View, collection: CollectionView, ranked: Ranked, after: Place | None, limit: int
) -> list[tuple[int, bytes, int]]:
    """Rank, id key and slot of the first places beyond `after`; equal values are in id order.

    Those that share the value of the page's first or last may be many: of these no more ids are read than it takes.
    """
    slots, ranks = ranked.slots, ranked.ranks
    taken: list[tuple[int, bytes, int]] = []
    if after is not None and after.key is not None:
        border, start = ranked.border(after.key, after.id_key)
        same = _first_ids(view, collection, slots[ranks == border], start, limit)
        taken = [(border, id_key, slot) for id_key, slot in same]
        slots, ranks = slots[ranks > border], ranks[ranks > border]
    left, tied = limit - len(taken), slots[:0]
    if left <= 0:
        return taken
    if len(ranks) > left:
        last = np.partition(ranks, left - 1)[left - 1]
        tied = slots[ranks == last]
        slots, ranks = slots[ranks < last], ranks[ranks < last]
    taken += sorted(zip(ranks.tolist(), _id_keys(view, collection, slots), slots.tolist(), strict=True))
    if len(tied):
        of_last = _first_ids(view, collection, tied, None, limit - len(taken))
        taken += [(int(last), id_key, slot) for id_key, slot in of_last]
    return taken
