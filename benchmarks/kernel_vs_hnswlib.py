"""Compares vecdb's index kernels with hnswlib in one run: build time, then QPS at equal recall.

    python benchmarks/kernel_vs_hnswlib.py --data DIR [--cache DIR] [--out FILE.json]

DIR holds `vectors.f16.npy` (or name it in VECDB_DATA). Base and queries are split by `default_rng(1).permutation(n)`,
the first 1,000 rows being the queries; metric cosine, k = 10, one thread pinned to one CPU. Searches of the two engines
alternate, repeated, and medians are reported. `--cache` keeps hnswlib's index and the exact answers between runs, in
which case hnswlib's build time is the one measured when the cache was made (the report says so).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

K = 10
M = 16
EF_CONSTRUCTION = 200
QUERIES = 1_000
OURS = (10, 14, 20, 28, 36, 48, 64, 80, 100, 128, 160, 200, 256, 384, 512)
THEIRS = (10, 16, 24, 32, 40, 56, 72, 96, 128, 160, 200, 256, 320, 384, 512)
TARGETS = (0.90, 0.95, 0.99)
Matrix = npt.NDArray[np.float32]
Curve = list[dict[str, float]]


def load_split(directory: Path) -> tuple[Matrix, Matrix]:
    """(base, queries), normalised float32."""
    vectors = np.load(directory / "vectors.f16.npy", allow_pickle=False).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.random.default_rng(1).permutation(len(vectors))
    return np.ascontiguousarray(vectors[order[QUERIES:]]), np.ascontiguousarray(vectors[order[:QUERIES]])


def exact_distances(base: Matrix, queries: Matrix) -> Matrix:
    """Distance of the k-th true neighbour of each query: recall counts hits at most that far (ties included)."""
    bound = np.empty(len(queries), dtype=np.float32)
    for start in range(0, len(queries), 100):
        distances = 1.0 - queries[start : start + 100] @ base.T
        bound[start : start + 100] = np.partition(distances, K - 1, axis=1)[:, K - 1]
    return bound


def recall(base: Matrix, queries: Matrix, bound: Matrix, labels: npt.NDArray[Any]) -> float:
    """Share of the returned rows that are as near as the k-th true neighbour, distances recomputed for both engines."""
    distances = 1.0 - np.einsum("qd,qkd->qk", queries, base[labels.astype(np.int64)])
    return float((distances <= bound[:, None] + 1e-5).mean())


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds of one call; the CPU time is the fairer one on a machine that has other work."""
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - cpu


def build_theirs(base: Matrix, cache: Path | None) -> tuple[Any, dict[str, Any]]:
    """(index, build seconds and whether they are from the cache)."""
    import hnswlib

    index = hnswlib.Index("cosine", base.shape[1])
    if cache is not None and (cache / "hnswlib.bin").exists():
        index.load_index(str(cache / "hnswlib.bin"))
        index.set_num_threads(1)
        return index, {**json.loads((cache / "hnswlib.json").read_text()), "cached": True}
    index.init_index(len(base), M=M, ef_construction=EF_CONSTRUCTION, random_seed=1)
    wall, cpu = seconds(lambda: index.add_items(base, num_threads=1))
    taken = {"total": wall, "cpu": cpu}
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        index.save_index(str(cache / "hnswlib.bin"))
        (cache / "hnswlib.json").write_text(json.dumps(taken))
    index.set_num_threads(1)
    return index, {**taken, "cached": False}


def build_ours(base: Matrix, threads: int) -> tuple[Any, dict[str, float]]:
    """(segment, seconds of each step)."""
    from vecdb.index.build import build_graph, row_levels
    from vecdb.index.quantize import encode_rows, fit_quantizer
    from vecdb.index.segment import segment_from_arrays

    steps: dict[str, float] = {}
    cpu = time.process_time()
    begin = time.perf_counter()
    quantizer = fit_quantizer(base, "cosine")
    codes = encode_rows(quantizer, base)
    steps["encode"] = time.perf_counter() - begin
    levels = row_levels(np.arange(len(base), dtype=np.uint32), M)
    begin = time.perf_counter()
    graph = build_graph(codes, levels, m=M, ef_construction=EF_CONSTRUCTION, threads=threads)
    steps["graph"] = time.perf_counter() - begin
    steps["total"] = steps["encode"] + steps["graph"]
    steps["cpu"] = time.process_time() - cpu
    return segment_from_arrays(base, graph, "cosine", quantizer=quantizer, codes=codes), steps


def measure_curves(
    engines: Mapping[str, tuple[tuple[int, ...], Callable[[int], tuple[npt.NDArray[Any], float]]]],
    score: Callable[[npt.NDArray[Any]], float],
    repeats: int,
) -> dict[str, Curve]:
    """(ef, recall, median QPS) per engine; the engines take turns so that noise hits them alike."""
    times: dict[tuple[str, int], list[float]] = {}
    recalls: dict[tuple[str, int], float] = {}
    for _ in range(repeats):
        for position in range(max(len(efforts) for efforts, _ in engines.values())):
            for name, (efforts, answer) in engines.items():
                if position < len(efforts):
                    labels, taken = answer(efforts[position])
                    times.setdefault((name, efforts[position]), []).append(taken)
                    recalls.setdefault((name, efforts[position]), score(labels))
    return {
        name: [
            {"ef": ef, "recall": round(recalls[name, ef], 5), "qps": round(QUERIES / median(times[name, ef]), 1)}
            for ef in efforts
        ]
        for name, (efforts, _) in engines.items()
    }


