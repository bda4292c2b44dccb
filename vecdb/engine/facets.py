"""Counts and sums up what matching records hold at a path: facets, and the least, greatest, sum and mean of numbers.

Values come from an index of the path where there is one, and from the records where there is none or where the index
cannot hold a value. A list counts for each of its elements; null, dicts and missing paths do not count.
Promises: exact, at the View's seq. Concurrency: as `filtering`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from vecdb.engine.clock import datetime_at
from vecdb.engine.index_values import float_of_key
from vecdb.engine.records import read_stored
from vecdb.engine.terms import TermReader
from vecdb.filters.paths import resolver
from vecdb.index.columns import slots_of_bits
from vecdb.storage import codec
from vecdb.storage.blocks import EXCEPTION, LIST, SCALAR, TEXT
from vecdb.types import Aggregate

if TYPE_CHECKING:
    from vecdb.engine.filtering import Matches
    from vecdb.engine.index_view import IndexView
    from vecdb.engine.tail import Slots
    from vecdb.engine.view import CollectionView, View
    from vecdb.types import Metadata, RecordId

FacetValue: TypeAlias = bool | int | float | str | datetime
COUNTED: Final = ("keyword", "int", "float", "bool", "datetime")
NUMBERS: Final = ("int", "float")


def facet(view: View, collection: CollectionView, matches: Matches, path: str, limit: int) -> dict[FacetValue, int]:
    """How many matching records hold each value, the commonest `limit` of them; equal counts in the order of values."""
    index = _index(collection, path, COUNTED)
    counts: Counter[tuple[type, FacetValue]] = Counter()
    slots = matches.slots()
    if index is not None:
        slots = _count_keys(view, collection, index, slots, counts)
    for values in _values(view, collection, slots, path):
        counts.update({(_kind(value), value): 1 for value in values})
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0][0].__name__, item[0][1]))
    return {value: count for (_, value), count in ordered[:limit]}


def aggregate(view: View, collection: CollectionView, matches: Matches, path: str) -> Aggregate:
    """Count, least, greatest, sum and mean of the numbers that matching records hold at a path; lists by element."""
    index = _index(collection, path, NUMBERS)
    slots, parts = matches.slots(), []
    if index is not None:
        found, slots = _keys_of(index, slots)
        parts = [float_of_key(key) if index.state.kind == "float" else key for key in found.tolist()]
    numbers: list[int | float] = list(parts)
    for values in _values(view, collection, slots, path, distinct=False):
        numbers += [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if not numbers:
        return Aggregate(count=0, min=None, max=None, sum=0, mean=None)
    total = sum(numbers)
    return Aggregate(count=len(numbers), min=min(numbers), max=max(numbers), sum=total, mean=total / len(numbers))


def _index(collection: CollectionView, path: str, kinds: Sequence[str]) -> IndexView | None:
    found = (index for index in collection.indexes if index.state.path == path and index.state.kind in kinds)
    return next(found, None)


def _kind(value: Any) -> type:
    """Values that compare are one value: 1 and 1.0, but not 1 and True."""
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _keys_of(index: IndexView, slots: Slots) -> tuple[npt.NDArray[np.int64], Slots]:
    """Keys of the scalars and of all elements of lists, and the slots whose records must be looked at."""
    table = index.tables[0]
    found, states = table.gather(slots)
    in_lists = [table.list_keys(slot) for slot in slots[states == LIST].tolist()]
    return np.concatenate([found[states == SCALAR], *in_lists]), slots[states == EXCEPTION]


def _count_keys(
    view: View,
    collection: CollectionView,
    index: IndexView,
    slots: Slots,
    counts: Counter[tuple[type, FacetValue]],
) -> Slots:
    """Count what the index holds; returns the slots whose records must be looked at."""
    table = index.tables[0]
    if index.state.kind == "datetime":
        # Strs in ISO format are counted as the strs they are.
        texts = np.isin(slots, slots_of_bits(table.state_bits(TEXT)))
        slots, looked_at = slots[~texts], slots[texts]
    else:
        looked_at = slots[:0]
    found, states = table.gather(slots)
    in_lists = [np.unique(table.list_keys(slot)) for slot in slots[states == LIST].tolist()]
    distinct, times = np.unique(np.concatenate([found[states == SCALAR], *in_lists]), return_counts=True)
    name = _namer(view, collection, index)
    for key, count in zip(distinct.tolist(), times.tolist(), strict=True):
        value = name(key)
        counts[_kind(value), value] += count
    return np.concatenate([looked_at, slots[states == EXCEPTION]])


def _namer(view: View, collection: CollectionView, index: IndexView) -> Any:
    """The function from a key of an index to the value it stands for."""
    kind = index.state.kind
    if kind == "keyword":
        return TermReader(view.txn, view.lock, collection.schema.number, index.state.number).text
    names = {"float": float_of_key, "bool": bool, "datetime": datetime_at}
    return names.get(kind, int)


def _values(
    view: View, collection: CollectionView, slots: Slots, path: str, *, distinct: bool = True
) -> Iterator[list[FacetValue]]:
    """Scalars at the path in each record, each once when `distinct`."""
    resolve = resolver(path)
    for _, metadata in read_stored(view, collection, slots, _decode_all):
        scalars = list(_scalars(resolve(metadata)))
        yield list({(_kind(value), value): value for value in scalars}.values()) if distinct else scalars


def _decode_all(record_keys: Sequence[bytes], values: Sequence[memoryview]) -> list[tuple[RecordId, Metadata]]:
    return list(zip(*codec.decode_records(record_keys, values), strict=True))


def _scalars(leaves: Sequence[Any]) -> Iterator[FacetValue]:
    for leaf in leaves:
        for value in leaf if isinstance(leaf, list) else (leaf,):
            if isinstance(value, (bool, int, float, str, datetime)):
                yield value
