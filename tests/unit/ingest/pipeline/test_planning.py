"""What plans say, and that they only say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.fake_model import FakeModel
from tests.unit.ingest.pipeline.conftest import Pipeline
from vecdb.errors import ModelMismatchError
from vecdb.ingest.embedders.opening import open_embedder

ROWS = {f"r{number}": f"text of row {number}" for number in range(30)}


def test_a_plan_writes_nothing_and_asks_nobody(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    report = pipeline.plan()
    assert (report.new, report.to_embed, report.creates_collection) == (30, 30, True)
    assert report.tokens > 30
    assert report.seconds is None
    assert [path.name for path in pipeline.root.iterdir()] == ["sources"]
    assert pipeline.model.calls == 0


def test_a_plan_says_what_the_run_then_does(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.write({"x": "stays"}, "b.jsonl")
    pipeline.run()
    changed = {row_id: text for row_id, text in ROWS.items() if row_id not in {"r1", "r2"}}
    pipeline.write(changed | {"r3": "changed", "new": "also new", "again": ROWS["r4"]})
    plan = pipeline.plan()
    assert (plan.new, plan.changed, plan.unchanged, plan.vanished, plan.skipped) == (2, 1, 27, 2, 1)
    assert (plan.to_embed, plan.cached) == (2, 1)
    counts = pipeline.run().counts
    assert (counts.new, counts.changed, counts.unchanged, counts.deleted, counts.skipped) == (2, 1, 27, 2, 1)
    assert (counts.embedded, counts.cached, counts.tokens) == (plan.to_embed, plan.cached, plan.tokens)


def test_a_text_that_comes_twice_is_to_be_embedded_once(pipeline: Pipeline) -> None:
    pipeline.write({"a": "same", "b": "same"})
    assert pipeline.plan().to_embed == 1


def test_a_model_in_this_process_is_timed_with_a_sample(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    report = pipeline.plan(embedder=open_embedder())
    assert report.rate_from == "sample"
    assert report.seconds is not None
    assert 0 < report.seconds < 60


def test_another_model_is_timed_by_the_last_run(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    pipeline.write({"x": "new"}, "b.jsonl")
    assert pipeline.plan().rate_from == "last run"


def test_a_plan_with_another_model_is_refused_like_its_run(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    other = FakeModel()
    other.revision = "2"
    with pytest.raises(ModelMismatchError):
        pipeline.plan(embedder=other.embedder())


def test_problems_are_told_with_their_places(pipeline: Pipeline) -> None:
    path: Path = pipeline.write_text('{"id": "a", "text": "x"}\nno json', "bad.jsonl")
    report = pipeline.plan()
    assert report.failed == 1
    assert report.problems[0].startswith(f"{path}:2: ")
