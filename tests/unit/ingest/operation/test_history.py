"""What is told of earlier runs, and of one that goes on."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest

import vecdb
from vecdb.errors import NotFoundError
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.journal.states import PipelineIdentity, RunRecord
from vecdb.ingest.operation.history import Wanted, run_to_dict, status

MODEL = ModelFingerprint(provider="callable", name="m", dim=3)


def _identity(tmp_path: Path) -> PipelineIdentity:
    return PipelineIdentity(
        destination=str(tmp_path / "data"),
        database=uuid.UUID(int=1),
        collection="docs",
        field="title",
        model=MODEL,
        chunker="auto:256:32",
        sources=(str(tmp_path / "a"), str(tmp_path / "b")),
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"to": "data"},
        {"to": "{here}/data", "collection": "docs", "field": "title"},
        {"sources": ("a",)},
        {"sources": ("b", "{here}/a")},
    ],
)
def test_a_pipeline_fits_what_agrees_with_it(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spelled: dict[str, Any] = {
        name: tuple(one.format(here=tmp_path) for one in value)
        if isinstance(value, tuple)
        else value.format(here=tmp_path)
        for name, value in given.items()
    }
    assert Wanted(**spelled).fits(_identity(tmp_path))


@pytest.mark.parametrize("given", [{"to": "other"}, {"collection": "d"}, {"field": "text"}, {"sources": ("a", "c")}])
def test_a_pipeline_does_not_fit_what_differs(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not Wanted(**given).fits(_identity(tmp_path))


def _run(**given: Any) -> RunRecord:
    fixed = {
        "number": 1,
        "started": 1_000.0,
        "ended": 1_010.0,
        "state": "done",
        "counters": {"items": 50, "tokens": 20},
    }
    return RunRecord(**{**fixed, **given})


def test_a_run_is_told_with_its_times_and_rates() -> None:
    told = run_to_dict(_run())
    assert (told["seconds"], told["items_per_s"], told["tokens_per_s"]) == (10.0, 5.0, 2.0)
    assert (told["started"], told["ended"]) == ("1970-01-01T00:16:40.000+00:00", "1970-01-01T00:16:50.000+00:00")


def test_a_run_that_goes_on_is_told_with_its_rate_until_now() -> None:
    told = run_to_dict(_run(started=time.time() - 25.0, ended=None, state="running"))
    assert told["seconds"] >= 25.0
    assert 0.0 < told["items_per_s"] <= 2.0


def test_a_run_whose_end_nobody_saw_has_no_rate() -> None:
    told = run_to_dict(_run(ended=None, state="interrupted"))
    assert (told["ended"], told["seconds"], told["items_per_s"]) == (None, None, None)


def test_a_state_of_nothing_is_not_found_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=str(tmp_path / "none")):
        status(Wanted(state=str(tmp_path / "none")))


def test_a_directory_that_is_no_journal_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "state" / "pipelines" / "stray").mkdir(parents=True)
    (tmp_path / "a.txt").write_text("a")
    vecdb.ingest.run(tmp_path / "a.txt", to=tmp_path / "data", collection="c", state=str(tmp_path / "state"))
    assert len(status(Wanted(state=str(tmp_path / "state")))) == 1
