"""Packs rows: the codes of a row, its links and the signs of its neighbours side by side, as a packed search reads
them.

A packed column takes the place of the columns of codes and links, which are views of it (`Column.shifted`), so that
everything that reads codes or links works on both layouts.
Promises: deterministic, whatever the number of threads. Bytes of a row: `packed_stride`; at 32 links 2,304 for 384
components and 1,024 for 128, where codes and links alone take 512 and 256.
Concurrency: pure functions; `threads` workers each with its own Scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecdb.index.hashing import rotation_masks
from vecdb.index.scratch import thread_scratch
from vecdb.index.segment import Plan, Segment
from vecdb.index.sketching import sketch_rows
from vecdb.index.workers import Workers
from vecdb.kernels import layout
from vecdb.kernels.column import Column, aligned_empty
from vecdb.kernels.native import kernels

PACK_PIECE: Final = 128
BLOCK_ROWS: Final = 8_192
"""Rows packed at a time on the way to the disk: 19 MB at 384 components."""

PackedRows = npt.NDArray[np.uint8]


def pack_rows(
    codes: npt.NDArray[np.int8], links: npt.NDArray[np.int32], first: int, last: int, threads: int = 1
) -> PackedRows:
    """Packed rows [first, last), (n, stride) uint8, of `codes` (rows, padded) and `links` (rows, degree)."""
    padded, degree = codes.shape[1], links.shape[1]
    plan = Plan()
    plan.put(layout.ROWS, len(codes))
    plan.put(layout.PADDED, padded)
    plan.put(layout.DEGREE, degree)
    plan.put_column(layout.CODES, Column.from_array(codes))
    plan.put_column(layout.LINKS, Column.from_array(links))
    plan.put_array(layout.ROTATION, rotation_masks(padded))
    stride = layout.packed_stride(padded, degree)
    packed: PackedRows = aligned_empty((last - first, stride), np.uint8)
    target = packed.ctypes.data

    def pack(start: int, stop: int) -> None:
        scratch = thread_scratch()
        scratch.reserve(64, 64, padded, 1)
        kernels.pack_rows(plan.address, scratch.address, target + stride * start, stride, first + start, first + stop)

    with Workers(threads) as workers:
        workers.run(last - first, PACK_PIECE, pack)
    return packed


def with_packed_rows(
    segment: Segment, codes: npt.NDArray[np.int8], links: npt.NDArray[np.int32], threads: int = 1
) -> Segment:
    """The segment with packed rows and sketches on the heap in place of its codes and links."""
    packed = Column.from_array(pack_rows(codes, links, 0, len(codes), threads))
    sketches = Column.from_array(sketch_rows(codes, 0, len(codes)))
    return replace(segment, packed=packed, sketches=sketches, codes=packed, links=packed.shifted(codes.shape[1]))


def packed_blocks(
    codes: npt.NDArray[np.int8], links: npt.NDArray[np.int32], threads: int = 1
) -> Callable[[int, int], npt.NDArray[Any]]:
    """A function that returns packed rows start..stop-1, for a reader that goes through them once and in order."""
    block: list[tuple[int, PackedRows]] = [(0, np.empty((0, 0), dtype=np.uint8))]

    def rows(start: int, stop: int) -> PackedRows:
        first, packed = block[0]
        if not first <= start <= stop <= first + len(packed):
            first, packed = (
                start,
                pack_rows(codes, links, start, min(max(stop, start + BLOCK_ROWS), len(codes)), threads),
            )
            block[0] = first, packed
        return packed[start - first : stop - first]

    return rows
