"""Packs rows: the codes of a row, its links and the signs of its neighbours side by side, as a packed search reads
them.

A packed column takes the place of the columns of codes and links, which are views of it (`Column.shifted`), so that
everything that reads codes or links works on both layouts.
Promises: deterministic, whatever the number of threads. Bytes of a row: `packed_stride`; at 32 links 2,176 for 384
components and 896 for 128, where codes and links alone take 512 and 256.
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
BLOCK_BYTES: Final = 1 << 24
"""Most rows packed at a time on the way to the disk, a power of two as in chunks: 4,096 of 384 components."""

ROTATED_BYTES: Final = 1 << 28
"""Most memory for rotated codes, which save rotating each neighbour of each row; those beyond are rotated each time."""

PackedRows = npt.NDArray[np.uint8]


class Packer:
    """Packs rows of `codes` (rows, padded) and `links` (rows, degree); holds their rotated codes, which all need."""

    def __init__(self, codes: npt.NDArray[np.int8], links: npt.NDArray[np.int32], threads: int = 1) -> None:
        self._threads, self._padded = threads, codes.shape[1]
        self._stride = layout.packed_stride(codes.shape[1], links.shape[1])
        self._plan = Plan()
        self._plan.put(layout.ROWS, len(codes))
        self._plan.put(layout.PADDED, self._padded)
        self._plan.put(layout.DEGREE, links.shape[1])
        self._plan.put_column(layout.CODES, Column.from_array(codes))
        self._plan.put_column(layout.LINKS, Column.from_array(links))
        self._plan.put_array(layout.ROTATION, rotation_masks(self._padded))
        known = min(len(codes), ROTATED_BYTES // (2 * self._padded))
        self.rotated = aligned_empty((known, self._padded), np.int16)
        target, plan = self.rotated.ctypes.data, self._plan.address

        def rotate(first: int, last: int) -> None:
            kernels.rotate_rows(plan, self._scratch(), target, first, last)

        self._run(known, rotate)

    def pack(self, first: int, last: int) -> PackedRows:
        """Packed rows [first, last), (n, stride) uint8."""
        stride, plan = self._stride, self._plan.address
        packed: PackedRows = aligned_empty((last - first, stride), np.uint8)
        target, rotated, known = packed.ctypes.data, self.rotated.ctypes.data, len(self.rotated)

        def pack(start: int, stop: int) -> None:
            kernels.pack_rows(
                plan, self._scratch(), rotated, known, target + stride * start, stride, first + start, first + stop
            )

        self._run(last - first, pack)
        return packed

    def _scratch(self) -> int:
        scratch = thread_scratch()
        scratch.reserve(64, 64, self._padded, 1)
        return scratch.address

    def _run(self, rows: int, work: Callable[[int, int], None]) -> None:
        with Workers(self._threads) as workers:
            workers.run(rows, PACK_PIECE, work)


def pack_rows(
    codes: npt.NDArray[np.int8], links: npt.NDArray[np.int32], first: int, last: int, threads: int = 1
) -> PackedRows:
    """Packed rows [first, last), (n, stride) uint8, of `codes` (rows, padded) and `links` (rows, degree)."""
    return Packer(codes, links, threads).pack(first, last)


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
    packer = Packer(codes, links, threads)
    fitting = BLOCK_BYTES // layout.packed_stride(codes.shape[1], links.shape[1])
    most = max(PACK_PIECE, 1 << fitting.bit_length() >> 1)
    block: list[tuple[int, PackedRows]] = [(0, np.empty((0, 0), dtype=np.uint8))]

    def rows(start: int, stop: int) -> PackedRows:
        first, packed = block[0]
        if not first <= start <= stop <= first + len(packed):
            first, packed = start, packer.pack(start, min(max(stop, start + most), len(codes)))
            block[0] = first, packed
        return packed[start - first : stop - first]

    return rows
