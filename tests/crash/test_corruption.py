"""Damaged copies of a database: a typed error or a named problem, never a signal, never a silently wrong answer."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vecdb
from tests.harness import damage
from tests.harness.damage import Golden, Verdict
from tests.harness.process import Worker, WorkerDiedError
from vecdb.config import EngineConfig
from vecdb.types import Field

MUTANTS_DEFAULT, MUTANTS_TORTURE = 60, 1_000
NOISE_DEFAULT = 60
TRUNCATIONS_DEFAULT, TRUNCATIONS_TORTURE = 20, 300
SHARE_REFUSED = 0.8
JUDGEMENT_TIMEOUT_S = 60.0
DIM = 64


def build_original(path: Path) -> Golden:
    """A small but complete database: several segments, tail, tombstones, two fields, a dropped collection."""
    rng = np.random.default_rng(7)
    config = EngineConfig(tail_rows_index=128, threads=1, progress=False, map_bytes=1 << 32, index_loads=True)
    with vecdb.open(path, config=config) as database:
        docs = database.create_collection("docs", dim=DIM, layout="packed")
        for start in range(0, 1_500, 250):
            x = rng.standard_normal((250, DIM))
            docs.upsert(list(range(start, start + 250)), x, [{"n": n, "t": "x" * (n % 200)} for n in range(250)])
            docs.wait_indexed()
        docs.delete(ids=list(range(0, 1_500, 11)))
        docs.upsert([f"tail-{n}" for n in range(60)], rng.standard_normal((60, DIM)))
        both = database.create_collection("both", fields={"a": Field(dim=DIM, metric="l2"), "b": Field(dim=4)})
        both.upsert(
            [{"id": n, "vectors": {"a": rng.standard_normal(DIM), "b": rng.standard_normal(4)}} for n in range(200)]
        )
        both.optimize()
        database.create_collection("gone", dim=DIM).upsert(list(range(100)), rng.standard_normal((100, DIM)))
        database.drop_collection("gone")
    with vecdb.open(path, mode="r", config=config) as database:
        assert database.verify().ok
        return damage.remember(database, rng.standard_normal((5, DIM)).astype(np.float32))


class Court:
    """Judges copies in one child process; a child that dies by a signal is noted and replaced."""

    def __init__(self, golden: Golden) -> None:
        self._golden = golden
        self._judge: Worker | None = None

    def verdict(self, path: Path, mode: str, *, search_first: bool) -> str | Verdict:
        """The verdict on a copy, or a text when the judging process died or hung."""
        if self._judge is None:
            self._judge = Worker(damage.judge_copies, self._golden)
        self._judge.send((path, mode, search_first))
        try:
            verdict: Verdict = self._judge.expect("verdict", JUDGEMENT_TIMEOUT_S)
        except (WorkerDiedError, TimeoutError) as error:
            self.close()
            return str(error)
        return verdict

    def close(self) -> None:
        """End the judging process."""
        if self._judge is not None:
            self._judge.kill()
            self._judge = None


def try_mutants(
    base: Path,
    seed: int,
    count: int,
    mutate: Callable[[Path, np.random.Generator], str],
    *,
    search_first: bool | None = None,
) -> Counter[str]:
    """Damage `count` copies and return the outcomes; fails on the forbidden ones, whose copies are kept."""
    golden = build_original(base / "original")
    rng = np.random.default_rng(seed)
    court, outcomes, failures = Court(golden), Counter[str](), []
    try:
        for n in range(count):
            copy, mode = base / f"mutant{n}", "rw" if n % 3 == 0 else "r"
            unverified = bool(n % 2) if search_first is None else search_first
            damage.copy_database(base / "original", copy)
            done = mutate(copy, rng)
            verdict = court.verdict(copy, mode, search_first=unverified)
            outcome = verdict.outcome if isinstance(verdict, Verdict) else "died"
            outcomes[outcome] += 1
            if outcome in {"died", "silent", "untyped"}:
                failures.append(f"mutant {n} ({mode}, search_first={unverified}): {done} -> {verdict}")
            else:
                shutil.rmtree(copy)
    finally:
        court.close()
    listed = "\n".join(failures[:20])
    assert not failures, f"{len(failures)} of {count} in {base}, {dict(outcomes)}:\n{listed}"
    return outcomes


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_random_damage_is_an_error_or_a_named_problem(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"random damage: {dict(try_mutants(artefacts, seed, MUTANTS_DEFAULT, damage.mutate))}")


@pytest.mark.torture
@pytest.mark.timeout(3_600)
def test_much_random_damage_is_an_error_or_a_named_problem(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"random damage: {dict(try_mutants(artefacts, seed, MUTANTS_TORTURE, damage.mutate))}")


@pytest.mark.timeout(300)
def test_searching_unverified_noise_never_ends_the_process(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    """Pages of noise, most of them in graph and vector chunks, which nothing checks before the first search."""
    outcomes = try_mutants(artefacts, seed, NOISE_DEFAULT, scramble_data, search_first=True)
    report(f"pages of noise, searched unverified: {dict(outcomes)}")


def scramble_data(directory: Path, rng: np.random.Generator) -> str:
    """Fill one page of the data file with noise."""
    return damage.scramble_page(directory / damage.DATA_FILE, rng)


def expect_truncations_refused(base: Path, seed: int, count: int, report: Callable[[str], None]) -> None:
    """Cut copies anywhere: refused at open, or sound because every missing page was a free one at the end."""
    outcomes = try_mutants(base, seed, count, truncate_data)
    report(f"truncation: {dict(outcomes)}")
    assert outcomes["reported"] == 0
    assert outcomes["refused"] >= SHARE_REFUSED * count


def truncate_data(directory: Path, rng: np.random.Generator) -> str:
    """Cut the data file anywhere."""
    return damage.truncate(directory / damage.DATA_FILE, rng)


def test_truncation_is_always_refused_at_open(artefacts: Path, seed: int, report: Callable[[str], None]) -> None:
    expect_truncations_refused(artefacts, seed, TRUNCATIONS_DEFAULT, report)


@pytest.mark.torture
@pytest.mark.timeout(3_600)
def test_every_one_of_many_truncations_is_refused_at_open(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    expect_truncations_refused(artefacts, seed, TRUNCATIONS_TORTURE, report)


def test_an_undamaged_copy_is_judged_sound(artefacts: Path) -> None:
    golden = build_original(artefacts / "original")
    for mode in ("r", "rw"):
        damage.copy_database(artefacts / "original", artefacts / mode)
        verdict = damage.judge(artefacts / mode, mode, search_first=True, golden=golden)
        assert verdict == Verdict("sound", "")
