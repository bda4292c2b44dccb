"""Describes the bytes of an hnswlib index: its header, the record of a row, and what is read out of it.

The layout (hnswlib 0.8.0, `HierarchicalNSW::saveIndex`, little endian, 64-bit `size_t`):

    header, 96 bytes         see `Header`
    count x row              u16 links | u16 1 when deleted | 2M x u32 neighbours | dim x f32 | u64 label
    count x upper lists      u32 bytes that follow | level x (u16 links | u16 0 | M x u32 neighbours)

The file has no magic number and no checksum, and says neither its space nor, directly, its dimension. hnswlib's own
loader trusts every number in it: a header with `max_elements < count` makes it write past its buffer. So vecdb never
gives a foreign file to that loader; it checks every number here before it is used.

Promises: nothing here opens a file or imports hnswlib.
Invariants: a `Header` that passed `check_header` makes every later size and offset a product of checked numbers.
Concurrency: pure functions and frozen values.
"""

from __future__ import annotations

import math
import struct
from dataclasses import astuple, dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from vecdb.config import DIM_MAX, HNSWLIB_LEVEL_MAX, HNSWLIB_M_MAX, M_MAX, SLOTS_MAX
from vecdb.errors import CorruptionError, DimensionMismatchError, InvalidRequestError, LimitExceededError
from vecdb.index.graph import Graph
from vecdb.types import FloatArray, Metric

HnswlibSpace: TypeAlias = Literal["cosine", "ip", "l2"]

_SPACES: Final[dict[Metric, HnswlibSpace]] = {"cosine": "cosine", "dot": "ip", "l2": "l2"}
_METRICS: Final[dict[str, Metric]] = {space: metric for metric, space in _SPACES.items()}

_HEADER: Final = struct.Struct("<6QiI3QdQ")
HEADER_BYTES: Final = _HEADER.size
NO_ENTRY: Final = 2**32 - 1
"""Entry point of an empty index: -1 as an unsigned number."""


@dataclass(frozen=True, slots=True)
class HnswlibIndex:
    """An hnswlib index in vecdb's terms. Row numbers are hnswlib's internal numbers, in order of insertion.

    `labels` (n,) uint64 are unique; `vectors` (n, dim) float32 are as hnswlib keeps them: of unit length for cosine,
    where the original lengths are lost; `deleted` (n,) bool marks rows that the graph still passes through. `m` is
    that of `graph`: hnswlib's M, or `M_MIN` when that is larger. Links are in hnswlib's order, not nearest first.
    """

    space: HnswlibSpace
    dim: int
    labels: npt.NDArray[np.uint64]
    vectors: FloatArray
    deleted: npt.NDArray[np.bool_]
    graph: Graph
    m: int
    ef_construction: int

    @property
    def metric(self) -> Metric:
        """The vecdb metric of `space`."""
        return _METRICS[self.space]


@dataclass(frozen=True, slots=True)
class Header:
    """The 96 bytes in front of an hnswlib file, field by field in its order."""

    level0_offset: int
    max_elements: int
    count: int
    row_bytes: int
    label_offset: int
    data_offset: int
    max_level: int
    entry: int
    max_m: int
    max_m0: int
    m: int
    mult: float
    ef_construction: int

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        """Read `HEADER_BYTES` bytes; any bytes do, `check_header` judges them."""
        return cls(*_HEADER.unpack(data))

    @classmethod
    def describe(cls, *, count: int, dim: int, m: int, max_level: int, entry: int, ef_construction: int) -> Header:
        """Build the header hnswlib itself would write for an index of this shape."""
        data = 4 + 8 * m
        label = data + 4 * dim
        return cls(
            0, count, count, label + 8, label, data, max_level, entry, m, 2 * m, m, 1 / math.log(m), ef_construction
        )

    def pack(self) -> bytes:
        """Return the `HEADER_BYTES` bytes of this header."""
        return _HEADER.pack(*astuple(self))

    @property
    def words_per_list(self) -> int:
        """Length of one neighbour list of an upper level, in 32-bit words."""
        return 1 + self.m


