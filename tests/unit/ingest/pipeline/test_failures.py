"""What becomes of a run when the model, the sources or the destination fail."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.harness.fake_model import POISONS, fails
from tests.unit.ingest.pipeline.conftest import Pipeline
from vecdb.errors import (
    InvalidEmbeddingError,
    InvalidTextError,
    InvalidVectorError,
    ProviderRefusedError,
    ProviderUnavailableError,
    UnavailableError,
)
from vecdb.ingest.journal.journal import Journal
from vecdb.ingest.journal.states import Failure
from vecdb.ingest.pipeline import embedded, running
from vecdb.ingest.pipeline.destination import Swap
from vecdb.ingest.pipeline.events import BreakerClosed, BreakerOpened, ItemFailed, Retrying
from vecdb.ingest.pipeline.job import Work

ROWS = {f"r{number}": f"text of row {number}" for number in range(40)}


def failures(pipeline: Pipeline) -> dict[object, Failure]:
    """What is in quarantine."""
    with Journal.open(pipeline.root / "journal", mode="r") as journal:
        return {failure.id: failure for failure in journal.failures()}


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("place", [0, 7, 21, 39])
def test_one_text_that_the_model_cannot_take_stops_no_other(pipeline: Pipeline, poison: str, place: int) -> None:
    rows = ROWS | {f"r{place}": f"a {poison} here"}
    path = pipeline.write(rows)
    report = pipeline.run()
    assert report.failures == 1
    assert report.error is None
    assert pipeline.texts() == {row_id: text for row_id, text in rows.items() if row_id != f"r{place}"}
    failed = failures(pipeline)[f"r{place}"]
    assert failed.position == f"{path}:{place + 1}"
    assert failed.message
    assert [event.id for event in pipeline.watcher.of(ItemFailed)] == [f"r{place}"]


def test_several_poisoned_texts_are_all_found(pipeline: Pipeline) -> None:
    rows = ROWS | {f"r{number}": f"{POISONS[number % 4]} {number}" for number in range(0, 40, 3)}
    pipeline.write(rows)
    assert pipeline.run().failures == 14
    assert len(pipeline.records()) == 26


def test_many_texts_that_the_model_names_do_not_make_the_others_be_embedded_again(pipeline: Pipeline) -> None:
    def name_the_first(_number: int, texts: list[str]) -> None:
        for index, text in enumerate(texts):
            if "mute" in text:
                raise InvalidTextError(f"text {index} has no character that can be read", index=index)

    pipeline.model.batch_texts = 64
    pipeline.model.faults.append(name_the_first)
    pipeline.write({f"r{number}": f"text {number}" if number % 2 else f"mute {number}" for number in range(64)})
    assert pipeline.run().failures == 32
    assert sum(pipeline.model.paid.values()) == 32
    assert pipeline.model.calls < 3 * 33


def test_what_failed_is_left_alone_until_it_changes(pipeline: Pipeline) -> None:
    pipeline.write(ROWS | {"r3": "a refused-text"})
    pipeline.run()
    calls = pipeline.model.calls
    report = pipeline.run(reread=True)
    assert (report.failures, pipeline.model.calls) == (1, calls)
    pipeline.write(ROWS)
    assert pipeline.run().succeeded
    assert pipeline.texts() == ROWS


def test_retry_embeds_what_failed_and_nothing_else(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ROWS | {"r3": "a refused-text", "r9": "a nan-text"}
    pipeline.write(rows)
    pipeline.write({"other": "text"}, "b.jsonl")
    pipeline.run()
    monkeypatch.setattr("tests.harness.fake_model.POISONS", ())
    report = pipeline.retry(["r3"])
    assert (report.failures, report.counts.embedded, report.counts.stored) == (1, 1, 1)
    report = pipeline.retry()
    assert (report.failures, report.counts.embedded) == (0, 1)
    assert pipeline.texts() == rows | {"other": "text"}
    assert pipeline.run().succeeded


def test_retry_finds_what_failed_where_it_is_now(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.write(ROWS | {"r3": "a refused-text"})
    pipeline.run()
    rest = {row_id: text for row_id, text in ROWS.items() if row_id != "r3"}
    pipeline.write(rest)
    pipeline.write({"r3": "a refused-text"}, "b.jsonl")
    assert pipeline.run().failures == 1
    assert failures(pipeline)["r3"].part.endswith("b.jsonl")
    assert (failures(pipeline)["r3"].attempts, failures(pipeline)["r3"].position[-2:]) == (1, ":1")
    monkeypatch.setattr("tests.harness.fake_model.POISONS", ())
    assert pipeline.retry().failures == 0
    assert pipeline.texts() == rest | {"r3": "a refused-text"}


def test_a_failure_is_over_when_the_content_before_it_comes_back(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    pipeline.write(ROWS | {"r3": "a refused-text"})
    assert pipeline.run().failures == 1
    pipeline.write(ROWS)
    report = pipeline.run()
    assert (report.failures, report.counts.embedded, report.counts.unchanged) == (0, 0, len(ROWS))
    assert pipeline.texts() == ROWS


def test_a_retry_of_some_items_leaves_what_else_changed_to_the_next_run(pipeline: Pipeline) -> None:
    pipeline.write(ROWS | {"r3": "a refused-text"})
    pipeline.run()
    pipeline.write(ROWS | {"r3": "a refused-text", "r5": "changed meanwhile", "new": "a new row"})
    pipeline.retry(["r3"])
    pipeline.run()
    texts = pipeline.texts()
    assert (texts["r5"], texts["new"]) == ("changed meanwhile", "a new row")


def test_a_retry_of_some_items_keeps_the_problems_of_others(pipeline: Pipeline) -> None:
    pipeline.write(ROWS | {"r3": "a refused-text"})
    pipeline.write_text('{"no": "id"}\n', "b.jsonl")
    pipeline.run()
    pipeline.retry(["r3"])
    assert set(failures(pipeline)) == {"r3", None}


def test_a_retry_that_fails_again_counts_its_attempts(pipeline: Pipeline) -> None:
    pipeline.write(ROWS | {"r3": "a refused-text"})
    pipeline.run()
    pipeline.retry()
    assert failures(pipeline)["r3"].attempts == 2


def test_the_old_version_stays_while_the_new_one_is_in_quarantine(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    pipeline.write(ROWS | {"r3": "a refused-text"})
    assert pipeline.run().failures == 1
    assert pipeline.texts() == ROWS


def test_a_document_with_one_bad_chunk_is_stored_not_at_all(pipeline: Pipeline) -> None:
    pipeline.write(ROWS)
    pipeline.write_text("\n\n".join(f"# {number}\n\n{'word ' * 20}" for number in range(4)) + "refused-text", "d.md")
    assert pipeline.run().failures == 1
    assert pipeline.texts() == ROWS


def test_bad_rows_are_reported_with_their_line_and_the_rest_goes_on(pipeline: Pipeline) -> None:
    lines = [
        '{"id": "a", "text": "good"}',
        "no json",
        '{"id": "b"}',
        '{"id": "c", "text": ""}',
        '{"id": "d", "text": "x"}',
    ]
    path = pipeline.write_text("\n".join(lines), "bad.jsonl")
    report = pipeline.run()
    assert report.failures == 3
    assert pipeline.texts() == {"a": "good", "d": "x"}
    positions = sorted(failure.position for failure in failures(pipeline).values())
    assert positions[-2:] == [f"{path}:3", f"{path}:4"]


def test_bad_rows_that_were_repaired_are_forgotten(pipeline: Pipeline) -> None:
    pipeline.write_text('{"id": "a", "text": "x"}\nno json', "bad.jsonl")
    assert pipeline.run().failures == 1
    pipeline.write_text('{"id": "a", "text": "x"}\n{"id": "b", "text": "y"}', "bad.jsonl")
    assert pipeline.run().succeeded


def test_a_provider_that_fails_for_now_is_asked_again(pipeline: Pipeline) -> None:
    pipeline.model.faults.append(fails(1, 3, 4))
    pipeline.write(ROWS)
    report = pipeline.run()
    assert report.succeeded
    assert report.counts.retries == 3
    assert max(pipeline.model.paid.values()) == 1
    assert pipeline.watcher.of(Retrying)


def test_an_outage_opens_the_breaker_and_costs_single_texts_until_it_ends(pipeline: Pipeline) -> None:
    asked = []
    pipeline.model.faults.append(fails(*range(2, 20)))
    pipeline.model.faults.append(lambda number, texts: asked.append((number, len(texts))))
    pipeline.write(ROWS)
    assert pipeline.run().succeeded
    opened, closed = pipeline.watcher.of(BreakerOpened), pipeline.watcher.of(BreakerClosed)
    assert (len(opened), len(closed)) == (1, 1)
    assert dict(asked)[20] == 1
    assert max(pipeline.model.paid.values()) == 1


def test_what_is_asked_after_a_rate_limit_waits_as_long_as_was_said(pipeline: Pipeline) -> None:
    pipeline.model.faults.append(fails(2, status=429, retry_after_s=0.25))
    pipeline.write(ROWS)
    assert pipeline.run().succeeded
    assert pipeline.watcher.of(Retrying)[0].wait_s >= 0.25


def test_a_provider_that_stays_away_ends_the_run_and_loses_nothing(pipeline: Pipeline) -> None:
    pipeline.model.faults.append(fails(*range(3, 1000)))
    pipeline.work = Work(cache_bytes=pipeline.work.cache_bytes, retry_for_s=0.3)
    pipeline.write(ROWS)
    report = pipeline.run()
    assert isinstance(report.error, ProviderUnavailableError)
    assert "retry_for_s" in report.error.message
    assert report.failures == 0
    pipeline.model.faults.clear()
    assert pipeline.run().succeeded
    assert pipeline.texts() == ROWS
    assert max(pipeline.model.paid.values()) == 1


def test_a_provider_that_wants_to_be_left_alone_for_too_long_ends_the_run_at_once(pipeline: Pipeline) -> None:
    pipeline.model.faults.append(fails(2, status=429, retry_after_s=3600.0))
    pipeline.write(ROWS)
    report = pipeline.run()
    assert isinstance(report.error, ProviderUnavailableError)
    assert "left alone for 3600 s" in report.error.message
    assert pipeline.run().succeeded
    assert max(pipeline.model.paid.values()) == 1


def test_a_key_that_is_refused_ends_the_run_at_once(pipeline: Pipeline) -> None:
    def refuse(_number: int, _texts: list[str]) -> None:
        raise ProviderRefusedError("the service answered 401", status=401)

    pipeline.model.faults.append(refuse)
    pipeline.write(ROWS)
    report = pipeline.run()
    assert isinstance(report.error, ProviderRefusedError)
    assert pipeline.model.calls == 1
    assert report.failures == 0


def test_a_model_that_takes_nothing_ends_the_run_instead_of_filling_the_quarantine(pipeline: Pipeline) -> None:
    def refuse(_number: int, _texts: list[str]) -> None:
        raise InvalidEmbeddingError("rows have 3 components instead of 8")

    pipeline.model.faults.append(refuse)
    pipeline.write(ROWS)
    report = pipeline.run()
    assert isinstance(report.error, InvalidEmbeddingError)
    assert "surely good" in report.error.message
    assert report.failures == 0


def test_many_bad_texts_in_a_row_do_not_end_a_run(pipeline: Pipeline) -> None:
    rows = {f"bad{number}": f"refused-text {number}" for number in range(25)} | ROWS
    pipeline.write(rows)
    report = pipeline.run()
    assert (report.error, report.failures) == (None, 25)
    assert pipeline.texts() == ROWS


def test_a_stop_does_not_wait_for_a_provider_that_is_away(pipeline: Pipeline) -> None:
    stop = threading.Event()
    pipeline.model.faults.append(fails(*range(2, 1000), retry_after_s=25.0))
    pipeline.model.faults.append(lambda number, _: stop.set() if number == 2 else None)
    pipeline.model.faults.reverse()
    pipeline.write(ROWS)
    report = pipeline.run(stop)
    assert report.stopped
    assert report.counts.retries == 1


def test_a_record_that_the_destination_refuses_is_found_and_the_rest_stored(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = embedded.EmbeddedDestination._store

    def picky(self: embedded.EmbeddedDestination, swap: Swap) -> int:
        if "r5" in swap.ids:
            raise InvalidVectorError("zero under cosine")
        return store(self, swap)

    monkeypatch.setattr(embedded.EmbeddedDestination, "_store", picky)
    pipeline.write(ROWS)
    report = pipeline.run()
    assert report.failures == 1
    assert failures(pipeline)["r5"].reason == "INVALID_VECTOR"
    assert pipeline.texts() == {row_id: text for row_id, text in ROWS.items() if row_id != "r5"}


def test_a_destination_that_refuses_everything_ends_the_run(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise InvalidVectorError("wrong")

    monkeypatch.setattr(embedded.EmbeddedDestination, "_store", refuse)
    pipeline.write(ROWS)
    report = pipeline.run()
    assert isinstance(report.error, InvalidVectorError)
    assert report.failures == 0


def test_a_destination_that_is_away_for_a_while_is_waited_for(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tries = embedded.EmbeddedDestination._store, []

    def away(self: embedded.EmbeddedDestination, swap: Swap) -> int:
        tries.append(swap)
        if len(tries) in {1, 2}:
            raise UnavailableError("restarting")
        return store(self, swap)

    monkeypatch.setattr(embedded.EmbeddedDestination, "_store", away)
    pipeline.write(ROWS)
    assert pipeline.run().succeeded
    assert pipeline.texts() == ROWS
    assert [event.what for event in pipeline.watcher.of(Retrying)] == ["destination"] * 2


def test_a_destination_that_stays_away_ends_the_run_and_nothing_is_paid_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> int:
        raise UnavailableError("gone")

    pipeline.write(ROWS)
    pipeline.work = Work(cache_bytes=pipeline.work.cache_bytes, retry_for_s=0.3)
    with monkeypatch.context() as patched:
        patched.setattr(embedded.EmbeddedDestination, "_store", away)
        report = pipeline.run()
    assert isinstance(report.error, UnavailableError)
    assert pipeline.run().succeeded
    assert pipeline.texts() == ROWS
    assert max(pipeline.model.paid.values()) == 1


def test_a_document_too_large_for_one_transaction_is_a_failure_that_says_so(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecdb.ingest.pipeline.cutting.TRANSACTION_BYTES_MAX", 2_000)
    pipeline.write(ROWS)
    pipeline.write_text("a long story " * 500, "d.txt")
    report = pipeline.run()
    assert report.failures == 1
    assert "chunk_tokens" in failures(pipeline)["d.txt"].message
    assert pipeline.texts() == ROWS


def test_a_source_that_is_gone_deletes_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.write(ROWS)
    pipeline.run()
    job = pipeline.job()
    pipeline.folder.rename(tmp_path / "away")
    report = running.run(job)
    job.destination.close()
    assert not report.succeeded
    assert pipeline.texts() == ROWS


def test_an_observer_that_raises_is_a_defect_and_ends_the_run(pipeline: Pipeline) -> None:
    class Broken:
        def observe(self, event: object) -> None:
            raise RuntimeError(str(event))

    pipeline.write(ROWS)
    pipeline.watcher = Broken()  # type: ignore[assignment]
    with pytest.raises(RuntimeError):
        pipeline.run()
