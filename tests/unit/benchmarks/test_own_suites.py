"""Runs every own suite on very little, and checks that what it reports has the promised shape and makes sense."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import vecdb
from benchmarks.datasets import Dataset, true_distances
from benchmarks.suites import coldstart, kernel_loops, kernels, multiprocess, recall, scale, streaming, updates
from benchmarks.suites.database import COLLECTION, make_database, percentiles_ms, spread
from benchmarks.suites.kernel_timing import agrees, make_subject

Matrix = npt.NDArray[np.float32]
DIM = 16
ROOT = Path(__file__).resolve().parents[3]


def _generate(rows: int) -> tuple[Matrix, Matrix]:
    rng = np.random.default_rng(rows)
    return rng.standard_normal((rows, DIM), dtype=np.float32), rng.standard_normal((40, DIM), dtype=np.float32)


@pytest.fixture(scope="module")
def rows() -> tuple[Matrix, Matrix]:
    """(base, queries)."""
    return _generate(2_000)


def _positive(*values: float | None) -> bool:
    return all(value is not None and math.isfinite(value) and value > 0 for value in values)


def _as_stored(results: dict[str, Any]) -> dict[str, Any]:
    """Through strict JSON, as the report file keeps it."""
    read: dict[str, Any] = json.loads(json.dumps(results, allow_nan=False))
    return read


# --- what the suites share ------------------------------------------------------------------------------------------


def test_the_measured_database_holds_every_row_in_one_segment(tmp_path: Path, rows: tuple[Matrix, Matrix]) -> None:
    assert _positive(make_database(tmp_path / "db", rows[0], "l2"))
    with vecdb.open(tmp_path / "db", mode="r") as db:
        stats = db.collection(COLLECTION).stats()
    assert (stats.records, stats.fields["default"].segments, stats.fields["default"].tail_rows) == (2_000, 1, 0)


def test_percentiles_and_medians_of_nothing_are_none() -> None:
    assert percentiles_ms([]) == {"p50_ms": None, "p99_ms": None}
    assert spread([]) == {"median": None, "runs": []}
    assert percentiles_ms([0.001] * 98 + [1.0] * 2)["p50_ms"] == pytest.approx(1.0)


# --- scale ----------------------------------------------------------------------------------------------------------


def test_scale_takes_the_metric_of_any_data_set(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((1_500, 8)))
    command = ["run", "scale", "--dataset", str(tmp_path / "rows.npy"), "--sizes", "200,400", "--repeats", "1"]
    place = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command, *place], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    sizes = json.loads((tmp_path / "out" / "scale.json").read_text())["results"]["sizes"]
    assert [one["rows"] for one in sizes] == [200, 400]


def test_scale_reports_each_size_and_how_they_grow() -> None:
    lines: list[str] = []
    options = scale.ScaleOptions(generate=_generate, sizes=(400, 1_200), repeats=1, progress=lines.append)
    results = _as_stored(scale.run(options))
    assert [one["rows"] for one in results["sizes"]] == [400, 1_200]
    for one in results["sizes"]:
        assert all(0.0 < point["recall"] <= 1.0 and _positive(point["qps"]) for point in one["points"])
        assert _positive(one["build"]["seconds"], *one["qps_at"].values())
        assert one["memory_mb"] >= one["rows"] * DIM * 4 / 1e6
    assert set(results["exponents"]) == {"qps_at_0.95", "qps_at_0.99", "build_s", "memory_mb"}
    assert all(isinstance(exponent, float) for exponent in results["exponents"].values())
    assert any("1200 rows" in line for line in lines)


def test_the_exponent_of_a_power_law_is_found() -> None:
    counts = [10, 100, 1_000]
    assert scale.growth_exponent(counts, [3.0 * count**1.25 for count in counts]) == pytest.approx(1.25)
    assert scale.growth_exponent(counts, [1.0, None, None]) is None


def test_speed_at_a_recall_lies_between_its_neighbours() -> None:
    points = [{"recall": 0.90, "qps": 400.0}, {"recall": 0.96, "qps": 100.0}]
    between = scale.qps_reaching(points, 0.93)
    assert between == pytest.approx(200.0)
    assert scale.qps_reaching(points, 0.50) == 400.0
    assert scale.qps_reaching(points, 0.99) is None


# --- updates and recall ---------------------------------------------------------------------------------------------


def _dataset(place: Path, rows: tuple[Matrix, Matrix], name: str = "set") -> Dataset:
    return Dataset(name=name, metric="l2", base=rows[0], queries=rows[1], directory=place, digest=name)


def test_replaced_rows_begin_with_each_others_vectors_and_no_row_with_its_own(rows: tuple[Matrix, Matrix]) -> None:
    order = np.random.default_rng(0).permutation(2_000)[:700]
    first = updates.first_vectors(rows[0], order)
    changed = np.flatnonzero((first != rows[0]).any(axis=1))
    assert np.array_equal(changed, np.sort(order))
    assert np.array_equal(np.sort(first, axis=0), np.sort(rows[0], axis=0))


def test_updates_reports_sizes_and_both_stages(tmp_path: Path, rows: tuple[Matrix, Matrix]) -> None:
    dataset = _dataset(tmp_path, rows)
    bounds = true_distances(dataset, 10, tmp_path)
    plan = updates.UpdatesOptions(dataset=dataset, bounds=bounds, repeats=1, efforts=(10, 400), directory=tmp_path)
    results = _as_stored(updates.run(plan))
    assert _positive(*results["sizes"].values(), results["raw_mb"], results["replace_s"])
    assert [one["stage"] for one in results["stages"]] == ["indexed", "optimized"]
    for one in results["stages"]:
        assert set(one["points"]) == {"fresh", "replaced"}
        # the same records are found, whatever happened before
        assert all(points[-1]["recall"] > 0.99 for points in one["points"].values())
    assert results["stages"][-1]["segments"] == 1


def test_recall_asks_three_kinds_of_queries_and_the_database_itself(
    tmp_path: Path, rows: tuple[Matrix, Matrix]
) -> None:
    dataset = _dataset(tmp_path, rows)
    plan = recall.RecallOptions(names=["set"], load=lambda _: dataset, held_out=100, seeds=2, directory=tmp_path)
    (found,) = _as_stored(recall.run(plan))["datasets"]
    assert found["rows"] == 1_900
    assert [(one["kind"], one["target"]) for one in found["searches"]] == [
        (kind, target) for kind in ("rows", "queries", "between") for target in recall.TARGETS
    ]
    assert [one["kind"] for one in found["searches"] if one["outside"]] == ["between"] * 3
    assert all(one["low"] <= one["recall"] <= one["high"] for one in found["searches"])
    assert all(0 <= one["held"] <= len(one["intervals"]) == 2 for one in found["measured"])


def test_rows_held_out_are_not_indexed(tmp_path: Path, rows: tuple[Matrix, Matrix]) -> None:
    kept, asked = recall.split(_dataset(tmp_path, rows), 100, tmp_path)
    held = {row.tobytes() for row in asked["rows"].queries}
    assert len(held) == 100
    assert not held & {row.tobytes() for row in kept}


# --- streaming ------------------------------------------------------------------------------------------------------


def _stream(rows: tuple[Matrix, Matrix], **options: Any) -> dict[str, Any]:
    base, queries = rows
    plan = {"first_rows": 1_500, "writes_per_s": 20.0, "batch_rows": 5, "sample_every": 10, **options}
    return _as_stored(streaming.run(streaming.StreamingOptions(base=base, queries=queries, **plan)))


def test_streaming_reports_every_second_and_the_whole(rows: tuple[Matrix, Matrix]) -> None:
    results = _stream(rows, seconds=1.4)
    total, seconds = results["total"], results["seconds"]
    assert [one["second"] for one in seconds] == list(range(len(seconds)))
    assert len(seconds) >= 2
    assert total["writes"] == sum(one["writes"] for one in seconds) == 28
    assert results["rows_written"] == 28 * 5
    assert total["searches"] == sum(one["searches"] for one in seconds) > 0
    assert 0.5 < total["recall"] <= 1.0
    assert total["samples"] > 0
    assert total["p50_ms"] <= total["p99_ms"]
    assert total["write"]["p50_ms"] <= total["write"]["p99_ms"]
    assert 1_500 < seconds[0]["records"] <= 1_640
    assert seconds[0]["segments"] == 1
    assert seconds[0]["tail_rows"] > 0


def test_streaming_ends_with_the_rows(rows: tuple[Matrix, Matrix]) -> None:
    results = _stream(rows, seconds=60.0, first_rows=1_995)
    assert results["rows_written"] == 5


def test_streaming_wants_rows_for_both_parts(rows: tuple[Matrix, Matrix]) -> None:
    with pytest.raises(ValueError, match="first_rows"):
        _stream(rows, first_rows=2_000)


def test_a_failing_search_ends_the_stream(rows: tuple[Matrix, Matrix]) -> None:
    with pytest.raises(vecdb.VecDBError):
        _stream((rows[0], rows[1][:, :3]), seconds=60.0)


# --- coldstart ------------------------------------------------------------------------------------------------------


def _starts(found: dict[str, Any]) -> int:
    """Checks the steps of starts and returns how many there were."""
    steps = [found[name]["median"] for name in coldstart.STEPS]
    assert _positive(*steps)
    whole = found["process_to_first_answer_s"]
    assert whole["median"] * 1e3 > max(steps)
    return len(whole["runs"])


def test_coldstart_reports_every_step_of_a_start(rows: tuple[Matrix, Matrix]) -> None:
    results = _as_stored(coldstart.run(coldstart.ColdstartOptions(base=rows[0], repeats=2, cold_repeats=0)))
    assert _starts(results["warm"]) == 2
    assert results["cold_kernels"] is None


def test_a_start_without_kernels_has_an_empty_cache_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[Path] = []

    def compile_into_cache(_path: Path, _collection: str, environment: dict[str, str]) -> list[float]:
        if environment:
            caches.append(Path(environment["VECDB_CACHE_DIR"]))
            assert not list(caches[-1].iterdir())
            (caches[-1] / "scan_block.kernel").touch()
        return [1.0] * len(coldstart.STEPS)

    monkeypatch.setattr(coldstart, "_start", compile_into_cache)
    results = coldstart.measure_starts(Path("any"), COLLECTION, repeats=1, cold_repeats=2)
    assert _starts(results["cold_kernels"]) == 2
    assert len(set(caches)) == 2


def test_a_start_that_compiles_nothing_is_not_taken_for_one_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coldstart, "_start", lambda *_: [1.0] * len(coldstart.STEPS))
    with pytest.raises(RuntimeError, match="did not compile"):
        coldstart.measure_starts(Path("any"), COLLECTION, repeats=1, cold_repeats=1)


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="DatabaseNotFoundError"):
        coldstart.measure_starts(tmp_path / "none", COLLECTION, repeats=1, cold_repeats=0)


# --- multiprocess ---------------------------------------------------------------------------------------------------


def test_multiprocess_reports_readers_alone_and_together(rows: tuple[Matrix, Matrix], tmp_path: Path) -> None:
    base, queries = rows
    options = multiprocess.MultiprocessOptions(
        base=base, queries=queries, readers=(1, 2), seconds=0.2, writes=3, directory=tmp_path
    )
    results = _as_stored(multiprocess.run(options))
    assert [point["readers"] for point in results["points"]] == [1, 2]
    for point in results["points"]:
        assert _positive(point["qps"], *point["before_mb"], *point["private_mb"])
        assert len(point["private_mb"]) == point["readers"]
        assert all(after > before for before, after in zip(point["before_mb"], point["private_mb"], strict=True))
        delays = point["visible_ms"]
        assert len(delays["runs"]) == 3 * point["readers"]
        assert delays["median"] <= delays["max"]
    assert not list(tmp_path.iterdir())


# --- kernels --------------------------------------------------------------------------------------------------------


def test_kernels_reports_each_dimension_dtype_and_pattern() -> None:
    options = kernels.KernelsOptions(
        dims=(64, 100), cached_bytes=16 << 10, streamed_bytes=64 << 10, repeats=2, run_s=0.0005
    )
    results = _as_stored(kernels.run(options))
    places = [(point["dtype"], point["dim"], point["pattern"]) for point in results["points"]]
    patterns = ("cached", "streamed")
    assert places == [(dtype, dim, one) for dtype in kernels.DTYPES for dim in (64, 100) for one in patterns]
    for point in results["points"]:
        assert point["agrees"]
        assert set(point["ns"]) == {"kernel", "limit", "numpy_row", "numpy_batch", "numpy_many"}
        assert all(_positive(times["median"]) and len(times["runs"]) == 2 for times in point["ns"].values())
    assert {(point["dtype"], point["row_bytes"]) for point in results["points"] if point["dim"] == 100} == {
        ("int8", 128),  # code rows are padded
        ("float32", 400),
        ("float16", 200),
    }
    assert _positive(*results["bandwidth_gb_s"].values())


@pytest.mark.parametrize("dtype", kernels.DTYPES)
def test_a_kernel_that_computes_something_else_is_noticed(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = make_subject(64, dtype, 1)
    assert agrees(subject)
    monkeypatch.setattr(kernel_loops, "code_rows", lambda *_: 1)
    monkeypatch.setattr(kernel_loops, "float_rows", lambda *_: 1e6)
    assert not agrees(subject)
