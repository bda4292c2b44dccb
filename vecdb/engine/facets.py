"""Counts and sums up what matching records hold at a path: facets, and the least, greatest, sum and mean of numbers.

Values come from an index of the path where there is one, and from the records where there is none or where the index
cannot hold a value. A list counts for each of its elements; null, dicts and missing paths do not count. A facet is a
dict, to which True and 1 are one key: a path that holds both has them counted together.
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
from vecdb.engine.index_values import float_of_key, floats_of_keys
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
    counts: Counter[FacetValue] = Counter()
    slots = matches.slots()
    if index is not None:
        slots = _count_keys(view, collection, index, slots, counts)
    for values in _values(view, collection, slots, path):
        counts.update(dict.fromkeys(values).keys())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], _kind(item[0]), item[0]))[:limit])


def aggregate(view: View, collection: CollectionView, matches: Matches, path: str) -> Aggregate:
    """Count, least, greatest, sum and mean of the numbers that matching records hold at a path; lists by element."""
    index = _index(collection, path, NUMBERS)
    slots, numbers = matches.slots(), list[int | float]()
    if index is not None:
        found, slots = _keys_of(index, slots)
        numbers = (floats_of_keys(found) if index.state.kind == "float" else found).tolist()
    for values in _values(view, collection, slots, path):
        numbers += [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if not numbers:
        return Aggregate(count=0, min=None, max=None, sum=0, mean=None)
    total = sum(numbers)
    return Aggregate(count=len(numbers), min=min(numbers), max=max(numbers), sum=total, mean=total / len(numbers))


def _index(collection: CollectionView, path: str, kinds: Sequence[str]) -> IndexView | None:
    found = (index for index in collection.indexes if index.state.path == path and index.state.kind in kinds)
    return next(found, None)


def _kind(value: FacetValue) -> str:
    """Values are in the order of their kinds; those of one kind compare, as do a bool and a number in a dict."""
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def _keys_of(index: IndexView, slots: Slots) -> tuple[npt.NDArray[np.int64], Slots]:
    """Keys of the scalars and of all elements of lists, and the slots whose records must be looked at."""
    table = index.tables[0]
    found, states = table.gather(slots)
    in_lists, _ = table.lists(slots[states == LIST])
    return np.concatenate([found[states == SCALAR], in_lists]), slots[states == EXCEPTION]


def _count_keys(
    view: View,
    collection: CollectionView,
    index: IndexView,
    slots: Slots,
    counts: Counter[FacetValue],
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
    in_lists = _once_a_list(*table.lists(slots[states == LIST]))
    distinct, times = np.unique(np.concatenate([found[states == SCALAR], in_lists]), return_counts=True)
    name = _namer(view, collection, index)
    for key, count in zip(distinct.tolist(), times.tolist(), strict=True):
        counts[name(key)] += count
    return np.concatenate([looked_at, slots[states == EXCEPTION]])


def _once_a_list(elements: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The elements of lists, those that a list has several times once."""
    owners = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((elements, owners))
    elements, owners = elements[order], owners[order]
    is_first = np.ones(len(elements), dtype=np.bool_)
    is_first[1:] = (elements[1:] != elements[:-1]) | (owners[1:] != owners[:-1])
    return elements[is_first]


def _namer(view: View, collection: CollectionView, index: IndexView) -> Any:
    """The function from a key of an index to the value it stands for."""
    kind = index.state.kind
    if kind == "keyword":
        return TermReader(view.txn, view.lock, collection.schema.number, index.state.number).text
    names = {"float": float_of_key, "bool": bool, "datetime": datetime_at}
    return names.get(kind, int)


def _values(view: View, collection: CollectionView, slots: Slots, path: str) -> Iterator[list[FacetValue]]:
    """Scalars at the path in each record."""
    resolve = resolver(path)
    for _, metadata in read_stored(view, collection, slots, _decode_all):
        yield list(_scalars(resolve(metadata)))


def _decode_all(record_keys: Sequence[bytes], values: Sequence[memoryview]) -> list[tuple[RecordId, Metadata]]:
    return list(zip(*codec.decode_records(record_keys, values), strict=True))


def _scalars(leaves: Sequence[Any]) -> Iterator[FacetValue]:
    for leaf in leaves:
        for value in leaf if isinstance(leaf, list) else (leaf,):
            if isinstance(value, (bool, int, float, str, datetime)):
                yield value
