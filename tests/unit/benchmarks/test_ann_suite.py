"""Checks the library suite on a small data set: everybody is in the result, with figures or with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.datasets import Dataset, load, true_distances
from benchmarks.engines import ENGINES
from benchmarks.engines.protocol import EngineSpec, Setting
from benchmarks.suites import ann
from benchmarks.suites.ann import AnnOptions, run_ann

LINES: list[str] = []
"""Progress that nobody reads."""

HEAD = {"format": 1, "machine": {}, "dataset": {"k": 5}}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two thousand clustered rows."""
    return load("clustered", rows=2_000, queries=40, cache=tmp_path_factory.mktemp("cache"))


def run(dataset: Dataset, out: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """The runs by engine."""
    bounds = true_distances(dataset, 5, out)
    plan = AnnOptions(**{"settings_per_engine": 1, "k": 5, "repeats": 2, "cap_s": 120.0, **options})
    report = run_ann(dataset, bounds, plan, HEAD, out / "ann.json", LINES.append)
    assert json.loads((out / "ann.json").read_text()) == report
    return {one["engine"]: one for one in report["runs"]}


def test_engines_are_swept_in_both_modes(dataset: Dataset, tmp_path: Path) -> None:
    runs = run(dataset, tmp_path, engines=("vecdb", "hnswlib"))
    assert set(runs) == {"vecdb", "hnswlib"}
    for one in runs.values():
        assert one["status"] == "ok"
        assert one["build"]["seconds"] > 0
        assert one["versions"]
        for mode in ("batch", "single"):
            points = [point for point in one["points"] if point["mode"] == mode]
            assert max(point["recall"] for point in points) > 0.95
            assert all(len(point["seconds"]) == 2 and point["qps_low"] <= point["qps"] for point in points)


def test_a_sweep_ends_with_the_first_effort_that_finds_everything(dataset: Dataset, tmp_path: Path) -> None:
    points = run(dataset, tmp_path, engines=("hnswlib",), modes=("batch",))["hnswlib"]["points"]
    assert [point["recall"] >= ann.RECALL_ENOUGH for point in points][:-1] == [False] * (len(points) - 1)


def test_every_build_setting_asked_for_is_measured(dataset: Dataset, tmp_path: Path) -> None:
    bounds = true_distances(dataset, 5, tmp_path)
    plan = AnnOptions(engines=("hnswlib",), settings_per_engine=2, k=5, repeats=1, modes=("batch",))
    report = run_ann(dataset, bounds, plan, HEAD, tmp_path / "ann.json", LINES.append)
    assert [one["setting"] for one in report["runs"]] == list(ENGINES["hnswlib"].settings)


class Unusable:
    """An engine that cannot be made."""

    def __init__(self, setting: Setting) -> None:
        raise AssertionError(f"made in this process with {setting}")


def spec_of(name: str, **changes: Any) -> EngineSpec:
    """A spec of an engine that does not exist."""
    values: dict[str, Any] = {
        "make": Unusable,
        "distributions": ("hnswlib",),
        "settings": {"only": {}},
        "efforts": (1,),
    }
    return EngineSpec(name=name, **{**values, **changes})


def test_who_is_missing_unsupported_or_failing_is_listed_with_the_reason(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = {
        "absent": spec_of("absent", distributions=("no-such-library",)),
        "cosine-only": spec_of("cosine-only", metrics=("cosine",)),
        "unknown-there": spec_of("unknown-there"),
    }
    monkeypatch.setattr(ann, "ENGINES", specs)
    runs = run(dataset, tmp_path, engines=tuple(specs))
    assert (runs["absent"]["status"], runs["absent"]["reason"]) == ("missing", "not installed: no-such-library")
    assert (runs["cosine-only"]["status"], runs["cosine-only"]["reason"]) == ("unsupported", "cosine-only has no l2")
    assert runs["unknown-there"]["status"] == "failed"
    assert "KeyError: 'unknown-there'" in runs["unknown-there"]["reason"]
    assert all(one["points"] == [] for one in runs.values())


def test_an_engine_that_takes_too_long_is_a_timeout(dataset: Dataset, tmp_path: Path) -> None:
    runs = run(dataset, tmp_path, engines=("hnswlib",), cap_s=0.01)
    assert runs["hnswlib"]["status"] == "timeout"
    assert "while building" in runs["hnswlib"]["reason"]


def test_recall_is_computed_here_from_distances(dataset: Dataset, tmp_path: Path) -> None:
    points = run(dataset, tmp_path, engines=("vecdb",), modes=("batch",))["vecdb"]["points"]
    recalls = np.array([point["recall"] for point in points])
    assert ((recalls >= 0) & (recalls <= 1)).all()
