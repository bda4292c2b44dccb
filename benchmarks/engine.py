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
import subprocess
import sys
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

BATCH_ROWS = 1_000
READERS = 4
WRITES_OBSERVED = 50

COLD_START = """
import time
import numpy, vecdb
query = numpy.ones(384, dtype="float32")
begin = time.perf_counter()
db = vecdb.open({path!r}, mode="r")
opened = time.perf_counter() - begin
db.collection("wordnet").search(query)
print(opened)
"""


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
        collection = db.create_collection("wordnet", dim=base.shape[1])
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
    starts = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", COLD_START.format(path=str(path))], check=True, capture_output=True)
        starts.append(time.perf_counter() - begin)
    return {"open_ms": round(median(opens) * 1e3, 1), "process_to_first_answer_s": round(median(starts), 2)}


def private_mb() -> float:
    """Memory of this process that it shares with nobody, in MB."""
    sizes = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        sizes[name] = int(value) / 1024
    return sizes["Private_Clean:"] + sizes["Private_Dirty:"]


def reader(path: str) -> None:
    """A reader process: searches all over the index, then reports how soon it sees each write."""
    before = private_mb()
    collection = vecdb.open(path, mode="r").collection("wordnet")
    rng = np.random.default_rng(os.getpid())
    for _ in range(300):
        collection.search(rng.standard_normal(384).astype(np.float32), ef=400)
    print(json.dumps({"process_mb": before}), flush=True)
    sys.stdin.readline()
    print(json.dumps({"private_mb": private_mb()}), flush=True)
    count = collection.count()
    for _ in range(WRITES_OBSERVED):
        while collection.count() == count:
            time.sleep(0.001)
        count = collection.count()
        print(json.dumps({"seen": time.time()}), flush=True)


def measure_readers(path: Path, index_mb: float) -> dict[str, Any]:
    """Private memory of 4 readers that run at once, and the delay from acknowledgement to visibility in each."""
    command = [sys.executable, "-m", "benchmarks.engine", "--reader", str(path)]
    with vecdb.open(path) as db:
        collection = db.collection("wordnet")
        readers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(READERS)
        ]
        first = [_line(process)["process_mb"] for process in readers]
        for process in readers:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        private = [_line(process)["private_mb"] for process in readers]
        delays = []
        for number in range(WRITES_OBSERVED):
            time.sleep(0.02)
            collection.upsert([f"fresh-{number}"], np.ones((1, 384), dtype=np.float32))
            acknowledged = time.time()
            delays += [(_line(process)["seen"] - acknowledged) * 1e3 for process in readers]
        for process in readers:
            process.wait()
        collection.delete([f"fresh-{number}" for number in range(WRITES_OBSERVED)])
    database = max(after - before for before, after in zip(first, private, strict=True))
    return {
        "readers": READERS,
        "private_mb": [round(value, 1) for value in private],
        "of_which_python_numpy_mb": round(max(first), 1),
        "of_which_database_and_kernels_mb": round(database, 1),
        "private_share_of_index": round(max(private) / index_mb, 3),
        "visible_ms_median": round(median(delays), 2),
        "visible_ms_max": round(max(delays), 2),
    }


def _line(process: subprocess.Popen[str]) -> dict[str, float]:
    assert process.stdout is not None
    found: dict[str, float] = json.loads(process.stdout.readline())
    return found


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
        report["readers"] = measure_readers(path, report["ingest"]["index_mb"])
        print("readers:", json.dumps(report["readers"]), flush=True)
        cpus = os.sched_getaffinity(0)
        pin({max(cpus)})
        index = build_theirs(base, options.cache)[0]
        with vecdb.open(path, mode="r") as db:
            report["single"] = measure_single(db.collection("wordnet"), records, index, base, queries, options.repeats)
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
    parser.add_argument("--reader", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader:
        reader(options.reader)
        return
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
