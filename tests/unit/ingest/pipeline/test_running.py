"""What runs make of sources, and of what changed in them."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from tests.harness.fake_model import FakeModel
from tests.unit.ingest.pipeline.conftest import Pipeline
from vecdb.errors import ConflictError, DimensionMismatchError, ModelMismatchError
from vecdb.ingest.chunkers.choosing import ItemChunker
from vecdb.ingest.pipeline.events import PartEnded, Progressed, Reconciling, SourceEnded
from vecdb.ingest.pipeline.job import Work
from vecdb.ingest.pipeline.opening import choose_embedder, open_directory
from vecdb.types import RecordId

ROWS = {f"r{number}": f"text of row {number}" for number in range(30)}
LONG = "\n\n".join(f"# Part {number}\n\n" + f"word{number} " * 20 for number in range(5))


def test_every_row_becomes_a_record_of_its_own_id(pipeline: Pipeline) -> None:
    pipeline.write(ROWS, year=2020)
    report = pipeline.run()
    assert report.succeeded
    assert pipeline.texts() == ROWS
    assert pipeline.records()["r3"].metadata == {"year": 2020, "text": "text of row 3"}


def mixed(count: int, shift: int) -> dict[str, str]:
    """Rows of which some are several chunks, and some have ids that chunks might have."""
    return {
        f"r{number}" + "#1" * (number % 11 == 4): f"row {number}"
        + " and more words" * (8 * ((number + shift) % 7 == 0))
        for number in range(count)
    }


def test_short_and_long_rows_are_stored_in_the_order_of_their_file(pipeline: Pipeline) -> None:
    pipeline.write(rows := mixed(1_500, 0))
    assert pipeline.run().counts.stored == 1_500
    records = pipeline.records()
    versions = [(records.get(row_id) or records[f"{row_id}#0"]).version for row_id in rows]
    assert versions == sorted(versions)
    assert len(set(versions)) > 1


def test_rows_that_become_longer_or_shorter_leave_nothing_behind(pipeline: Pipeline) -> None:
    pipeline.write(mixed(200, 0))
    pipeline.run()
    pipeline.write(rows := mixed(200, 3))
    assert pipeline.run().counts.changed > 40
    found = pipeline.texts()
    assert {row_id: text for row_id, text in rows.items() if len(text) < 16}.items() <= found.items()
    long = [row_id for row_id, text in rows.items() if len(text) >= 16]
    assert not set(long) & set(found)
    assert {str(row_id).rpartition("#")[0] for row_id in found.keys() - rows.keys()} == set(long)


def test_counts_say_what_was_done(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    counts = pipeline.run().counts
    assert (counts.items, counts.new, counts.stored, counts.embedded, counts.chunks_stored) == (30, 30, 30, 30, 30)
    assert counts.calls == 4
    assert counts.tokens > 30


def test_an_unchanged_file_is_not_read_again(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    counts = pipeline.run().counts
    assert (counts.items, counts.skipped, counts.parts_unchanged) == (0, 30, 1)


def test_reread_reads_unchanged_files_and_embeds_nothing(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    calls = pipeline.model.calls
    counts = pipeline.run(reread=True).counts
    assert (counts.items, counts.unchanged, counts.stored) == (30, 30, 0)
    assert pipeline.model.calls == calls


def test_only_what_changed_is_embedded_again(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    pipeline.write(ROWS | {"r7": "another text"})
    counts = pipeline.run().counts
    assert (counts.changed, counts.unchanged, counts.embedded) == (1, 29, 1)
    assert pipeline.texts() == ROWS | {"r7": "another text"}


def test_new_metadata_of_an_old_text_is_stored_without_embedding(pipeline: Pipeline) -> None:
    pipeline.write(ROWS, year=1)
    pipeline.run()
    pipeline.write(ROWS, year=2)
    counts = pipeline.run().counts
    assert (counts.changed, counts.embedded, counts.cached) == (30, 0, 30)
    assert {record.metadata["year"] for record in pipeline.records().values()} == {2}


def test_a_row_that_vanished_is_deleted(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    left = {row_id: text for row_id, text in ROWS.items() if row_id != "r5"}
    pipeline.write(left)
    assert pipeline.run().counts.deleted == 1
    assert pipeline.texts() == left


def test_the_rows_of_a_file_that_vanished_are_deleted(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.write({"other": "stays"}, "b.jsonl")
    pipeline.run()
    (pipeline.folder / "a.jsonl").unlink()
    pipeline.run()
    assert pipeline.texts() == {"other": "stays"}


def test_keep_vanished_deletes_nothing(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    pipeline.write({"new": "row"})
    pipeline.run(keep_vanished=True)
    assert pipeline.texts() == ROWS | {"new": "row"}


def test_a_row_that_moved_to_another_file_is_kept_and_costs_nothing(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.write({"other": "text"}, "b.jsonl")
    pipeline.run()
    pipeline.write({row_id: text for row_id, text in ROWS.items() if row_id != "r1"})
    pipeline.write({"other": "text", "r1": ROWS["r1"]}, "b.jsonl")
    counts = pipeline.run().counts
    assert (counts.embedded, counts.deleted, counts.stored) == (0, 0, 0)
    assert pipeline.texts() == ROWS | {"other": "text"}


def test_a_document_becomes_chunks_that_know_their_place(pipeline: Pipeline) -> None:
    pipeline.write_text(LONG, "guide.md")
    assert pipeline.run().succeeded
    records = pipeline.records()
    first = records["guide.md#0"].metadata["_source"]
    assert first["id"] == "guide.md"
    assert first["ordinal"] == 0
    assert first["headings"] == ["Part 0"]
    assert first["next"] == "guide.md#1"
    assert "previous" not in first
    assert len(records) > 5
    for record in records.values():
        place = record.metadata["_source"]
        assert LONG[place["start"] : place["end"]] == record.metadata["text"]


def test_a_document_that_gets_shorter_loses_its_last_chunks(pipeline: Pipeline) -> None:
    pipeline.write_text(LONG, "guide.md")
    pipeline.run()
    before = len(pipeline.records())
    pipeline.write_text(LONG[: len(LONG) // 2], "guide.md")
    counts = pipeline.run().counts
    assert counts.chunks_deleted > 0
    assert len(pipeline.records()) == before - counts.chunks_deleted


def test_the_same_text_in_many_rows_is_paid_once(pipeline: Pipeline) -> None:
    pipeline.write({f"r{number}": "the same" for number in range(40)})
    counts = pipeline.run().counts
    assert (counts.embedded, counts.cached) == (1, 39)
    assert pipeline.model.paid == {"the same": 1}
    assert len(pipeline.records()) == 40


def test_another_pipeline_with_the_same_cache_pays_nothing(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    calls = pipeline.model.calls
    destination = open_directory(str(pipeline.root / "other"), "docs")
    report = pipeline.run(destination=destination, journal=pipeline.root / "other-journal")
    assert report.counts.cached == 30
    assert pipeline.model.calls == calls


@pytest.mark.parametrize("readers", [1, 4])
def test_many_files_are_stored_whatever_the_number_of_readers(pipeline: Pipeline, readers: int) -> None:
    expected: dict[RecordId, str] = {}
    for number in range(25):
        rows = {f"{number}-{row}": f"row {row} of file {number}" for row in range(number)}
        pipeline.write(rows, f"{number:02}.jsonl")
        expected.update(rows)
    pipeline.work = Work(cache_bytes=pipeline.work.cache_bytes, readers=readers, embedders=3)
    assert pipeline.run().succeeded
    assert pipeline.texts() == expected
    assert max(pipeline.model.paid.values()) == 1


def test_of_two_rows_with_one_id_the_first_stays_whatever_reads_first(pipeline: Pipeline) -> None:
    pipeline.write({f"a{number}": "text" for number in range(500)} | {"twice": "the first"}, "a.jsonl")
    pipeline.write({"twice": "the second"}, "b.jsonl")
    pipeline.work = Work(cache_bytes=pipeline.work.cache_bytes, readers=4)
    report = pipeline.run()
    assert report.failures == 1
    assert not report.succeeded
    assert pipeline.texts()["twice"] == "the first"


def test_more_text_than_the_queue_takes_passes_piece_by_piece(pipeline: Pipeline) -> None:
    rows = {f"r{number}": f"{number} " + "x" * 9000 for number in range(60)}
    pipeline.write(rows)
    pipeline.work = Work(cache_bytes=pipeline.work.cache_bytes, queue_bytes=40_000)
    report = pipeline.run(chunker=ItemChunker("none"))
    assert report.succeeded
    assert len(pipeline.records()) == 60


def test_a_run_that_is_asked_to_stop_goes_on_where_it_was(pipeline: Pipeline) -> None:
    pipeline.write({f"r{number}": f"row {number}" for number in range(500)})
    stop = threading.Event()
    pipeline.model.faults.append(lambda number, _: stop.set() if number == 10 else None)
    report = pipeline.run(stop)
    assert report.stopped
    assert not report.succeeded
    assert 80 <= report.counts.embedded < 500
    stored = len(pipeline.records())
    assert stored == report.counts.stored > 0
    pipeline.model.faults.clear()
    assert pipeline.run().succeeded
    assert len(pipeline.records()) == 500
    assert max(pipeline.model.paid.values()) == 1


def test_another_model_is_refused_before_anything_is_read(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    other = FakeModel()
    other.revision = "2"
    with pytest.raises(ModelMismatchError, match="reembed"):
        pipeline.run(embedder=other.embedder())


def test_the_model_of_a_collection_is_that_of_its_first_run(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    assert open_directory(str(pipeline.root / "db"), "docs").model() == pipeline.model.embedder().fingerprint


def test_records_of_an_unknown_model_are_not_mixed_with(pipeline: Pipeline) -> None:
    import vecdb

    with vecdb.open(str(pipeline.root / "db")) as db:
        db.create_collection("docs", dim=8).upsert(["mine"], np.ones((1, 8)))
    pipeline.write(ROWS)
    with pytest.raises(ModelMismatchError, match="set_model"):
        pipeline.run()


@pytest.mark.parametrize("records", [0, 1])
def test_a_collection_of_another_dimension_is_refused_with_what_helps(pipeline: Pipeline, records: int) -> None:
    import vecdb

    with vecdb.open(str(pipeline.root / "db")) as db:
        db.create_collection("docs", dim=5).upsert(list(map(str, range(records))), np.ones((records, 5)))
    pipeline.write(ROWS)
    with pytest.raises(DimensionMismatchError, match=r"vectors of 5 components.*gives 8.*--model") as caught:
        pipeline.run()
    assert ("can be dropped" in caught.value.message) == (records == 0)


def test_another_chunker_stores_everything_again_from_the_cache(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.write_text(LONG, "guide.md")
    pipeline.run()
    report = pipeline.run(chunker=ItemChunker("none"))
    assert pipeline.watcher.of(Reconciling)
    assert report.succeeded
    assert set(pipeline.texts()) == {*ROWS, "guide.md"}
    assert max(pipeline.model.paid.values()) == 1


def test_a_collection_that_was_dropped_is_filled_again_from_the_cache(pipeline: Pipeline) -> None:
    import vecdb

    pipeline.write(ROWS)
    pipeline.run()
    calls = pipeline.model.calls
    with vecdb.open(str(pipeline.root / "db")) as db:
        db.drop_collection("docs")
    assert pipeline.run().succeeded
    assert pipeline.texts() == ROWS
    assert pipeline.model.calls == calls


def test_another_database_at_the_same_place_is_filled_from_the_cache(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    calls = pipeline.model.calls
    (pipeline.root / "db").rename(pipeline.root / "away")
    assert pipeline.run().succeeded
    assert pipeline.texts() == ROWS
    assert pipeline.model.calls == calls


def test_a_database_that_was_restored_from_a_backup_catches_up(pipeline: Pipeline) -> None:
    import vecdb

    pipeline.write(ROWS)
    pipeline.run()
    with vecdb.open(str(pipeline.root / "db")) as db:
        db.backup(str(pipeline.root / "backup"))
    later = {f"later{number}": f"later {number}" for number in range(20)}
    pipeline.write(ROWS | {"r1": "changed"} | later)
    pipeline.run()
    calls = pipeline.model.calls
    (pipeline.root / "db").rename(pipeline.root / "away")
    (pipeline.root / "backup").rename(pipeline.root / "db")
    assert pipeline.run().succeeded
    assert pipeline.texts() == ROWS | {"r1": "changed"} | later
    assert pipeline.model.calls == calls


def test_a_journal_of_another_collection_is_refused(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    with pytest.raises(ConflictError, match="collection"):
        pipeline.run(destination=open_directory(str(pipeline.root / "db"), "other"), collection="other")


def test_events_tell_of_parts_sources_and_progress(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    assert [event.items for event in pipeline.watcher.of(PartEnded)] == [30]
    assert [event.complete for event in pipeline.watcher.of(SourceEnded)] == [True]
    assert pipeline.watcher.of(Progressed)[-1].counts.stored == 30


def test_vectors_of_their_own_are_stored_as_they_are(pipeline: Pipeline) -> None:
    vectors = np.random.default_rng(1).standard_normal((50, 6)).astype(np.float32)
    np.save(pipeline.root / "v.npy", vectors)
    pipeline.sources = (str(pipeline.root / "v.npy"),)
    job = pipeline.job()
    embedder = choose_embedder(job.destination, job.sources, None)
    assert pipeline.run(embedder=embedder).succeeded
    import vecdb

    with vecdb.open(str(pipeline.root / "db"), mode="r") as db:
        found = db.collection("docs").get(7, with_vectors=True)
    assert found is not None
    assert found.vector is not None
    np.testing.assert_array_equal(found.vector, vectors[7])


def test_images_are_left_out_where_the_model_embeds_texts_only(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    (pipeline.folder / "p.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IHDR" + bytes([0, 0, 0, 9] * 2) + bytes(9)
    )
    report = pipeline.run()
    assert report.succeeded
    assert report.counts.left_out == 1
    assert pipeline.texts() == ROWS


def test_ids_keep_their_type(pipeline: Pipeline) -> None:
    pipeline.write({1: "one", 2: "two"})
    pipeline.run()
    assert pipeline.texts() == {1: "one", 2: "two"}


def test_an_own_text_of_the_metadata_stays(pipeline: Pipeline) -> None:
    path = pipeline.write_text('{"id": "a", "body": "b", "text": "own"}', "x.jsonl")
    pipeline.sources = (f"{path}?text-field=body",)
    pipeline.run()
    import vecdb

    with vecdb.open(str(pipeline.root / "db"), mode="r") as db:
        found = db.collection("docs").get("a")
    assert found is not None
    assert found.metadata == {"text": "own", "_source": {"text": "b"}}


def test_a_row_with_the_id_of_a_chunk_does_not_take_its_place(pipeline: Pipeline) -> None:
    pipeline.write_text(LONG, "a.md")
    pipeline.write({"a.md#1": "a row", "b#1": "another"}, "b.jsonl")
    report = pipeline.run()
    assert report.failures == 1
    records = pipeline.texts()
    assert records["a.md#1"] != "a row"
    assert records["b#1"] == "another"


def test_what_comes_through_a_pipe_is_stored_though_the_pipe_stays_open() -> None:
    """And a reader that still waits for it when the process ends does no harm."""
    script = """
import subprocess
import sys
import threading
from vecdb.ingest.sources.item import Item
from vecdb.ingest.sources.source import read_sources
from vecdb.ingest.sources.spec import open_source
came = threading.Event()
def read():
    for event in read_sources([open_source("-")]):
        came.set()
threading.Thread(target=read, daemon=True).start()
assert came.wait(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"id": "a", "text": "b"}\n')
        process.stdin.flush()
        assert process.wait(60) == 0
