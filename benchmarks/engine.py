"""Measures the embedded engine end to end on wordnet-minilm: ingest, search, opening, readers; hnswlib in the same run.

    python -m benchmarks engine --data DIR [--out FILE.json]

DIR holds `vectors.f16.npy` and `records.jsonl.gz` (or name it in VECDB_DATA). One thread pinned to one CPU, except for
the background indexer during ingest and for the reader processes, which are what is measured there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

import vecdb
from benchmarks.kernel_vs_hnswlib import (
    OURS,
    QUERIES,
    TARGETS,
    THEIRS,
    K,
    Matrix,
    build_theirs,
    exact_distances,
    load_split,
    machine_facts,
    measure_curves,
    pin,
    qps_at,
    recall,
)
from benchmarks.suites.coldstart import measure_starts
from benchmarks.suites.multiprocess import MultiprocessOptions, measure_readers

BATCH_ROWS = 1_000
COLLECTION = "wordnet"
READERS = 4
WRITES_OBSERVED = 50


def load_records(directory: Path) -> list[dict[str, Any]]:
    """Records in the order of the base rows of `load_split`."""
    with gzip.open(directory / "records.jsonl.gz", "rt") as lines:
        records = [json.loads(line) for line in lines]
    order = np.random.default_rng(1).permutation(len(records))
    return [records[row] for row in order[QUERIES:]]


def batches(base: Matrix, records: list[dict[str, Any]]) -> Iterator[tuple[list[str], Matrix, list[dict[str, Any]]]]:
    """Columns of 1,000 records each."""
    for start in range(0, len(base), BATCH_ROWS):
        part = records[start : start + BATCH_ROWS]
        metadata = [{key: value for key, value in record.items() if key != "id"} for record in part]
        yield [record["id"] for record in part], base[start : start + BATCH_ROWS], metadata


def measure_ingest(path: Path, base: Matrix, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Durable upserts of 1,000 with the indexer running; after each, its last record must be the nearest to itself."""
    prepared = list(batches(base, records))
    with vecdb.open(path) as db:
        collection = db.create_collection(COLLECTION, dim=base.shape[1])
        seconds, seen = 0.0, 0
        for ids, vectors, metadata in prepared:
            begin = time.perf_counter()
            collection.upsert(ids, vectors, metadata)
            seconds += time.perf_counter() - begin
            seen += ids[-1] in collection.search(vectors[-1], limit=3, with_metadata=False).ids
        begin = time.perf_counter()
        collection.optimize()
        indexed = time.perf_counter() - begin
        stats = collection.stats().fields["default"]
    return {
        "records_per_s": round(len(base) / seconds),
        "visible_after_ack": f"{seen} of {len(prepared)} checked",
        "indexed_after_last_write_s": round(indexed, 1),
        "segments": stats.segments,
        "index_mb": round(stats.index_bytes / 1e6, 1),
        "file_mb": round((path / "data.mdb").stat().st_size / 1e6, 1),
    }


def measure_single(
    collection: vecdb.Collection,
    records: list[dict[str, Any]],
    index: Any,
    base: Matrix,
    queries: Matrix,
    repeats: int,
) -> dict[str, Any]:
    """`collection.search` (ids and scores) beside hnswlib's `knn_query`, one query at a time."""
    rows = {record["id"]: row for row, record in enumerate(records)}
    bound = exact_distances(base, queries)

    def theirs(ef: int) -> tuple[npt.NDArray[Any], float]:
        index.set_ef(ef)
        begin = time.perf_counter()
        labels = [index.knn_query(query, k=K, num_threads=1)[0][0] for query in queries]
        return np.array(labels), time.perf_counter() - begin

    def ours(ef: int) -> tuple[npt.NDArray[Any], float]:
        begin = time.perf_counter()
        found = [collection.search(query, K, ef=ef, with_metadata=False).ids for query in queries]
        taken = time.perf_counter() - begin
        return np.array([[rows[record_id] for record_id in ids] for ids in found]), taken

    engines = {"hnswlib": (THEIRS, theirs), "vecdb": (OURS, ours)}
    curves = measure_curves(engines, lambda labels: recall(base, queries, bound, labels), repeats)
    at = {str(target): {name: round(qps_at(curve, target), 1) for name, curve in curves.items()} for target in TARGETS}
    return {"curves": curves, "qps_at": at}


