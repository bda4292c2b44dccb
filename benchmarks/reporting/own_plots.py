"""Draws vecdb's own suites: how figures grow with rows, and what a distance costs beside reading its bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.reporting.style import OURS, line_of, log_axis, look_of, pyplot, save, title
from benchmarks.reporting.table import is_number

KERNEL_LINES: Final = {
    "kernel": ("vecdb's kernel", look_of(OURS)[0], "o", "-"),
    "numpy_batch": ("numpy, one query, all rows", "#0072B2", "s", "-"),
    "numpy_many": ("numpy, 64 queries, all rows", "#56B4E9", "^", "-"),
    "limit": ("reading the rows only", "#7F7F7F", "", "--"),
}
"""numpy row by row, a hundred times slower than all others, is in the table only."""


def draw_growth(report: Mapping[str, Any], out: Path) -> list[str]:
    """How speed, build time and memory grow with rows, and the fitted exponents."""
    sizes, exponents = report["results"]["sizes"], report["results"]["exponents"]
    figure, (speed, build, memory) = pyplot().subplots(1, 3, figsize=(13, 4.4))
    rows = [one["rows"] for one in sizes]
    for recall, style in (("0.95", "-"), ("0.99", "--")):
        values = [one["qps_at"].get(recall) for one in sizes]
        _growth_line(speed, rows, values, exponents.get(f"qps_at_{recall}"), f"recall {recall}", style)
    _growth_line(build, rows, [one["build"]["seconds"] for one in sizes], exponents.get("build_s"), "build", "-")
    _growth_line(memory, rows, [one["memory_mb"] for one in sizes], exponents.get("memory_mb"), "memory", "-")
    names = ("queries per second, one thread → better", "seconds to build ← better", "MB, rows included ← better")
    for axes, name in zip((speed, build, memory), names, strict=True):
        axes.set_ylabel(name)
        axes.set_xlabel("rows")
        axes.margins(0.12)
        log_axis(axes.xaxis)
        log_axis(axes.yaxis)
        axes.legend(frameon=False, fontsize=9)
    parts = [
        f"{label} as {_power(exponents[name])}"
        for name, label in (("qps_at_0.95", "speed at recall .95"), ("build_s", "build time"), ("memory_mb", "memory"))
        if is_number(exponents.get(name))
    ]
    data = report.get("dataset") or {}
    title(figure, f"{OURS} grows: {', '.join(parts) or 'too few sizes to fit'}", _growth_data(data, rows))
    return [save(figure, out, "growth")]


def _growth_data(data: Mapping[str, Any], rows: Sequence[int]) -> str:
    name = f"{data['name']}, {data['dim']} dimensions, {data['metric']}; " if data else ""
    return f"{name}{min(rows):,} to {max(rows):,} rows; thin lines: the fitted power"


def _power(exponent: float) -> str:
    return f"rows$^{{{exponent:.2f}}}$"


def _growth_line(
    axes: Any, rows: Sequence[int], values: Sequence[float | None], exponent: float | None, name: str, style: str
) -> None:
    """The figures, and through their middle a line of the fitted exponent."""
    known = [(count, value) for count, value in zip(rows, values, strict=True) if is_number(value) and value > 0]
    if not known:
        return
    counts, figures = np.array(known, dtype=np.float64).T
    label = name if exponent is None else f"{name}: {_power(exponent)}"
    axes.plot(counts, figures, **line_of(OURS) | {"label": label, "linestyle": style, "linewidth": 2.0})
    if exponent is not None:
        middle = np.exp(np.log(figures).mean() - exponent * np.log(counts).mean())
        axes.plot(counts, middle * counts**exponent, color="#7F7F7F", linewidth=1.0, linestyle=style, zorder=2)


def draw_kernels(report: Mapping[str, Any], out: Path) -> list[str]:
    """Nanoseconds per distance over dimensions: a column for each dtype, a row for each place of the rows."""
    points = report["results"]["points"]
    dtypes = list(dict.fromkeys(one["dtype"] for one in points))
    patterns = list(dict.fromkeys(one["pattern"] for one in points))
    size = (1.5 + 3.8 * len(dtypes), 1.6 + 3.2 * len(patterns))
    figure, grid = pyplot().subplots(len(patterns), len(dtypes), figsize=size, squeeze=False, sharex=True)
    for line, pattern in zip(grid, patterns, strict=True):
        for axes, dtype in zip(line, dtypes, strict=True):
            _kernel_panel(axes, [one for one in points if (one["dtype"], one["pattern"]) == (dtype, pattern)])
            axes.set_title(f"{dtype}, rows {pattern}", fontsize=10, loc="left")
        line[0].set_ylabel("ns per distance ← better")
    for axes in grid[-1]:
        axes.set_xlabel("dimensions")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    streamed = [one["share_of_limit"] for one in points if one["pattern"] == "streamed"]
    reach = (
        f"; streamed rows pass at {min(streamed):.0%} to {max(streamed):.0%} of the rate of reading" if streamed else ""
    )
    times = [one["times_numpy_batch"] for one in points]
    sentence = f"{OURS}'s kernels are {min(times):.1f} to {max(times):.1f} × as fast as numpy with one query{reach}"
    title(figure, sentence, "one thread; cached: rows fit the second-level cache; streamed: larger than every cache")
    return [save(figure, out, "kernels")]


def _kernel_panel(axes: Any, points: Sequence[Mapping[str, Any]]) -> None:
    dims = [one["dim"] for one in points]
    for name, (label, colour, marker, style) in KERNEL_LINES.items():
        values = [one["ns"][name]["median"] for one in points]
        width = 2.6 if name == "kernel" else 1.3
        axes.plot(dims, values, color=colour, marker=marker, linestyle=style, linewidth=width, label=label)
    log_axis(axes.xaxis)
    log_axis(axes.yaxis)
