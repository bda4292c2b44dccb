"""A writer under load is killed again and again on one directory: all it acknowledged is there, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

import vecdb
from tests.harness.checker import Findings
from tests.harness.process import Worker
from tests.harness.writer import Load, run
from vecdb.config import EngineConfig
from vecdb.errors import DatabaseNotFoundError

CONFIG = EngineConfig(tail_rows_index=64, threads=1, progress=False, map_bytes=1 << 32, index_loads=True)
KILLS_DEFAULT, KILLS_TORTURE = 20, 200
LOAD_MS_DEFAULT, LOAD_MS_TORTURE = (50, 1_200), (50, 2_000)
EARLY_KILLS = 0.2
"""Share of the kills that hit the writer while it opens and recovers, before any load."""

RECALL_FLOOR = 0.97
"""A sound graph of a thousand rows is at 0.99 and more at the checker's effort; one damaged by a crash would not be."""


@dataclass
class Campaign:
    """What a series of kills has seen."""

    kills: int = 0
    acknowledged: int = 0
    recalls: list[float] = field(default_factory=list)
    opens_s: list[float] = field(default_factory=list)
    file_bytes_max: int = 0

    def note(self, findings: Findings, data: Path) -> None:
        """Add one check."""
        self.acknowledged += findings.acknowledged
        self.recalls.append(findings.recall)
        self.opens_s.append(findings.open_s)
        self.file_bytes_max = max(self.file_bytes_max, data.stat().st_size)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.acknowledged} acknowledged writes checked, 0 losses; recall after reopening "
            f"min {min(self.recalls):.3f} mean {np.mean(self.recalls):.3f}; "
            f"open max {1e3 * max(self.opens_s):.0f} ms; file max {self.file_bytes_max / 1e6:.1f} MB"
        )


def kill_repeatedly(base: Path, seed: int, kills: int, load_ms: tuple[int, int]) -> Campaign:
    """Kill a writer `kills` times on one directory, checking it in the next fresh process each time."""
    rng = np.random.default_rng(seed)
    journals, campaign = base / "journals", Campaign()
    journals.mkdir()
    while campaign.kills < kills:
        load = Load(base / "db", journals, seed, rounds=campaign.kills)
        early = campaign.kills > 0 and rng.random() < EARLY_KILLS
        with Worker(run, load, log=base / "writer.log") as worker:
            worker.expect("open")
            if early:
                time.sleep(float(rng.uniform(0, 0.15)))
            else:
                _expect_sound(worker, campaign, base)
                worker.expect("loading")
                time.sleep(float(rng.uniform(*load_ms)) / 1e3)
            failure = worker.failure()
            worker.kill()
            assert failure is None, f"the writer failed in round {campaign.kills}:\n{failure}"
        campaign.kills += 1
    with Worker(run, Load(base / "db", journals, seed, rounds=kills), log=base / "writer.log") as worker:
        worker.expect("open")
        _expect_sound(worker, campaign, base)
    return campaign


def _expect_sound(worker: Worker, campaign: Campaign, base: Path) -> None:
    findings: Findings = worker.expect("checked")
    campaign.note(findings, base / "db" / "data.mdb")
    listed = "\n".join(findings.problems)
    assert not findings.problems, f"after {campaign.kills} kills, in {base}:\n{listed}"
    if findings.records >= 100:
        assert findings.recall >= RECALL_FLOOR, f"recall fell to {findings.recall} after {campaign.kills} kills"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_writer_loses_nothing_it_acknowledged(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"SIGKILL under load: {kill_repeatedly(artefacts, seed, KILLS_DEFAULT, LOAD_MS_DEFAULT)}")


@pytest.mark.torture
@pytest.mark.timeout(3_600)
def test_a_writer_killed_many_times_loses_nothing_it_acknowledged(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"SIGKILL under load: {kill_repeatedly(artefacts, seed, KILLS_TORTURE, LOAD_MS_TORTURE)}")


def kill_at_creation(base: Path, seed: int, kills: int) -> dict[str, int]:
    """Kill the first open and first write of new directories; each must open again, or never have been."""
    rng = np.random.default_rng(seed)
    outcomes = {"absent": 0, "created": 0, "with the collection": 0, "with the record": 0}
    for n in range(kills):
        path = base / f"db{n}"
        with Worker(_create_and_write, path) as worker:
            worker.expect("ready")
            worker.send("go")
            time.sleep(float(rng.exponential(0.02)))
            acknowledged = _messages(worker)
        outcomes[_judge_created(path, acknowledged=acknowledged)] += 1
        leftovers = [entry.name for entry in base.iterdir() if not entry.name.startswith("db")]
        assert len(leftovers) <= n, f"leftovers beside the database pile up: {leftovers}"
    return outcomes


def _messages(worker: Worker) -> bool:
    """Kill, then whether the write had been acknowledged before."""
    worker.kill()
    try:
        worker.expect("acknowledged", timeout_s=0)
    except Exception:
        return False
    return True


def _judge_created(path: Path, *, acknowledged: bool) -> str:
    state = "absent" if not path.exists() else "created"
    try:
        with vecdb.open(path, mode="r", config=CONFIG) as reader:
            reader.list_collections()
    except DatabaseNotFoundError:
        state = "absent"
    with vecdb.open(path, config=CONFIG) as database:
        assert database.verify().ok
        if "docs" in database:
            state = "with the collection"
            state = "with the record" if "first" in database.collection("docs") else state
        assert state == "with the record" or not acknowledged, f"{path}: the acknowledged record is lost"
        docs = database.create_collection("docs", dim=4, exist_ok=True)
        docs.upsert(["second"], [[1, 2, 3, 4]])
        assert docs.search([1, 2, 3, 4], limit=1).ids[0] in {"first", "second"}
    return state


def _create_and_write(pipe: Connection, path: Path) -> None:
    pipe.send(("ready", None))
    pipe.recv()
    with vecdb.open(path, config=CONFIG) as database:
        database.create_collection("docs", dim=4).upsert(["first"], [[1, 2, 3, 4]])
        pipe.send(("acknowledged", None))
        time.sleep(10)


def test_a_writer_killed_while_creating_leaves_an_openable_database_or_none(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"SIGKILL at creation: {kill_at_creation(artefacts, seed, 30)}")


@pytest.mark.torture
@pytest.mark.timeout(3_600)
def test_a_writer_killed_often_while_creating_leaves_an_openable_database_or_none(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"SIGKILL at creation: {kill_at_creation(artefacts, seed, 500)}")
