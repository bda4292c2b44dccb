"""Numbers the strs of a keyword or text index, so that a block holds small codes instead of strs.

Terms and codes are stored both ways in the terms table. A term keeps its code as long as the index exists; codes are
given out from 0 on, in the order of commits.
Promises: terms are found in code point order. Damaged entries raise CorruptionError.
Concurrency: a TermWriter belongs to one commit; a TermReader to a View, whose lock it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from vecdb.engine.index_values import term_of
from vecdb.storage import codec, keys
from vecdb.storage.keys import Table

if TYPE_CHECKING:
    import threading

    from vecdb.storage.transactions import ReadTransaction, WriteTransaction

CODE_BYTES = 4
NEW_TERMS_SHARE: Final = 16
"""Up to one new term for so many known is sorted in by itself, 20 to 60 µs each; to read them all takes 1.5 µs each."""


@dataclass(slots=True)
class TermWriter:
    """Looks codes up and gives new ones out inside a write transaction."""

    txn: WriteTransaction
    collection: int
    index: int
    next_code: int
    _known: dict[str, int] = field(default_factory=dict)

    def code(self, text: str) -> int:
        """Code of a str that `term_of` accepts."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._stored(text)
        return known

    def _stored(self, text: str) -> int:
        term = term_of(text)
        assert term is not None
        key = keys.term_key(self.collection, self.index, term)
        value = self.txn.get(Table.TERMS, key)
        if value is not None:
            return _code(key, value)
        code, self.next_code = self.next_code, self.next_code + 1
        self.txn.put(Table.TERMS, key, codec.seal(Table.TERMS, key, code.to_bytes(CODE_BYTES, "big")))
        back = keys.term_code_key(self.collection, self.index, code)
        self.txn.put(Table.TERMS, back, codec.seal(Table.TERMS, back, term))
        return code


@dataclass(frozen=True, slots=True)
class TermReader:
    """The dictionary of one index as a View sees it."""

    txn: ReadTransaction
    lock: threading.Lock
    collection: int
    index: int

    def code(self, text: str) -> int | None:
        """Code of a str, None when no record has ever had it."""
        term = term_of(text)
        if term is None:
            return None
        key = keys.term_key(self.collection, self.index, term)
        with self.lock:
            value = self.txn.get(Table.TERMS, key)
            return None if value is None else _code(key, value)

    def codes_between(self, start: bytes, stop: bytes | None) -> list[int]:
        """Codes of the terms with start <= term < stop in UTF-8 (None: no end). About 1.5 µs a term."""
        return [code for _, code in self._items(start, stop)]

    def terms(self) -> list[tuple[str, int]]:
        """All terms with their codes, in code point order."""
        return [(term.decode(), code) for term, code in self._items(b"", None)]

    def text(self, code: int) -> str:
        """The str that has a code."""
        key = keys.term_code_key(self.collection, self.index, code)
        with self.lock:
            value = self.txn.get(Table.TERMS, key)
            if value is None:
                raise codec.corrupt_value(Table.TERMS, key, "is missing")
            try:
                return bytes(codec.open_value(Table.TERMS, key, value)).decode()
            except UnicodeDecodeError:
                raise codec.corrupt_value(Table.TERMS, key, "is no term") from None

    def _items(self, start: bytes, stop: bytes | None) -> list[tuple[bytes, int]]:
        prefix = keys.terms_prefix(self.collection, self.index)
        end = keys.prefix_stop(prefix) if stop is None else prefix + stop
        with self.lock:
            return list(_terms(self.txn, prefix, start, end))


@dataclass(frozen=True, slots=True)
class TermOrder:
    """The terms of an index in code point order, as their codes, and the place there of each code: 8 bytes a term."""

    codes: npt.NDArray[np.int32]
    places: npt.NDArray[np.int32]

    @staticmethod
    def of(codes: npt.NDArray[np.int32]) -> TermOrder:
        """The order that lists these codes."""
        places = np.empty_like(codes)
        places[codes] = np.arange(len(codes), dtype=np.int32)
        return TermOrder(codes, places)

    def before(self, terms: TermReader, text: str) -> int:
        """How many terms come before a str."""
        first, last = 0, len(self.codes)
        while first < last:
            middle = (first + last) >> 1
            if terms.text(int(self.codes[middle])) < text:
                first = middle + 1
            else:
                last = middle
        return first


def term_order(terms: TermReader, count: int, known: dict[int, TermOrder]) -> TermOrder:
    """The order of the first `count` codes: from `known`, where the last one asked for stays, as far as possible."""
    found = known.get(count)
    if found is None:
        found = TermOrder.of(_ordered_codes(terms, count, next(iter(known.values()), None)))
        known.clear()
        known[count] = found
    return found


def _ordered_codes(terms: TermReader, count: int, other: TermOrder | None) -> npt.NDArray[np.int32]:
    """All codes below `count` in the order of their terms; `other` orders more or fewer of them."""
    if other is not None and len(other.codes) > count:
        return other.codes[other.codes < count]
    if other is None or (count - len(other.codes)) * NEW_TERMS_SHARE > count:
        return np.array(terms.codes_between(b"", None), dtype=np.int32)
    new = sorted((terms.text(code), code) for code in range(len(other.codes), count))
    return np.insert(other.codes, [other.before(terms, text) for text, _ in new], [code for _, code in new])


def _terms(txn: ReadTransaction, prefix: bytes, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, int]]:
    for key, value in txn.items(Table.TERMS, prefix + start, end):
        yield key[len(prefix) :], _code(key, value)


def _code(key: bytes, value: memoryview) -> int:
    payload = codec.open_value(Table.TERMS, key, value)
    if len(payload) != CODE_BYTES:
        raise codec.corrupt_value(Table.TERMS, key, "is no code")
    return int.from_bytes(payload, "big")
