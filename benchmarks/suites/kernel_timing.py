"""Times the distance kernels, numpy and plain reading on one matrix: the process that the `kernels` suite asks.

    python -m benchmarks.suites.kernel_timing

Stays on one CPU. Concurrency: one request at a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.method.answering import serve
from benchmarks.method.machine import available_cpus, pin
from benchmarks.suites.database import spread

MANY: Final = 64
"""Queries of a matrix product."""

BLOCK_BYTES: Final = 256 << 10
"""numpy converts and multiplies this much at a time, so that what it makes stays in the cache."""

ROWS_ONE_BY_ONE: Final = 1_000
CHECKED_ROWS: Final = 64
CODE_STEP: Final = 64

Array = npt.NDArray[Any]
Timed = Callable[[int], object]
"""A call that goes over its rows so many times."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Rows of one dtype, one query in what the kernel compares them with, and many as float32."""

    rows: Array
    query: Array
    many: npt.NDArray[np.float32]

    @property
    def is_codes(self) -> bool:
        """Whether distances are squared l2 of int8 codes, and not dot products."""
        return bool(self.rows.dtype == np.int8)


def make_subject(dim: int, dtype: str, bytes_wanted: int) -> Subject:
    """Random rows; those of codes are padded with zeros, as the index stores them."""
    rng = np.random.default_rng(0)
    width = -(-dim // CODE_STEP) * CODE_STEP if dtype == "int8" else dim
    count = max(bytes_wanted // (width * np.dtype(dtype).itemsize), CHECKED_ROWS)
    many = rng.standard_normal((MANY, width), dtype=np.float32)
    if dtype != "int8":
        rows = np.empty((count, width), dtype=dtype)
        for start in range(0, count, 4_096):
            part = rows[start : start + 4_096]
            part[:] = rng.standard_normal(part.shape, dtype=np.float32)
        return Subject(rows, many[0].copy(), many)
    rows = rng.integers(-127, 128, (count, width), dtype=np.int8)
    query = rng.integers(-127, 128, width).astype(np.int16)
    rows[:, dim:], query[dim:] = 0, 0
    return Subject(rows, query, many)


def kernel_pass(subject: Subject, count: int | None = None) -> Timed:
    """The kernel over the first `count` rows (None: all)."""
    from benchmarks.suites.kernel_loops import code_rows, float_rows

    rows, query, width = subject.rows.ctypes.data, subject.query.ctypes.data, subject.rows.shape[1]
    number = len(subject.rows) if count is None else count
    if subject.is_codes:
        return lambda passes: code_rows(rows, number, width, query, passes)
    half = int(subject.rows.dtype == np.float16)
    return lambda passes: float_rows(rows, number, width, query, half, passes)


def reading_pass(subject: Subject) -> Timed:
    """Reading the rows and nothing else."""
    from benchmarks.suites.kernel_loops import read_words

    rows = subject.rows.reshape(-1).view(np.uint8)
    words = rows[: len(rows) // 8 * 8].view(np.int64)
    return lambda passes: read_words(words, passes)


def distances_by_numpy(rows: Array, query: Array, work: Array) -> Array:
    """What the kernel computes, for rows (n, d); `work` has room for as many, so that nothing large is allocated."""
    room = work[: len(rows)]
    if rows.dtype == np.int8:
        np.subtract(rows, query, out=room)
        return np.asarray(np.einsum("nd,nd->n", room, room, dtype=np.int32))
    return np.asarray(_as_float32(rows, room) @ query)


def _as_float32(rows: Array, room: Array) -> Array:
    if rows.dtype == np.float32:
        return rows
    np.copyto(room, rows)
    return room


def numpy_passes(subject: Subject) -> dict[str, tuple[Timed, int]]:
    """numpy's ways by name, each with the distances of a pass: a row a call, a block a call, and a block with many."""
    rows, query, many = subject.rows, subject.query, np.ascontiguousarray(subject.many.T)
    step = max(BLOCK_BYTES // (4 * rows.shape[1]), 1)
    one_by_one = min(ROWS_ONE_BY_ONE, len(rows))
    work = np.empty((step, rows.shape[1]), dtype=np.int16 if subject.is_codes else np.float32)
    floats, products = np.empty((step, rows.shape[1]), dtype=np.float32), np.empty((step, MANY), dtype=np.float32)

    def row(passes: int) -> None:
        for _ in range(passes):
            for place in range(one_by_one):
                distances_by_numpy(rows[place : place + 1], query, work)

    def batch(passes: int) -> None:
        for _ in range(passes):
            for start in range(0, len(rows), step):
                distances_by_numpy(rows[start : start + step], query, work)

    def product(passes: int) -> None:
        for _ in range(passes):
            for start in range(0, len(rows), step):
                block = rows[start : start + step]
                np.matmul(_as_float32(block, floats[: len(block)]), many, out=products[: len(block)])

    return {
        "numpy_row": (row, one_by_one),
        "numpy_batch": (batch, len(rows)),
        "numpy_many": (product, len(rows) * MANY),
    }


def agrees(subject: Subject) -> bool:
    """Whether kernel and numpy find the same distances, in sum: exactly for codes, else within rounding."""
    ours = kernel_pass(subject, CHECKED_ROWS)(1)
    work = np.empty((CHECKED_ROWS, subject.rows.shape[1]), dtype=np.int16 if subject.is_codes else np.float32)
    theirs = distances_by_numpy(subject.rows[:CHECKED_ROWS], subject.query, work)
    slack = 0.0 if subject.is_codes else 1e-4 * float(np.abs(theirs).sum())
    return abs(float(ours) - float(theirs.sum())) <= slack  # type: ignore[arg-type]  # both are numbers


def nanoseconds(call: Timed, distances: int, repeats: int, run_s: float) -> dict[str, Any]:
    """Time of one distance: passes are repeated until a run takes `run_s`."""
    call(1)
    begin = time.perf_counter()
    call(1)
    passes = max(math.ceil(run_s / max(time.perf_counter() - begin, 1e-9)), 1)
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call(passes)
        taken.append((time.perf_counter() - begin) / (passes * distances) * 1e9)
    return spread(taken)


def measure(request: Mapping[str, Any]) -> dict[str, Any]:
    """One point: a dimension, a dtype, and a matrix of so many bytes."""
    subject = make_subject(request["dim"], request["dtype"], request["bytes"])
    calls = {"kernel": (kernel_pass(subject), len(subject.rows)), "limit": (reading_pass(subject), len(subject.rows))}
    calls |= numpy_passes(subject)
    return {
        "rows": len(subject.rows),
        "row_bytes": subject.rows.nbytes // len(subject.rows),
        "agrees": agrees(subject),
        "ns": {
            name: nanoseconds(call, distances, request["repeats"], request["run_s"])
            for name, (call, distances) in calls.items()
        },
    }


def main() -> None:
    """Serve until the input ends, on one CPU."""
    pin({max(available_cpus())})
    serve({"measure": measure})


if __name__ == "__main__":
    main()