def measure_opening(path: Path) -> dict[str, Any]:
    """`vecdb.open`, and a whole new process from start to its first answer."""
    opens = []
    for _ in range(7):
        begin = time.perf_counter()
        vecdb.open(path, mode="r").close()
        opens.append(time.perf_counter() - begin)
    starts = measure_starts(path, COLLECTION, repeats=5, cold_repeats=0)["warm"]
    return {
        "open_ms": round(median(opens) * 1e3, 1),
        "process_to_first_answer_s": round(starts["process_to_first_answer_s"]["median"], 2),
    }


def measure_four_readers(path: Path, base: Matrix, queries: Matrix, index_mb: float) -> dict[str, Any]:
    """Private memory of 4 readers that search all over the index, and how soon each sees a write."""
    plan = MultiprocessOptions(base=base, queries=queries, writes=WRITES_OBSERVED, effort={"ef": 400})
    found = measure_readers(path, COLLECTION, READERS, plan)
    private, before = found["private_mb"], found["before_mb"]
    database = max(after - first for first, after in zip(before, private, strict=True))
    return {
        "readers": READERS,
        "qps_of_all": round(found["qps"]),
        "private_mb": [round(value, 1) for value in private],
        "of_which_python_numpy_mb": round(max(before), 1),
        "of_which_database_and_kernels_mb": round(database, 1),
        "private_share_of_index": round(max(private) / index_mb, 3),
        "visible_ms_median": round(found["visible_ms"]["median"], 2),
        "visible_ms_max": round(found["visible_ms"]["max"], 2),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark; returns the report."""
    base, queries = load_split(options.data)
    records = load_records(options.data)
    directory = Path(tempfile.mkdtemp(prefix="vecdb-bench-", dir=options.tmp))
    path = directory / "db"
    report: dict[str, Any] = {"machine": machine_facts(), "rows": len(base)}
    try:
        report["ingest"] = measure_ingest(path, base, records)
        print("ingest:", json.dumps(report["ingest"]), flush=True)
        report["opening"] = measure_opening(path)
        print("opening:", json.dumps(report["opening"]), flush=True)
        report["readers"] = measure_four_readers(path, base, queries, report["ingest"]["index_mb"])
        print("readers:", json.dumps(report["readers"]), flush=True)
        cpus = os.sched_getaffinity(0)
        pin({max(cpus)})
        index = build_theirs(base, options.cache)[0]
        with vecdb.open(path, mode="r") as db:
            report["single"] = measure_single(db.collection(COLLECTION), records, index, base, queries, options.repeats)
        pin(cpus)
    finally:
        shutil.rmtree(directory)
    return report


def main() -> None:
    """Parse options, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("VECDB_DATA"), help="directory of the data set")
    parser.add_argument("--cache", type=Path, help="keep hnswlib's index here between runs")
    parser.add_argument("--tmp", type=Path, help="where the database is built; default the system's")
    parser.add_argument("--out", type=Path, help="write the report as JSON")
    parser.add_argument("--repeats", type=int, default=5, help="of the single searches; medians are reported")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the data directory with --data or VECDB_DATA")
    options.data = Path(options.data)
    report = run(options)
    for target, values in report["single"]["qps_at"].items():
        ratio = values["vecdb"] / values["hnswlib"]
        print(f"single: {target:>5} hnswlib {values['hnswlib']:>8.0f} vecdb {values['vecdb']:>8.0f} ratio {ratio:.2f}")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
