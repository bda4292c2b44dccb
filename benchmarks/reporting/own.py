"""Tables of vecdb's own suites: growth, writing while searching, starts, readers, kernels, and those told elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from benchmarks.reporting.ingest import ingest_tables
from benchmarks.reporting.recall import recall_tables
from benchmarks.reporting.serve import serve_tables
from benchmarks.reporting.table import NONE, number, table
from benchmarks.reporting.targets import Target, target_table
from benchmarks.reporting.updates import updates_tables
from benchmarks.reporting.winners import wins_section

SLOWEST_GROWTH: Final = -0.25
"""Speed may fall with rows no faster than this power of them."""

STEPS: Final = {
    "start_python_ms": "start Python, ms",
    "import_numpy_ms": "import numpy, ms",
    "import_vecdb_ms": "import vecdb, ms",
    "open_ms": "vecdb.open with what it imports, ms",
    "first_search_ms": "first search, ms",
    "process_to_first_answer_s": "process start to first answer, s",
}


def own_tables(report: Mapping[str, Any]) -> list[str]:
    """The lines of the suite's section."""
    makers: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
        "scale": _scale,
        "streaming": _streaming,
        "coldstart": _coldstart,
        "multiprocess": _multiprocess,
        "kernels": _kernels,
        "serve": serve_tables,
        "ingest": ingest_tables,
        "recall": recall_tables,
        "updates": updates_tables,
    }
    maker = makers.get(report["suite"])
    if maker is None:
        raise ValueError(f"there is no suite {report['suite']!r}")
    return maker(report["results"])


def _scale(results: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            f"{one['rows']:,}",
            number(one["qps_at"].get("0.95")),
            number(one["qps_at"].get("0.99")),
            number(one["build"]["seconds"], 1),
            number(one["memory_mb"]),
        ]
        for one in results["sizes"]
    ]
    exponents = results["exponents"]
    names = ("qps_at_0.95", "qps_at_0.99", "build_s", "memory_mb")
    rows.append(["grows with rows to the power of", *(number(exponents.get(name), 2) for name in names)])
    exponent = Target("queries/s at recall .95 grow with rows to the power of", SLOWEST_GROWTH, exponents.get(names[0]))
    return [
        *target_table([exponent]),
        *table(["rows", "queries/s at recall .95", "at .99", "seconds to build", "MB"], rows),
    ]


def _streaming(results: Mapping[str, Any]) -> list[str]:
    columns = ["second", "records", "tail rows", "segments", "searches", "p50 ms", "p99 ms", "recall", "write p99 ms"]
    rows = [
        [
            str(one["second"]),
            number(one["records"]),
            number(one["tail_rows"]),
            number(one["segments"]),
            number(one["searches"]),
            number(one["p50_ms"], 2),
            number(one["p99_ms"], 2),
            number(one["recall"], 3),
            number((one.get("write") or {}).get("p99_ms"), 1),
        ]
        for one in results["seconds"]
    ]
    total = results["total"]
    written = f"{results['rows_written']:,} rows written durably at {results['asked_rows_per_s']:,.0f} a second"
    searched = f"median {total['p50_ms']:.2f} ms, p99 {total['p99_ms']:.2f} ms, recall {number(total['recall'], 3)}"
    return [f"{written} while one thread searched: {searched}.", "", *table(columns, rows)]


def _coldstart(results: Mapping[str, Any]) -> list[str]:
    def cell(part: Mapping[str, Any] | None, step: str) -> str:
        return (
            NONE if part is None or step not in part else number(part[step]["median"], 2 if step.endswith("_s") else 1)
        )

    warm, cold = results["warm"], results["cold_kernels"]
    rows = [[label, cell(warm, step), cell(cold, step)] for step, label in STEPS.items()]
    return table(["step of a new process", "kernels kept", "kernels compiled first"], rows)


def _multiprocess(results: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            str(one["readers"]),
            number(one["qps"]),
            number(max(one["private_mb"]), 1),
            number(max(one["before_mb"]), 1),
            number(one["visible_ms"]["median"], 2),
            number(one["visible_ms"]["max"], 2),
        ]
        for one in results["points"]
    ]
    columns = ["readers", "queries/s together", "private MB each", "of it Python and numpy", "visible ms", "at most ms"]
    return [f"An index of {results['index_mb']:,.0f} MB.", "", *table(columns, rows)]


def _kernels(results: Mapping[str, Any]) -> list[str]:
    names = ("kernel", "limit", "numpy_row", "numpy_batch", "numpy_many")
    columns = ["dtype", "dim", "rows", "kernel", "reading only", "numpy a row", "numpy all rows", "numpy 64 queries"]
    rows = []
    wins = []
    for one in results["points"]:
        ns = {name: times["median"] for name, times in one["ns"].items()}
        rows.append([one["dtype"], str(one["dim"]), one["pattern"], *(number(ns.get(name), 1) for name in names)])
        wins += [
            f"{one['dtype']}, {one['dim']} dimensions, {one['pattern']}: {name.replace('_', ' ')} takes "
            f"{ns[name]:.1f} ns, the kernel {ns['kernel']:.1f} ns"
            for name in ("numpy_row", "numpy_batch", "numpy_many")
            if name in ns and ns[name] < ns["kernel"]
        ]
    note = "Nanoseconds per distance, one thread. Reading only: the same bytes summed up, the limit of the memory."
    return [note, "", *table(columns, rows), *wins_section(wins)]
