"""The `kernels` suite: nanoseconds per distance of vecdb's kernels, of numpy, and of only reading the rows.

A query is compared with all rows of a matrix, one thread on one CPU: int8 codes by squared l2 (what a graph search
walks by), float32 and float16 rows by dot product (what ranks the candidates). "cached": the matrix fits into the
second-level cache, so the figure is arithmetic. "streamed": it is far larger than any cache, so memory bandwidth bounds
it; `limit` is the time of summing up the same bytes as words, measured in turn on the same matrix. `numpy_row` computes
one row a call, `numpy_batch` a block of rows, `numpy_many` the matrix product of a block and 64 queries (of which codes
and float16 rows are converted to float32, as numpy multiplies nothing else fast). Medians, with every single run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.method.process import WorkerProcess
from benchmarks.suites.database import Progress, silent

DTYPES: Final = ("int8", "float32", "float16")
POINT_WITHIN_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelsOptions:
    """Sizes in bytes of the two matrices; a run of a measurement lasts at least `run_s`."""

    dims: Sequence[int] = (64, 128, 256, 384, 768, 1024, 1536)
    dtypes: Sequence[str] = DTYPES
    cached_bytes: int = 256 << 10
    streamed_bytes: int = 256 << 20
    repeats: int = 5
    run_s: float = 0.02
    progress: Progress = silent


def run(options: KernelsOptions) -> dict[str, Any]:
    """One point per dimension, dtype and pattern, and the bandwidths met."""
    points = list(_points(options))
    bandwidths = {
        pattern: median(point["bandwidth_gb_s"] for point in points if point["pattern"] == pattern)
        for pattern in ("cached", "streamed")
    }
    return {"bandwidth_gb_s": bandwidths, "points": points}


def _points(options: KernelsOptions) -> Iterator[dict[str, Any]]:
    sizes = {"cached": options.cached_bytes, "streamed": options.streamed_bytes}
    with WorkerProcess([sys.executable, "-m", "benchmarks.suites.kernel_timing"], 1) as worker:
        for dtype in options.dtypes:
            for dim in options.dims:
                for pattern, size in sizes.items():
                    request = {"do": "measure", "dim": dim, "dtype": dtype, "bytes": size}
                    request |= {"repeats": options.repeats, "run_s": options.run_s}
                    answer = worker.ask(request, POINT_WITHIN_S)
                    yield _point(dim, dtype, pattern, answer, options.progress)


def _point(dim: int, dtype: str, pattern: str, answer: dict[str, Any], progress: Progress) -> dict[str, Any]:
    ns = {name: times["median"] for name, times in answer["ns"].items()}
    progress(
        f"{dtype} {dim} {pattern}: kernel {ns['kernel']:.1f} ns, numpy {ns['numpy_batch']:.1f}, limit {ns['limit']:.1f}"
    )
    return {
        "dim": dim,
        "dtype": dtype,
        "pattern": pattern,
        **answer,
        "bandwidth_gb_s": answer["row_bytes"] / ns["limit"],
        "share_of_limit": ns["limit"] / ns["kernel"],
        "times_numpy_batch": ns["numpy_batch"] / ns["kernel"],
    }
