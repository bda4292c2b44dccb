"""Keeps the committed rows of a field that are in no segment yet, in memory, in the shape the scan kernels read.

Promises: a Tail never changes for its holder. `appended` writes only behind the rows that older tails can see, so all
versions share one storage and an append costs the rows appended.
Invariants: numbers ascend with the row, and are the slots unless rows are numbered by arrival; a slot is in one row at
most; row r lives in chunk r >> 10. Only the newest version may be appended to.
Concurrency: any number of readers of any version beside one writer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from vecdb.config import TAIL_CHUNK_ROWS
from vecdb.engine import bitmap
from vecdb.engine.schema import FieldSchema
from vecdb.engine.tail_rows import TailRows
from vecdb.engine.validate import VectorArray
from vecdb.index.quantize import inverse_norms
from vecdb.index.segment import Plan, scan_plan
from vecdb.kernels.column import Column

CHUNK_SHIFT = TAIL_CHUNK_ROWS.bit_length() - 1
Slots = npt.NDArray[np.uint32]
FloatRows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TailChunk:
    """Memory for 1,024 rows: vectors in the stored dtype, 1/length of each (cosine only), slots and numbers.

    Where rows are numbered by slot, slots and numbers are one array.
    """

    vectors: VectorArray
    inverse_norms: FloatRows
    slots: Slots
    numbers: Slots


@dataclass(frozen=True, slots=True)
class Tail:
    """Rows 0..rows-1 of a tail; `dead` marks rows deleted, replaced or below `from_row`, which segments answer for."""

    schema: FieldSchema
    chunks: tuple[TailChunk, ...] = ()
    rows: int = 0
    dead: bitmap.Words = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    live: int = 0
    from_row: int = 0
    by_arrival: bool = False
    _orders: list[npt.NDArray[np.int64]] = field(default_factory=list, compare=False, repr=False)
    _plans: list[Plan] = field(default_factory=list, compare=False, repr=False)

    @property
    def plan(self) -> Plan:
        """What the scan kernels read. Made on first use; the memory it points into lives as long as this tail."""
        if not self._plans:
            schema = self.schema
            self._plans.append(
                scan_plan(
                    self.vectors_column(),
                    self.inverse_norms_column(),
                    self.slots_column(),
                    self.rows,
                    schema.metric,
                    schema.dtype,
                    schema.dim,
                )
            )
        return self._plans[0]

    @property
    def vector_bytes(self) -> int:
        """Bytes of the vectors of all rows."""
        return self.rows * self.schema.dim * np.dtype(self.schema.dtype).itemsize

    def appended(self, slots: Slots, vectors: VectorArray, numbers: Slots | None = None) -> Tail:
        """Return the tail with rows added; `vectors` is (n, dim) in the stored dtype, `numbers` None for the slots."""
        numbers = slots if numbers is None else numbers
        chunks = list(self.chunks)
        rows, taken = self.rows, 0
        while taken < len(slots):
            if rows >> CHUNK_SHIFT == len(chunks):
                chunks.append(_new_chunk(self.schema, by_arrival=self.by_arrival))
            start = rows & (TAIL_CHUNK_ROWS - 1)
            count = min(TAIL_CHUNK_ROWS - start, len(slots) - taken)
            part = slice(taken, taken + count)
            _fill(chunks[-1], self.schema, start, TailRows(slots[part], vectors[part], numbers[part]))
            rows, taken = rows + count, taken + count
        return replace(
            self,
            chunks=tuple(chunks),
            rows=rows,
            dead=bitmap.resized(self.dead, rows),
            live=self.live + len(slots),
            _orders=[],
            _plans=[],
        )

    def killed(self, slots: Slots) -> Tail:
        """Return the tail with the given slots marked dead; slots it does not hold are ignored."""
        rows = self.find(slots)
        rows = rows[rows >= 0]
        fresh = rows[~bitmap.test_bits(self.dead, rows)]
        if not len(fresh):
            return self
        return replace(self, dead=bitmap.with_bits(self.dead, fresh), live=self.live - len(fresh), _plans=[])

    def dropped_below(self, number: int) -> Tail:
        """Return the tail without rows below `number`: whole chunks go, the rest of the first one is marked dead."""
        first = int(np.searchsorted(self.all_numbers(), number))
        gone = first >> CHUNK_SHIFT
        start = gone << CHUNK_SHIFT
        words = bitmap.resized(self.dead[start >> 6 :], self.rows - start)
        words = bitmap.with_bits(words, np.arange(first - start))
        rows = self.rows - start
        dead = bitmap.count(words[: bitmap.words_for(rows)])
        return replace(
            self,
            chunks=self.chunks[gone:],
            rows=rows,
            dead=words,
            live=rows - dead,
            from_row=max(number, self.from_row),
            _orders=[],
            _plans=[],
        )

    def compacted(self) -> Tail:
        """Return a tail of the live rows only, in memory of its own."""
        rows = self.live_rows()
        empty = Tail(self.schema, from_row=self.from_row, by_arrival=self.by_arrival)
        return empty.appended(self.all_slots()[rows], self.gather(rows), self.all_numbers()[rows])

    def live_rows(self) -> npt.NDArray[np.int64]:
        """Return the rows that are not dead, ascending."""
        rows = np.arange(self.rows)
        return rows[~bitmap.test_bits(self.dead, rows)]

    def all_slots(self) -> Slots:
        """Return the slots of all rows, dead ones too; ascending unless rows are numbered by arrival."""
        if not self.chunks:
            return np.zeros(0, dtype=np.uint32)
        return np.concatenate([chunk.slots for chunk in self.chunks])[: self.rows]

    def all_numbers(self) -> Slots:
        """Return the numbers of all rows, dead ones too, ascending."""
        if not self.chunks or not self.by_arrival:
            return self.all_slots()
        return np.concatenate([chunk.numbers for chunk in self.chunks])[: self.rows]

    def find(self, slots: Slots) -> npt.NDArray[np.int64]:
        """Return the row of each slot, -1 where the tail does not hold it."""
        known = self.all_slots()
        if not len(known) or not len(slots):
            return np.full(len(slots), -1, dtype=np.int64)
        if not self.by_arrival:
            rows = np.minimum(np.searchsorted(known, slots), len(known) - 1)
            return np.where(known[rows] == slots, rows, -1)
        if not self._orders:
            self._orders.append(np.argsort(known))
        order = self._orders[0]
        rows = order[np.minimum(np.searchsorted(known, slots, sorter=order), len(known) - 1)]
        return np.where(known[rows] == slots, rows, -1)

    def gather(self, rows: npt.NDArray[np.int64]) -> VectorArray:
        """Return a copy of the vectors of the given rows, (n, dim)."""
        out = np.empty((len(rows), self.schema.dim), dtype=self.schema.dtype)
        chunk_of = rows >> CHUNK_SHIFT
        for number in np.unique(chunk_of):
            mine = chunk_of == number
            out[mine] = self.chunks[number].vectors[rows[mine] & (TAIL_CHUNK_ROWS - 1)]
        return out

    def vectors_column(self) -> Column:
        """Return the vectors as kernels read them."""
        return self._column(
            [chunk.vectors for chunk in self.chunks], self.schema.dim * np.dtype(self.schema.dtype).itemsize
        )

    def inverse_norms_column(self) -> Column | None:
        """Return 1/length of each row under cosine, else None."""
        if self.schema.metric != "cosine":
            return None
        return self._column([chunk.inverse_norms for chunk in self.chunks], 4)

    def slots_column(self) -> Column:
        """Return the slots as kernels read them."""
        return self._column([chunk.slots for chunk in self.chunks], 4)

    def _column(self, arrays: list[npt.NDArray[np.generic]], stride: int) -> Column:
        table = np.array([array.ctypes.data for array in arrays], dtype=np.int64)
        return Column(table=table, shift=CHUNK_SHIFT, stride=stride, rows=self.rows, owner=self.chunks)


def _new_chunk(schema: FieldSchema, *, by_arrival: bool) -> TailChunk:
    slots = np.zeros(TAIL_CHUNK_ROWS, dtype=np.uint32)
    cosine_rows = TAIL_CHUNK_ROWS if schema.metric == "cosine" else 0
    return TailChunk(
        vectors=np.zeros((TAIL_CHUNK_ROWS, schema.dim), dtype=schema.dtype),
        inverse_norms=np.zeros(cosine_rows, dtype=np.float32),
        slots=slots,
        numbers=np.zeros(TAIL_CHUNK_ROWS, dtype=np.uint32) if by_arrival else slots,
    )


def _fill(chunk: TailChunk, schema: FieldSchema, start: int, rows: TailRows) -> None:
    stop = start + len(rows.slots)
    chunk.vectors[start:stop] = rows.vectors
    chunk.numbers[start:stop] = rows.numbers
    chunk.slots[start:stop] = rows.slots
    if schema.metric == "cosine":
        chunk.inverse_norms[start:stop] = inverse_norms(rows.vectors)
