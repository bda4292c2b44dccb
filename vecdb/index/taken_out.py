"""Takes rows out of a segment, so that they can be asked as queries that it does not hold.

A row that is only passed over leaves a gap: its neighbours had linked to it instead of to each other. Here the rows
that link to it get the links that they would have without it (see `kernels.taking_out`), in copies: a row of a column
is found through a table of addresses, so a column over the same memory can have some rows elsewhere.

A row with a twin (another with equal codes) stays: its twin would lie in its place. Rows of the upper levels are not
drawn, for these levels stay as they are; who is in them is decided by chance.
Promises: the segment is not changed; deterministic. Cost: 30 to 60 us for each of the rows that link to those taken
out, about 32 times as many as these, 8 bytes a row of the segment, and a pass over all links.
Concurrency: pure functions; `threads` workers each with its own Scratch.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecdb.index.packing import pack_rows
from vecdb.index.quantize import AUGMENTED_DIMS
from vecdb.index.scratch import thread_scratch
from vecdb.index.segment import Plan, Segment
from vecdb.index.workers import run_ranges
from vecdb.kernels import layout
from vecdb.kernels.column import Column, aligned_empty
from vecdb.kernels.native import kernels

FIND_PIECE: Final = 8_192
RELINK_PIECE: Final = 64
SPARE: Final = 8
"""Rows drawn beyond what is needed on average."""

POOL_ROWS: Final = 128
"""Candidates for links: see `CANDIDATES` in `kernels.taking_out`."""

Rows = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]


def draw_rows(
    segment: Segment, count: int, random: np.random.Generator, among: npt.NDArray[np.bool_] | None = None
) -> Rows:
    """Draw up to `count` rows (of those that are True in `among`), in an order of chance, of which none is in an upper
    level; where all are, any.

    Of rows with equal codes only one can be in an upper level. So that the others are not drawn more often than they
    come, they are left out as often as rows are in one.
    """
    mask = np.ones(segment.rows, dtype=np.bool_) if among is None else among.copy()
    upper = _read(segment.upper_rows)
    upper = upper if len(upper) else np.array([segment.entry], dtype=np.int32)
    others = mask.copy()
    others[upper[(upper >= 0) & (upper < segment.rows)]] = False
    rows = np.flatnonzero(others if others.any() else mask)
    degree = segment.upper_links.stride // 2
    rows = random.choice(rows, min(count + 2 * count // degree + SPARE, len(rows)), replace=False)
    left_out = have_twins(segment, rows) & (random.random(len(rows)) < 2 / degree)
    return np.concatenate([rows[~left_out], rows[left_out]])[:count]


def have_twins(segment: Segment, rows: Rows) -> npt.NDArray[np.bool_]:
    """Which of the rows have a neighbour with the same codes."""
    order, twins = rows.astype(np.int32), np.zeros(len(rows), dtype=np.uint8)
    plan = _graph_plan(segment)  # has a name, for what has none is gone before the kernel reads it
    kernels.find_twins(plan.address, order.ctypes.data, twins.ctypes.data, len(rows))
    return twins.astype(np.bool_)


def without_rows(segment: Segment, rows: Rows, threads: int = 1) -> Segment:
    """The segment with no link to any of `rows`; they keep their numbers, and what a scan finds is as before."""
    taken = _bits_of(segment.rows, rows)
    plan = _graph_plan(segment)
    linking = _linking(plan, segment.rows, taken, threads)
    if not len(linking):
        return segment
    links = _relinked(plan, segment, taken, linking, threads)
    if segment.packed is None:
        return replace(segment, links=_patched(segment.links, linking, links))
    packed = _patched(segment.packed, linking, _packed(plan, segment, linking, links, threads))
    return replace(segment, packed=packed, codes=packed, links=packed.shifted(segment.quantizer.padded))


def _bits_of(rows: int, chosen: Rows) -> Bits:
    """A bitmap over `rows` rows with the chosen ones set."""
    mask = np.zeros((rows + 63) // 64 * 64, dtype=np.bool_)
    mask[chosen] = True
    return np.packbits(mask, bitorder="little").view(np.uint64)


def _graph_plan(segment: Segment) -> Plan:
    """What building knows of a segment."""
    plan = Plan()
    plan.put(layout.ROWS, segment.rows)
    plan.put(layout.PADDED, segment.quantizer.padded)
    plan.put(layout.DEGREE, segment.upper_links.stride // 2)
    plan.put(layout.AUGMENTED, segment.quantizer.augmented)
    plan.put(layout.AUGMENTED_COUNT, AUGMENTED_DIMS)
    plan.put_column(layout.CODES, segment.codes)
    plan.put_column(layout.LINKS, segment.links)
    return plan


def _linking(plan: Plan, rows: int, taken: Bits, threads: int) -> Rows:
    """The rows that stay and link to a taken one."""
    marks = np.zeros(rows, dtype=np.uint8)
    bits, out = taken.ctypes.data, marks.ctypes.data

    def find(first: int, last: int) -> None:
        kernels.find_linking(plan.address, bits, out, first, last)

    run_ranges(rows, FIND_PIECE, threads, find)
    return np.flatnonzero(marks)


def _relinked(plan: Plan, segment: Segment, taken: Bits, linking: Rows, threads: int) -> npt.NDArray[np.int32]:
    """New links of the rows `linking`, (n, degree)."""
    order = linking.astype(np.int32)
    links = np.empty((len(order), segment.upper_links.stride // 2), dtype=np.int32)
    bits, source, target = taken.ctypes.data, order.ctypes.data, links.ctypes.data

    def relink(first: int, last: int) -> None:
        scratch = thread_scratch()
        scratch.reserve(segment.rows, POOL_ROWS, segment.quantizer.padded, 1)
        kernels.relink_rows(plan.address, scratch.address, bits, source, target, first, last)

    run_ranges(len(order), RELINK_PIECE, threads, relink)
    return links


def _packed(
    plan: Plan, segment: Segment, linking: Rows, links: npt.NDArray[np.int32], threads: int
) -> npt.NDArray[np.uint8]:
    """Packed rows of `linking`. They are packed among themselves and their neighbours, then named as in the segment."""
    met = np.zeros(segment.rows + 1, dtype=np.bool_)
    met[links.ravel()] = True
    met[linking] = met[-1] = False
    order = np.concatenate([linking, np.flatnonzero(met)]).astype(np.int32)
    numbers = np.full(segment.rows + 1, -1, dtype=np.int32)
    numbers[order] = np.arange(len(order), dtype=np.int32)
    padded = segment.quantizer.padded
    codes: npt.NDArray[np.int8] = aligned_empty((len(order), padded), np.int8)
    source, target = order.ctypes.data, codes.ctypes.data

    def copy(first: int, last: int) -> None:
        kernels.copy_codes(plan.address, source, target, first, last)

    run_ranges(len(order), FIND_PIECE, threads, copy)
    packed = pack_rows(codes, numbers[links], 0, len(linking), threads)
    packed[:, padded : padded + links.nbytes // len(links)].view(np.int32)[...] = links
    return packed


def _patched(column: Column, rows: Rows, array: npt.NDArray[Any]) -> Column:
    """The column with `rows` lying in `array` (len(rows), stride bytes), every row having an address of its own."""
    every = np.arange(column.rows, dtype=np.int64)
    chunks = every >> column.shift
    table = column.table[chunks] + (every - (chunks << column.shift)) * column.stride
    table[rows] = array.ctypes.data + column.stride * np.arange(len(rows), dtype=np.int64)
    return Column(table, 0, column.stride, column.rows, (column.owner, array))


def _read(column: Column) -> npt.NDArray[np.int32]:
    """A copy of a column of int32."""
    parts = [
        ctypes.string_at(int(address), column.stride * min(1 << column.shift, column.rows - (number << column.shift)))
        for number, address in enumerate(column.table)
    ]
    return np.frombuffer(b"".join(parts), dtype=np.int32)
