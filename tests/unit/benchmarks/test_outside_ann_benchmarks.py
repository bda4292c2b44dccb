"""Loads the adapter from a tree laid out as ann-benchmarks is, and makes the calls that its runner makes."""

from __future__ import annotations

import importlib
import itertools
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "outside" / "ann_benchmarks" / "vecdb"
K = 10

BASE_MODULE = """
class BaseANN:
    def done(self): ...
    def get_memory_usage(self): ...
    def fit(self, X): ...
    def query(self, q, n): ...
    def batch_query(self, X, n): ...
    def get_batch_results(self): ...
    def get_additional(self): ...
    def __str__(self): ...
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The adapter, imported by the name that its config.yml gives."""
    algorithms = tmp_path / "ann_benchmarks" / "algorithms"
    (algorithms / "base").mkdir(parents=True)
    (algorithms / "base" / "module.py").write_text(BASE_MODULE)
    shutil.copytree(FOLDER, algorithms / "vecdb", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(f"{_setting('module')}.module")
    for name in [name for name in sys.modules if name.partition(".")[0] == "ann_benchmarks"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def rows() -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((3_000, 24)).astype(np.float32)


def _setting(name: str) -> str:
    """The value of a key that occurs once in config.yml."""
    found = re.findall(rf"^[- ]*{name}: (.+)$", (FOLDER / "config.yml").read_text(), flags=re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def _lists(name: str) -> list[str]:
    """What stands between the brackets of a key, once for each run group."""
    return re.findall(rf"^ +{name}: \[+(.+?)\]+$", (FOLDER / "config.yml").read_text(), flags=re.MULTILINE)


def _params() -> list[dict[str, int]]:
    return [{key: int(value) for key, value in re.findall(r"(\w+): (\d+)", group)} for group in _lists("arg_groups")]


def _build(module: Any, metric: str, rows: npt.NDArray[Any]) -> Any:
    """As their runner does: the constructor takes `base_args`, then one of `arg_groups`."""
    algorithm = getattr(module, _setting("constructor"))(metric, _params()[0])
    algorithm.fit(rows)
    return algorithm


def _truth(metric: str, rows: npt.NDArray[Any], queries: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if metric == "angular":
        return np.argsort(-queries @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T, axis=1)[:, :K]
    return np.argsort(np.linalg.norm(queries[:, None] - rows[None], axis=2), axis=1)[:, :K]


def _share(found: list[list[int]], truth: npt.NDArray[Any]) -> float:
    return float(np.mean([len(set(ids) & set(row.tolist())) / K for ids, row in zip(found, truth, strict=True)]))


@pytest.mark.parametrize("metric", ["angular", "euclidean"])
def test_single_queries_find_the_nearest_rows(module: Any, metric: str, rows: npt.NDArray[np.float32]) -> None:
    algorithm = _build(module, metric, rows[50:])
    algorithm.set_query_arguments(200)
    found = [algorithm.query(query, K) for query in rows[:50]]
    assert all(len(ids) == len(set(ids)) == K for ids in found)
    assert _share(found, _truth(metric, rows[50:], rows[:50])) > 0.98
    algorithm.done()


def test_a_batch_finds_what_single_queries_find(module: Any, rows: npt.NDArray[np.float32]) -> None:
    algorithm = _build(module, "angular", rows[50:])
    algorithm.set_query_arguments(40)
    algorithm.batch_query(rows[:50], K)
    assert list(algorithm.get_batch_results()) == [algorithm.query(query, K) for query in rows[:50]]
    algorithm.done()


def test_more_effort_finds_no_less(module: Any, rows: npt.NDArray[np.float32]) -> None:
    algorithm = _build(module, "euclidean", rows[50:])
    truth, shares = _truth("euclidean", rows[50:], rows[:50]), []
    for ef in (10, 400):
        algorithm.set_query_arguments(ef)
        shares.append(_share([algorithm.query(query, K) for query in rows[:50]], truth))
    assert shares[0] <= shares[1]
    algorithm.done()


def test_zero_vectors_are_nobodys_neighbours_under_angular(module: Any, rows: npt.NDArray[np.float32]) -> None:
    holed = rows.copy()
    holed[[0, 7]] = 0.0
    algorithm = _build(module, "angular", holed)
    algorithm.set_query_arguments(50)
    algorithm.batch_query(holed[:2], K)
    assert algorithm.query(holed[0], K) == algorithm.get_batch_results()[0] == []
    assert not {0, 7} & set(algorithm.query(holed[1], K))
    algorithm.done()


def test_memory_counts_the_index_and_what_the_process_holds(
    module: Any, rows: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert module._own_kib() > 1_000
    monkeypatch.setattr(module, "_own_kib", lambda: 5)
    algorithm = getattr(module, _setting("constructor"))("angular", _params()[0])
    assert algorithm.get_memory_usage() == 5
    algorithm.fit(rows)
    assert rows.nbytes < (algorithm.get_memory_usage() - 5) * 1024 < 10 * rows.nbytes
    algorithm.done()


def test_the_name_tells_one_setting_from_another(module: Any, rows: npt.NDArray[np.float32]) -> None:
    algorithm = _build(module, "angular", rows)
    names = {str(algorithm)}
    for ef in (10, 20):
        algorithm.set_query_arguments(ef)
        names.add(str(algorithm))
    assert len(names) == 3
    assert all(isinstance(value, str | int | float) for value in algorithm.get_additional().values())
    algorithm.done()


def test_the_configuration_names_the_adapter_for_any_float_metric() -> None:
    lines = (FOLDER / "config.yml").read_text().splitlines()
    assert lines[:2] == ["float:", "  any:"]
    assert _setting("base_args") == "['@metric']"
    assert _setting("docker_tag") == "ann-benchmarks-vecdb"
    assert _setting("disabled") == "false"
    assert len(_params()) == len(_lists("query_args")) > 1
    for efforts in _lists("query_args"):
        assert all(low < high for low, high in itertools.pairwise(map(int, efforts.split(","))))


def test_yaml_reads_the_configuration_as_their_loader_would() -> None:
    yaml = pytest.importorskip("yaml")
    (entry,) = yaml.safe_load((FOLDER / "config.yml").read_text())["float"]["any"]
    groups = entry["run_groups"].values()
    assert [group["arg_groups"] for group in groups] == [[param] for param in _params()]
