"""Whatever happens to sources, model and runs, the collection ends as the sources say, and no text is paid twice."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.harness.fake_model import fails
from tests.unit.ingest.pipeline.conftest import Pipeline
from vecdb.ingest.pipeline import breaker
from vecdb.ingest.pipeline.config import CONTROL_TEXT
from vecdb.ingest.pipeline.job import Work

Rows = dict[str, str]

TEXTS = st.sampled_from(
    ["one", "two", "three", "refused-text", "nan-text", "failing-text", *(f"text {number}" for number in range(12))]
)
ROWS = st.dictionaries(st.sampled_from([f"r{number}" for number in range(14)]), TEXTS, max_size=14)
DOCUMENTS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "refused-text"]), max_size=5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rows"), st.sampled_from(["a.jsonl", "b.jsonl", "c.jsonl"]), ROWS),
        st.tuples(st.just("document"), st.sampled_from(["d.md", "e.md"]), DOCUMENTS),
        st.tuples(st.just("remove"), st.sampled_from(["a.jsonl", "b.jsonl", "d.md"])),
        st.tuples(st.just("run")),
        st.tuples(st.just("retry")),
        st.tuples(st.just("outage"), st.integers(1, 4), st.integers(1, 6)),
        st.tuples(st.just("away"), st.integers(1, 4)),
        st.tuples(st.just("stop"), st.integers(1, 4)),
    ),
    min_size=2,
    max_size=9,
)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "RETRY_PAUSE_S", 0.0001)
    monkeypatch.setattr(breaker, "RETRY_PAUSE_MAX_S", 0.001)


def carry_out(pipeline: Pipeline, step: tuple[object, ...]) -> None:
    """One step; a run that is disturbed may end early."""
    model = pipeline.model
    model.faults.clear()
    match step:
        case ("rows", str(name), dict(rows)):
            pipeline.write(rows, name)
        case ("document", str(name), list(words)):
            pipeline.write_text("\n\n".join(f"# {word}\n\n{f'{word} ' * 14}" for word in words) or "empty", name)
        case ("remove", str(name)):
            (pipeline.folder / name).unlink(missing_ok=True)
        case ("run",):
            pipeline.run()
        case ("retry",):
            if (pipeline.root / "journal").exists():
                pipeline.retry()
        case ("outage", int(after), int(length)):
            model.faults.append(fails(*range(model.calls + after, model.calls + after + length)))
            pipeline.run()
        case ("away", int(after)):
            model.faults.append(fails(*range(model.calls + after, model.calls + 10_000)))
            pipeline.work = Work(cache_bytes=pipeline.work.cache_bytes, retry_for_s=0.02)
            pipeline.run()
            pipeline.work = Work(cache_bytes=pipeline.work.cache_bytes)
        case ("stop", int(after)):
            stop, last = threading.Event(), model.calls + after
            model.faults.append(lambda number, _: stop.set() if number == last else None)
            pipeline.run(stop)


def expected(pipeline: Pipeline) -> tuple[Rows, set[str]]:
    """Texts of rows by id as the sources say, and the names of documents; of one id twice the first counts."""
    import json

    rows: Rows = {}
    for path in sorted(pipeline.folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows.setdefault(row["id"], row["text"])
    return rows, {path.name for path in pipeline.folder.glob("*.md")}


CONTROL = CONTROL_TEXT.partition("{")[0]
"""How texts begin that each run may ask for, to know whether it is the model that fails."""


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
@example([("rows", "a.jsonl", {"r0": "failing-text"}), ("run",), ("retry",)])
@example([("rows", "a.jsonl", {"r0": "refused-text", "r1": "one"}), ("outage", 3, 4)])  # ends as "one" gets suspect
def test_a_collection_ends_as_its_sources_say_and_nothing_is_paid_twice(steps: list[tuple[object, ...]]) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        pipeline = Pipeline(root)
        for step in steps:
            carry_out(pipeline, step)
        pipeline.model.faults.clear()
        report = pipeline.run()
        assert report.error is None
        rows, documents = expected(pipeline)
        records = pipeline.records()
        bad = {row_id for row_id, text in rows.items() if text.endswith("-text")}
        stored_rows = {record_id: r.metadata["text"] for record_id, r in records.items() if "_source" not in r.metadata}
        # of a row in quarantine the version before it may be there
        assert {key: text for key, text in stored_rows.items() if key not in bad} == {
            key: text for key, text in rows.items() if key not in bad
        }
        assert set(stored_rows) <= set(rows)
        check_documents(pipeline, documents)
        # the texts of a call that came back unusable are asked for again; all others are paid once
        paid = {text: times for text, times in pipeline.model.paid.items() if not text.startswith(CONTROL)}
        assert max(paid.values(), default=1) == 1
    finally:
        shutil.rmtree(root)


def check_documents(pipeline: Pipeline, documents: set[str]) -> None:
    """Each document's chunks are all those of one version; of the one that is there, unless it is in quarantine."""
    chunks: dict[str, list[tuple[int, int, int, str]]] = {}
    for record in pipeline.records().values():
        place = record.metadata.get("_source")
        if place is not None:
            entry = (place["ordinal"], place["start"], place["end"], record.metadata["text"])
            chunks.setdefault(place["id"], []).append(entry)
    assert set(chunks) <= documents
    for name in documents:
        text = (pipeline.folder / name).read_text()
        found = sorted(chunks.get(name, []))
        assert [ordinal for ordinal, *_ in found] == list(range(len(found)))
        if "refused-text" not in text:
            assert found
            assert all(text[start:end] == chunk for _, start, end, chunk in found)
            assert not text[found[-1][2] :].strip()
