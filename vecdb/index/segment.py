"""Describes one field of one segment to the search: columns of vectors, codes, links and slots, and how to read them.

Promises: a Segment holds no rows of its own; it keeps the owners of its columns alive. Building one costs microseconds.
Invariants: all columns have `rows` rows; the plan (the kernels' view) is derived once and never changes.
Concurrency: immutable; share freely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecdb.config import QUERY_CODE_MAX
from vecdb.index.graph import Graph
from vecdb.index.hashing import rotation_masks
from vecdb.index.quantize import CODE_MAX, Quantizer, encode_rows, fit_quantizer, inverse_norms
from vecdb.index.recall_curve import AHEAD_ROWS, AHEAD_SKETCHES, RecallCurve
from vecdb.kernels import layout
from vecdb.kernels.column import Column
from vecdb.types import Metric, VectorDtype

INT32_MAX: Final = 2**31 - 1


class Plan:
    """The int64 descriptor a kernel reads (see kernels/layout.py), with the arrays it points to kept alive."""

    __slots__ = ("address", "keep", "words")

    def __init__(self) -> None:
        self.words = np.zeros(layout.PLAN_WORDS, dtype=np.int64)
        self.address = int(self.words.ctypes.data)
        self.keep: list[object] = []

    def put(self, place: int, value: int) -> None:
        """Set an integer field."""
        self.words[place // 8] = value

    def put_float(self, place: int, value: float) -> None:
        """Set a float64 field."""
        self.words[place // 8] = np.float64(value).view(np.int64)

    def put_column(self, place: int, column: Column | None) -> None:
        """Set the three fields of a column."""
        if column is not None:
            self.words[place // 8 : place // 8 + 3] = (column.address, column.shift, column.stride)
            self.keep.append(column)

    def put_array(self, place: int, array: npt.NDArray[Any]) -> None:
        """Set a field to the address of an array."""
        self.words[place // 8] = array.ctypes.data
        self.keep.append(array)


def scan_plan(
    vectors: Column,
    inverse_norms: Column | None,
    slots: Column,
    rows: int,
    metric: Metric,
    dtype: VectorDtype,
    dim: int,
) -> Plan:
    """The plan of an exact scan over `vectors` (rows, dim). Make it once per column set and reuse it."""
    plan = Plan()
    plan.put(layout.ROWS, rows)
    plan.put(layout.DIM, dim)
    plan.put(layout.METRIC, layout.METRIC_NUMBERS[metric])
    plan.put(layout.HALF, int(dtype == "float16"))
    plan.put_column(layout.VECTORS, vectors)
    plan.put_column(layout.NORMS, inverse_norms)
    plan.put_column(layout.SLOTS, slots)
    plan.put(layout.AHEAD_ROWS, AHEAD_ROWS)
    plan.put(layout.AHEAD_SKETCHES, AHEAD_SKETCHES)
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What a search needs of one field of one segment; every column may be mapped or on the heap.

    vectors (rows, dim) float32 or float16; inverse_norms (rows,) float32, None unless cosine; codes (rows, padded)
    int8; links (rows, 2m) int32; upper_* and level_starts as in Graph; slots (rows,) uint32; entry as in Graph.
    With packed rows (see `packing`) codes and links are views of these, and walks go over them, and scans over sketches
    (see `sketching`), unless `by_codes`.
    """

    rows: int
    dim: int
    metric: Metric
    dtype: VectorDtype
    quantizer: Quantizer
    vectors: Column
    inverse_norms: Column | None
    codes: Column
    links: Column
    upper_rows: Column
    upper_down: Column
    upper_links: Column
    level_starts: npt.NDArray[np.int32]
    entry: int
    slots: Column
    curve: RecallCurve | None = None
    packed: Column | None = None
    sketches: Column | None = None
    by_codes: bool = False
    plan: Plan = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan", _search_plan(self))

    @property
    def is_checked(self) -> bool:
        """Whether walks compare rows by their codes before they enter the pool: see `kernels.packed`."""
        return self.packed is not None and not self.by_codes and self.quantizer.padded <= layout.CHECKED_PADDED


def _search_plan(segment: Segment) -> Plan:
    plan = scan_plan(
        segment.vectors,
        segment.inverse_norms,
        segment.slots,
        segment.rows,
        segment.metric,
        segment.dtype,
        segment.dim,
    )
    quantizer = segment.quantizer
    plan.put(layout.PADDED, quantizer.padded)
    plan.put_column(layout.CODES, segment.codes)
    plan.put_column(layout.LINKS, segment.links)
    plan.put_column(layout.UPPER_ROWS, segment.upper_rows)
    plan.put_column(layout.UPPER_DOWN, segment.upper_down)
    plan.put_column(layout.UPPER_LINKS, segment.upper_links)
    plan.put(layout.DEGREE, segment.upper_links.stride // 2)
    if segment.packed is not None and not segment.by_codes:
        plan.put_column(layout.PACKED, segment.packed)
        plan.put_column(layout.SKETCHES, segment.sketches)
        plan.put_array(layout.ROTATION, rotation_masks(quantizer.padded))
    if segment.curve is not None:
        plan.put(layout.AHEAD_ROWS, segment.curve.ahead_rows)
        plan.put(layout.AHEAD_SKETCHES, segment.curve.ahead_sketches)
    plan.put(layout.UPPER_DEGREE, segment.upper_links.stride // 4)
    plan.put(layout.UPPER_ROW_COUNT, segment.upper_rows.rows)
    plan.put(layout.LEVELS, len(segment.level_starts) - 1)
    plan.put(layout.ENTRY, segment.entry)
    plan.put_float(layout.QUERY_FACTOR, (quantizer.radius if quantizer.metric == "dot" else 1.0) / quantizer.scale)
    plan.put(layout.QUERY_CLIP, query_clip(quantizer.padded))
    plan.put_array(layout.CENTER, quantizer.center)
    return plan


def query_clip(padded: int) -> int:
    """Largest |query code| for which the squared distance of `padded` components cannot leave int32."""
    return min(QUERY_CODE_MAX, isqrt(INT32_MAX // padded) - CODE_MAX)


def segment_from_arrays(
    vectors: npt.NDArray[Any],
    graph: Graph,
    metric: Metric,
    *,
    slots: npt.NDArray[np.uint32] | None = None,
    quantizer: Quantizer | None = None,
    codes: npt.NDArray[np.int8] | None = None,
    curve: RecallCurve | None = None,
) -> Segment:
    """A heap segment over `vectors` (n, dim) float32 or float16; derives whatever is not given."""
    dtype: VectorDtype = "float16" if vectors.dtype == np.float16 else "float32"
    quantizer = fit_quantizer(vectors, metric) if quantizer is None else quantizer
    norms = inverse_norms(vectors) if metric == "cosine" else None
    codes = encode_rows(quantizer, vectors, norms) if codes is None else codes
    slots = np.arange(len(vectors), dtype=np.uint32) if slots is None else slots
    return Segment(
        rows=len(vectors),
        dim=vectors.shape[1],
        metric=metric,
        dtype=dtype,
        quantizer=quantizer,
        vectors=Column.from_array(vectors),
        inverse_norms=None if norms is None else Column.from_array(norms),
        codes=Column.from_array(codes),
        links=Column.from_array(graph.links),
        upper_rows=Column.from_array(graph.upper_rows),
        upper_down=Column.from_array(graph.upper_down),
        upper_links=Column.from_array(graph.upper_links),
        level_starts=graph.level_starts,
        entry=graph.entry,
        slots=Column.from_array(slots),
        curve=curve,
    )