def space_of(metric: Metric) -> HnswlibSpace:
    """Return hnswlib's name of a metric; InvalidRequestError for a word that is none."""
    if metric not in _SPACES:
        raise InvalidRequestError(f"metric {metric!r} is unknown; use one of {', '.join(_SPACES)}", metric=metric)
    return _SPACES[metric]


def metric_of(space: str) -> Metric:
    """Return vecdb's metric for an hnswlib space; InvalidRequestError for a space that has none."""
    if space not in _METRICS:
        raise InvalidRequestError(f"hnswlib space {space!r} is unknown; use one of {', '.join(_METRICS)}", space=space)
    return _METRICS[space]


def row_dtype(m: int, dim: int) -> np.dtype[np.void]:
    """Return the record of one row: link count, deleted mark, level-0 neighbours, vector, label."""
    return np.dtype(
        [("count", "<u2"), ("mark", "<u2"), ("links", "<u4", (2 * m,)), ("vector", "<f4", (dim,)), ("label", "<u8")]
    )


def damaged(place: str, what: str) -> CorruptionError:
    """Return the error for bytes that no hnswlib 0.8 would have written."""
    return CorruptionError(
        f"{place}: {what}. It is damaged or not an hnswlib index; save it again from hnswlib.", place=place
    )


def check_header(header: Header, dim: int, place: str) -> None:
    """Check every number of a header against the others and against the caller's `dim`.

    CorruptionError when they contradict each other, DimensionMismatchError when the rows have another dimension,
    LimitExceededError when the index is sound but beyond vecdb's limits.
    """
    _check_layout(header, place)
    found = (header.label_offset - header.data_offset) // 4
    if found != dim:
        raise DimensionMismatchError(
            f"{place}: its vectors have {found} dimensions, not {dim}; give dim={found}", expected=dim, found=found
        )
    _check_counts(header, place)
    if header.m > M_MAX:
        raise LimitExceededError(
            f"{place}: M is {header.m} and vecdb graphs end at m={M_MAX}; insert its vectors instead", m=header.m
        )


def _check_layout(header: Header, place: str) -> None:
    m = header.m
    if not 2 <= m <= HNSWLIB_M_MAX:
        raise damaged(place, f"M is {m}, hnswlib keeps it in 2..{HNSWLIB_M_MAX}")
    if (header.max_m, header.max_m0) != (m, 2 * m):
        raise damaged(place, f"maxM {header.max_m} and maxM0 {header.max_m0} do not follow from M {m}")
    if not math.isclose(header.mult, 1 / math.log(m), rel_tol=1e-9):
        raise damaged(place, f"the level factor is not 1/ln({m})")
    if header.level0_offset != 0 or header.data_offset != 4 + 8 * m:
        raise damaged(place, f"vectors at byte {header.data_offset} of a row do not follow {2 * m} links")
    vector_bytes = header.label_offset - header.data_offset
    if not 4 <= vector_bytes <= 4 * DIM_MAX or vector_bytes % 4:
        raise damaged(place, f"a vector of {vector_bytes} bytes is not 1..{DIM_MAX} float32 numbers")
    if header.row_bytes != header.label_offset + 8:
        raise damaged(place, f"a row of {header.row_bytes} bytes does not end with its label at {header.label_offset}")


def _check_counts(header: Header, place: str) -> None:
    if header.count > header.max_elements:
        raise damaged(place, f"{header.count} rows in an index for {header.max_elements}")
    if header.count > SLOTS_MAX:
        raise LimitExceededError(f"{place}: {header.count} rows, a collection ends at {SLOTS_MAX}", rows=header.count)
    if header.ef_construction < 1:
        raise damaged(place, "ef_construction is 0")
    if header.count == 0:
        if (header.max_level, header.entry) != (-1, NO_ENTRY):
            raise damaged(place, f"no rows, but entry point {header.entry} on level {header.max_level}")
        return
    if not 0 <= header.max_level <= HNSWLIB_LEVEL_MAX:
        raise damaged(place, f"the highest level is {header.max_level}, a random draw ends at {HNSWLIB_LEVEL_MAX}")
    if header.entry >= header.count:
        raise damaged(place, f"entry point {header.entry} of {header.count} rows")
