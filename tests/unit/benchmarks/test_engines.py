"""Checks that every adapter says what it must, and that those whose library is installed find the right rows."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.engines import ENGINES, SPECS
from benchmarks.engines.protocol import EngineSpec
from benchmarks.method.environments import MAIN, SEPARATE, missing
from benchmarks.method.machine import available_cpus

METRICS = {"cosine", "dot", "l2"}
ADAPTER_LINES_MAX = 90
"""About 80 lines an engine; a module may serve three of one library."""

every_engine = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
installed = pytest.mark.parametrize(
    ("spec", "metric"),
    [
        pytest.param(spec, metric, id=f"{spec.name}-{metric}")
        for spec in SPECS
        if spec.environment == MAIN and missing(spec) is None
        for metric in spec.metrics
    ],
)


def test_no_two_engines_share_a_name() -> None:
    assert len(ENGINES) == len(SPECS)


@every_engine
def test_an_engine_has_two_build_settings_and_a_sweep(spec: EngineSpec) -> None:
    assert len(spec.settings) >= 2
    assert len(spec.efforts) >= 10
    assert list(spec.efforts) == sorted(set(spec.efforts))


@every_engine
def test_an_engine_says_how_it_is_tuned_and_what_it_needs(spec: EngineSpec) -> None:
    assert len(spec.tuning) > 20
    assert spec.distributions
    assert set(spec.metrics) <= METRICS
    assert spec.environment == MAIN or spec.environment in SEPARATE


@every_engine
def test_an_adapter_is_short(spec: EngineSpec) -> None:
    source = Path(inspect.getsourcefile(spec.make) or "")
    assert len(source.read_text(encoding="utf-8").splitlines()) <= ADAPTER_LINES_MAX


def test_listing_the_engines_loads_none_of_them() -> None:
    code = (
        "import sys, benchmarks.engines\n"
        "print([name for name in ('hnswlib', 'faiss', 'numba', 'vecdb', 'usearch', 'scann') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_not_installed_is_named() -> None:
    spec = EngineSpec("none", SPECS[0].make, ("no-such-library",), {}, ())
    assert missing(spec) == "not installed: no-such-library"


def exact(base: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], metric: str) -> npt.NDArray[np.int64]:
    """Row numbers of the ten nearest."""
    keys = -queries @ base.T
    if metric == "l2":
        keys = np.square(base).sum(axis=1) + 2 * keys
    return np.argsort(keys, axis=1)[:, :10]


@installed
def test_an_engine_finds_nearly_all_with_its_highest_effort(
    spec: EngineSpec, metric: str, rng: np.random.Generator
) -> None:
    base, queries = (rng.standard_normal((rows, 64)).astype(np.float32) for rows in (5_000, 30))
    if metric == "cosine":
        base, queries = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (base, queries))
    engine = spec.make(next(iter(spec.settings.values())))
    base = np.ascontiguousarray(base)
    base.flags.writeable = False  # as a memory map is
    engine.build(base, metric, min(2, len(available_cpus())))
    engine.set_effort(spec.efforts[-1])
    found = engine.search(np.ascontiguousarray(queries), 10)
    want = exact(base, queries, metric)
    assert found.dtype == np.int64
    assert found.shape == (30, 10)
    hits = sum(len(set(mine) & set(true)) for mine, true in zip(found.tolist(), want.tolist(), strict=True))
    assert hits >= 0.9 * want.size
    alone = engine.search_one(queries[0], 10)
    assert alone.dtype == np.int64
    assert len(set(alone.tolist()) & set(found[0].tolist())) >= 9