def qps_at(curve: Curve, target: float) -> float:
    """QPS at a recall, interpolated (log QPS over recall); NaN outside the curve."""
    points = sorted((point["recall"], point["qps"]) for point in curve)
    recalls = [point[0] for point in points]
    if not recalls[0] <= target <= recalls[-1]:
        return float("nan")
    return float(np.exp(np.interp(target, recalls, np.log([point[1] for point in points]))))


def engine_calls(index: Any, segment: Any, queries: Matrix) -> dict[str, Any]:
    """How each engine answers all queries at one ef: (labels, seconds), in a batch and one at a time."""
    from vecdb.index.search import search_segment, search_segment_batch

    def theirs(ef: int) -> tuple[npt.NDArray[Any], float]:
        index.set_ef(ef)
        begin = time.perf_counter()
        labels, _ = index.knn_query(queries, k=K, num_threads=1)
        return labels, time.perf_counter() - begin

    def ours(ef: int) -> tuple[npt.NDArray[Any], float]:
        begin = time.perf_counter()
        slots = search_segment_batch(segment, queries, K, ef).slots
        return slots, time.perf_counter() - begin

    def theirs_single(ef: int) -> tuple[npt.NDArray[Any], float]:
        index.set_ef(ef)
        begin = time.perf_counter()
        labels = [index.knn_query(query, k=K, num_threads=1)[0][0] for query in queries]
        return np.array(labels), time.perf_counter() - begin

    def ours_single(ef: int) -> tuple[npt.NDArray[Any], float]:
        begin = time.perf_counter()
        slots = [search_segment(segment, query, K, ef)[0] for query in queries]
        return np.array(slots), time.perf_counter() - begin

    return {"batch": (theirs, ours), "single": (theirs_single, ours_single)}


def machine_facts() -> dict[str, Any]:
    """What the figures depend on."""
    import hnswlib
    import numba

    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "hnswlib": getattr(hnswlib, "__version__", "0.8.0"),
    }


def pin(cpus: set[int]) -> None:
    """Run on these CPUs only, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark; returns the report."""
    from vecdb.kernels.native import load_kernels

    all_cpus = os.sched_getaffinity(0)
    pin({max(all_cpus)})
    load_kernels()
    base, queries = load_split(options.data)
    bound = exact_distances(base, queries)
    report: dict[str, Any] = {"machine": machine_facts(), "rows": len(base), "dim": base.shape[1]}
    index, theirs_built = build_theirs(base, options.cache)
    segment, steps = build_ours(base, 1)
    report["build_s"] = {"hnswlib": theirs_built, "vecdb_1": steps}
    report["build_ratio"] = steps["total"] / theirs_built["total"]
    report["build_ratio_cpu"] = steps["cpu"] / theirs_built["cpu"]
    if options.two_threads and len(all_cpus) > 1:
        pin(all_cpus)
        report["build_s"]["vecdb_2"] = build_ours(base, 2)[1]
        report["build_speedup_2"] = steps["graph"] / report["build_s"]["vecdb_2"]["graph"]
        pin({max(all_cpus)})
    for mode, (theirs, ours) in engine_calls(index, segment, queries).items():
        engines = {"hnswlib": (THEIRS, theirs), "vecdb": (OURS, ours)}
        curves = measure_curves(engines, lambda labels: recall(base, queries, bound, labels), options.repeats)
        targets = {str(target): {name: qps_at(curve, target) for name, curve in curves.items()} for target in TARGETS}
        report[mode] = {"curves": curves, "qps_at": targets}
    return report


def print_report(report: dict[str, Any]) -> None:
    """The report as tables."""
    print(json.dumps(report["machine"]))
    print("build:", json.dumps(report["build_s"]))
    print(f"build ratio {report['build_ratio']:.3f} (CPU time {report['build_ratio_cpu']:.3f})")
    print(f"two threads x{report.get('build_speedup_2', float('nan')):.2f}")
    for mode in ("batch", "single"):
        print(f"\n{mode}: {'recall':>8} {'hnswlib':>10} {'vecdb':>10} {'ratio':>7}")
        for target, values in report[mode]["qps_at"].items():
            ratio = values["vecdb"] / values["hnswlib"]
            print(f"{mode}: {target:>8} {values['hnswlib']:>10.0f} {values['vecdb']:>10.0f} {ratio:>7.2f}")
        for name, curve in report[mode]["curves"].items():
            print(name.ljust(8), " ".join(f"{p['ef']}:{p['recall']:.4f}@{p['qps']:.0f}" for p in curve))


def main() -> None:
    """Parse options, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("VECDB_DATA"), help="directory of vectors.f16.npy")
    parser.add_argument("--cache", type=Path, help="keep hnswlib's index here between runs")
    parser.add_argument("--out", type=Path, help="write the report as JSON")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--two-threads", action="store_true", help="also build with two threads")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data directory with --data or VECDB_DATA")
    options.data = Path(options.data)
    report = run(options)
    print_report(report)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
