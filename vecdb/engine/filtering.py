"""Finds the records that a filter matches: indexes first, and the records themselves where no index answers.

The result is a bitmap over slots, so its count is exact and a search needs to ask nothing else of a row.
Promises: the answer is that of looking at every live record of the View. A condition without an index is looked at in
the records that the others leave, once for all such conditions; `strict` refuses it instead.
Concurrency: any number of threads; reading records takes the View's lock for SCAN_RECORDS at a time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from vecdb.config import FILTER_CACHE_BYTES_MAX
from vecdb.engine import bitmap, clock
from vecdb.engine.config import REMEMBERED_BYTES
from vecdb.engine.index_answers import answer
from vecdb.engine.index_values import LEAST_KEY
from vecdb.engine.index_view import block_count
from vecdb.engine.records import read_stored
from vecdb.engine.terms import TermReader
from vecdb.errors import UnindexedFilterError
from vecdb.filters.nodes import And, Compare, Filter, HasId, HasVector, Not, Or, Slice
from vecdb.filters.predicate import in_slice, is_metadata_only, metadata_predicate, plain
from vecdb.index.columns import slots_of_bits
from vecdb.kernels.layout import BLOCK_WORDS
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table
from vecdb.types import FilterStep

if TYPE_CHECKING:
    from vecdb.engine.effort import SearchEffort
    from vecdb.engine.gathering import CopyRoom
    from vecdb.engine.index_view import IndexView
    from vecdb.engine.planner import Choice
    from vecdb.engine.quick_search import Asked, QuickSearch
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView, View
    from vecdb.index.filtered import GivenRows, SketchBlocks

KEY_LETTERS: Final = 512
"""A filter printed in no more is remembered by that, others by a digest of it."""

KEY_BYTES: Final = 32
"""Bytes of a digest: no two filters have the same."""

Words = bitmap.Words
FilterKey: TypeAlias = str | bytes | tuple[object, ...]


@dataclass(slots=True)
class PlaceMatches:
    """What a search has found out about the matches in one segment (or tail), for the next one with the same filter."""

    estimated: int
    given: GivenRows | None = None
    blocks: SketchBlocks | None = None
    choices: dict[tuple[int, SearchEffort, bool], Choice] = field(default_factory=dict)
    trusted: set[tuple[int, SearchEffort]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Matches:
    """The live slots that a filter matches, how many, and how they were found; `remembered`: for an earlier search.

    `places`, by field and segment number (-1: tail), and `prepared` (see `quick_search`) grow with the searches, as far
    as `room` allows copies. What is in them changes answers only in that a scan of copied sketches rounds differently,
    and that lean walks may be taken.
    """

    words: Words
    count: int
    steps: tuple[FilterStep, ...]
    remembered: bool = False
    room: CopyRoom | None = field(default=None, compare=False, repr=False)
    places: dict[tuple[int, int], PlaceMatches] = field(default_factory=dict, compare=False, repr=False)
    prepared: dict[Asked, QuickSearch] = field(default_factory=dict, compare=False, repr=False)
    address: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", self.words.ctypes.data)

    def slots(self) -> Slots:
        """The matching slots, ascending."""
        return slots_of_bits(self.words)


def matching(view: View, collection: CollectionView, wanted: Filter, *, strict: bool = False) -> Matches:
    """Return what a filter matches in a collection. The View remembers it for the next search with the same filter.

    UnindexedFilterError under `strict` when some condition has no index.
    """
    key = filter_key(wanted)
    known = collection.remembered.get(key)
    if known is None or strict:
        evaluator = Evaluator(view, collection, strict)
        words = evaluator.bits(plain(wanted), live_words(collection))
        known = Matches(words, bitmap.count(words), tuple(evaluator.steps))
        if (len(collection.remembered) + 1) * (words.nbytes + REMEMBERED_BYTES) <= FILTER_CACHE_BYTES_MAX:
            known = replace(known, room=collection.room)
            collection.remembered[key] = replace(known, steps=(), remembered=True)
    return known


def filter_key(wanted: Filter) -> FilterKey:
    """What a filter is remembered by: not itself, for True, 1 and 1.0 are equal to Python, not to a filter.

    That is how it is printed, or a digest where that is long: thousands of ids are. The commonest kind is spelled out:
    to print it would take longer than many a search.
    """
    if type(wanted) is Compare and not (isinstance(wanted.value, str) and len(wanted.value) > KEY_LETTERS):
        value = wanted.value
        return wanted.path, wanted.op, value, type(value)
    text = str(wanted)
    return text if len(text) <= KEY_LETTERS else hashlib.blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def visible(view: View, collection: CollectionView, wanted: Filter | None, *, strict: bool = False) -> Matches | None:
    """What a read may return: the matches of a filter, or all, less what has expired. None: every live record."""
    found = None if wanted is None else matching(view, collection, wanted, strict=strict)
    if collection.expiry is None:
        return found
    words = live_words(collection) if found is None else found.words
    expired = collection.expiry.match_range(LEAST_KEY, clock.now_micros(), words)
    if not expired.any():
        return found
    words = words & ~expired
    return Matches(words, bitmap.count(words), () if found is None else found.steps)


def live_words(collection: CollectionView) -> Words:
    """A bit for each live slot, in as many words as the blocks of an index have."""
    next_slot = collection.state.next_slot
    words = np.zeros(block_count(next_slot) * BLOCK_WORDS, dtype=np.uint64)
    full = next_slot >> 6
    words[:full] = ~np.uint64(0)
    if next_slot & 63:
        words[full] = np.uint64((1 << (next_slot & 63)) - 1)
    dead = collection.dead[: len(words)]
    words[: len(dead)] &= ~dead
    return words


@dataclass(slots=True)
class Evaluator:
    """One evaluation of one filter; `steps` tells what was done."""

    view: View
    collection: CollectionView
    strict: bool
    steps: list[FilterStep] = field(default_factory=list)

    def bits(self, node: Filter, candidates: Words) -> Words:
        """Those of the candidates that a filter (see `plain`) matches."""
        if isinstance(node, And):
            for part in self._ordered(node.parts, And):
                if not candidates.any():
                    break
                candidates = self.bits(part, candidates)
            return candidates
        if isinstance(node, Or):
            found = np.zeros_like(candidates)
            for part in self._ordered(node.parts, Or):
                found |= self.bits(part, candidates & ~found)
            return found
        if isinstance(node, Not):
            return candidates & ~self.bits(node.part, candidates)
        begin = time.perf_counter()
        found, how = self._leaf(node, candidates)
        self._note(node, how, found, begin)
        return found

    def _note(self, node: Filter, how: str, found: Words, begin: float) -> None:
        taken = 1e6 * (time.perf_counter() - begin)
        self.steps.append(FilterStep(str(node), how, bitmap.count(found), taken))

    def _ordered(self, parts: Sequence[Filter], join: type[And | Or]) -> Iterator[Filter]:
        """Cheap parts first; those that need records last, and as one."""
        scanned, others = list[Filter](), list[Filter]()
        for part in parts:
            (scanned if self._needs_records(part) else others).append(part)
        yield from sorted(others, key=_cost)
        if len(scanned) == 1:
            yield scanned[0]
        elif scanned:
            yield _Scanned(join(tuple(scanned)))

    def _needs_records(self, node: Filter) -> bool:
        """Whether no part of a filter on metadata has an index."""
        return is_metadata_only(node) and not any(self._indexes(leaf) for leaf in _leaves(node))

    def _indexes(self, leaf: Filter) -> list[IndexView]:
        path = getattr(leaf, "path", None)
        return [index for index in self.collection.indexes if index.state.path == path]

    def _leaf(self, node: Filter, candidates: Words) -> tuple[Words, str]:
        if isinstance(node, _Scanned):
            return self._scan(node.filter, candidates)
        if isinstance(node, HasId):
            return self._ids(node, candidates), "ids"
        if isinstance(node, HasVector):
            return self._field(node, candidates), "rows of the field"
        if isinstance(node, Slice):
            return self._slice(node, candidates), f"ids of {bitmap.count(candidates):,} records"
        for index in self._indexes(node):
            terms = TermReader(self.view.txn, self.view.lock, self.collection.schema.number, index.state.number)
            found = answer(index, terms, node, candidates)
            if found is not None:
                return self._decided(node, found.bits, found.doubtful, f"{index.state.kind} index")
        return self._scan(node, candidates)

    def _decided(self, node: Filter, bits: Words, doubtful: Words | None, how: str) -> tuple[Words, str]:
        """An index's answer, completed by a look at the records that it cannot decide."""
        count = 0 if doubtful is None else bitmap.count(doubtful)
        if doubtful is None or not count:
            return bits, how
        return bits | self._looked_at(node, doubtful), f"{how} and {count:,} records it cannot decide"

    def _scan(self, node: Filter, candidates: Words) -> tuple[Words, str]:
        if self.strict:
            paths = sorted({str(getattr(leaf, "path", "")) for leaf in _leaves(node)})
            raise UnindexedFilterError(
                f"strict=True, and no index answers {node}; create_index on {', '.join(map(repr, paths))}, or leave "
                "strict out to look at every record",
                paths=paths,
            )
        return self._looked_at(node, candidates), f"scan of {bitmap.count(candidates):,} records, for want of an index"

    def _looked_at(self, node: Filter, candidates: Words) -> Words:
        holds = metadata_predicate(node)

        def holding(record_keys: Sequence[bytes], values: Sequence[memoryview]) -> Iterator[bool]:
            return map(holds, codec.decode_records(record_keys, values)[1])

        return self._kept(candidates, holding)

    def _slice(self, node: Slice, candidates: Words) -> Words:
        def holding(record_keys: Sequence[bytes], values: Sequence[memoryview]) -> Iterator[bool]:
            return (in_slice(node, keys.id_key(one)) for one in codec.decode_record_ids(record_keys, values))

        return self._kept(candidates, holding)

    def _kept(
        self, candidates: Words, holding: Callable[[Sequence[bytes], Sequence[memoryview]], Iterable[bool]]
    ) -> Words:
        """Those of the candidates whose stored records pass; 2 to 5 µs each."""
        slots = slots_of_bits(candidates)
        held = np.fromiter(read_stored(self.view, self.collection, slots, holding), dtype=bool, count=len(slots))
        return bitmap.with_bits(np.zeros_like(candidates), slots[held].astype(np.int64))

    def _ids(self, node: HasId, candidates: Words) -> Words:
        id_keys = [keys.id_table_key(self.collection.schema.number, keys.id_key(one)) for one in node.ids]
        with self.view.lock:
            values = self.view.txn.get_many(Table.IDS, id_keys)
            slots = [codec.decode_slot(key, value) for key, value in zip(id_keys, values, strict=True) if value]
        return bitmap.with_bits(np.zeros_like(candidates), np.array(slots, dtype=np.int64)) & candidates

    def _field(self, node: HasVector, candidates: Words) -> Words:
        found = self.collection.field(node.field)
        parts = [segment.slot_map.slots for segment in found.segments]
        parts.append(found.tail.all_slots()[found.tail.live_rows()])
        return bitmap.with_bits(np.zeros_like(candidates), np.concatenate(parts)) & candidates


@dataclass(frozen=True, slots=True)
class _Scanned(Filter):
    """Conditions without an index, joined so that each record is read once."""

    filter: Filter

    def __str__(self) -> str:
        return str(self.filter)


def _cost(node: Filter) -> int:
    if isinstance(node, HasId):
        return 0
    if isinstance(node, (Slice, HasVector)):
        return 3
    return 2 if isinstance(node, (And, Or, Not)) else 1


def _leaves(node: Filter) -> Iterator[Any]:
    if isinstance(node, (And, Or)):
        for part in node.parts:
            yield from _leaves(part)
    elif isinstance(node, Not):
        yield from _leaves(node.part)
    elif isinstance(node, _Scanned):
        yield from _leaves(node.filter)
    else:
        yield node
