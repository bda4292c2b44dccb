"""Re-embedding a collection in a directory: filling, going on, catching up, switching, rolling back, ending."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vecdb
from tests.unit.ingest.reembedding import models
from tests.unit.ingest.reembedding.models import NEW, OLD, Watcher, fill, make, settings_for, texts, wrong
from vecdb.errors import AlreadyExistsError, InvalidNameError, InvalidRequestError, ModelMismatchError
from vecdb.ingest.embedders.opening import open_embedder
from vecdb.ingest.pipeline.events import ItemFailed, Progressed, RunEvent
from vecdb.ingest.reembedding import commands
from vecdb.ingest.reembedding.places import opened
from vecdb.ingest.reembedding.reports import FillReport
from vecdb.ingest.reembedding.roles import roles_of

WAIT_S = 60.0
"""Longest wait for what another thread does."""


@pytest.fixture(autouse=True)
def account() -> Iterator[list[str]]:
    """What the new model is asked for in this test."""
    models.asked.clear()
    yield models.asked
    models.asked.clear()


# --- filling ----------------------------------------------------------------------------------------------------------


def test_filling_gives_every_record_the_vector_of_its_text(tmp_path: Path, account: list[str]) -> None:
    make(tmp_path)
    report = commands.run(settings_for(tmp_path))
    assert (report.level, report.complete, report.left, report.counts.stored) == (True, True, 0, 40)
    assert sorted(account) == sorted(texts(40))
    with vecdb.open(tmp_path / "db", mode="r") as db:
        docs = db.collection("docs")
        assert wrong(docs) == []
        assert wrong(docs, "default", 8) == []


def test_searches_go_on_with_the_old_model_until_the_switch(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db", mode="r") as db:
        assert db.collection("docs").search(models.vector_of("text 7", 8), limit=1).ids == [7]
        assert db.collection("docs").model() == open_embedder(OLD).fingerprint


def test_the_field_beside_is_declared_as_the_field_of_now(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db") as db:
        docs = db.create_collection("docs", 8, metric="dot", dtype="float16", m=12)
        fill(docs, texts(3))
    commands.run(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db", mode="r") as db:
        beside = db.collection("docs").fields["default-next"]
        assert (beside.dim, beside.metric, beside.dtype, beside.m) == (12, "dot", "float16", 12)
        assert beside.model == open_embedder(NEW).fingerprint


def test_a_second_run_finds_nothing_to_do_and_asks_for_nothing(tmp_path: Path, account: list[str]) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    account.clear()
    report = commands.run(settings_for(tmp_path))
    assert (report.counts.items, report.level, account) == (0, True, [])


def test_a_run_that_was_stopped_goes_on_without_naming_the_model(tmp_path: Path, account: list[str]) -> None:
    make(tmp_path)
    stop = threading.Event()
    stop.set()
    report = commands.run(settings_for(tmp_path), stop=stop)
    assert (report.stopped, report.level, report.left) == (True, False, 40)
    assert commands.run(settings_for(tmp_path, model=None)).complete
    assert sorted(account) == sorted(texts(40))


def test_what_was_paid_for_is_in_the_cache_whatever_became_of_the_field(tmp_path: Path, account: list[str]) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    commands.cancel(settings_for(tmp_path))
    account.clear()
    report = commands.run(settings_for(tmp_path))
    assert (report.counts.cached, report.counts.stored, account) == (40, 40, [])


def test_what_was_written_meanwhile_is_caught_up_with(tmp_path: Path, account: list[str]) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    account.clear()
    with vecdb.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        fill(docs, texts(3, "added"), first=100)
        fill(docs, texts(2, "replaced"))
        docs.update(5, metadata={"text": "changed"})
        docs.update(6, metadata={"seen": True})
        docs.delete([7])
    assert commands.status(settings_for(tmp_path)).due == 6
    report = commands.run(settings_for(tmp_path))
    assert (report.counts.stored, report.complete) == (6, True)
    assert sorted(account) == sorted([*texts(3, "added"), *texts(2, "replaced"), "changed"])
    with vecdb.open(tmp_path / "db", mode="r") as db:
        assert wrong(db.collection("docs")) == []


def test_a_record_that_changes_while_it_is_embedded_gets_the_vector_of_its_new_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    meddled: list[bool] = []

    def meddling(given: list[str]) -> object:
        if not meddled:
            meddled.append(True)
            database[0].collection("docs").update(3, metadata={"text": "changed in between"})
        return np.stack([models.vector_of(text, 12) for text in given])

    meddling.dim, meddling.batch_texts = 12, 16  # type: ignore[attr-defined]
    database: list[vecdb.Database] = []

    def noticed(*given: object) -> object:
        return _Noticing(opened(*given), database)  # type: ignore[arg-type]

    monkeypatch.setattr(commands, "opened", noticed)
    monkeypatch.setattr(models, "new", meddling)
    report = commands.run(settings_for(tmp_path))
    assert (report.complete, report.counts.changed) == (True, 1)
    with vecdb.open(tmp_path / "db", mode="r") as db:
        assert wrong(db.collection("docs")) == []


def test_following_goes_on_with_what_is_written_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    database: list[vecdb.Database] = []
    stored, stop, reports = {40: threading.Event(), 43: threading.Event()}, threading.Event(), list[FillReport]()
    monkeypatch.setattr(commands, "opened", lambda *given: _Noticing(opened(*given), database))
    monkeypatch.setattr(commands, "FOLLOW_PAUSE_S", 0.01)
    settings = settings_for(tmp_path)

    class Levels:
        """Tells when all that there is was stored."""

        def observe(self, event: RunEvent) -> None:
            if isinstance(event, Progressed) and event.counts.stored in stored:
                stored[event.counts.stored].set()

    def run() -> None:
        reports.append(commands.run(settings, follow=True, observer=Levels(), stop=stop))

    thread = threading.Thread(target=run)
    thread.start()
    assert stored[40].wait(WAIT_S)
    fill(database[0].collection("docs"), texts(3, "written meanwhile"), first=100)
    assert stored[43].wait(WAIT_S)
    stop.set()
    thread.join()
    assert (reports[0].counts.stored, reports[0].left) == (43, 0)
    with vecdb.open(tmp_path / "db", mode="r") as db:
        assert wrong(db.collection("docs")) == []


class _Noticing:
    """A context manager that keeps what another one gives."""

    def __init__(self, inner: object, found: list[vecdb.Database]) -> None:
        self._inner, self._found = inner, found

    def __enter__(self) -> object:
        database = self._inner.__enter__()  # type: ignore[attr-defined]
        self._found.append(database)
        return database

    def __exit__(self, *given: object) -> object:
        return self._inner.__exit__(*given)  # type: ignore[attr-defined]


def test_a_named_field_is_filled_and_others_are_left_alone(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db") as db:
        docs = db.create_collection("docs", fields={"text": vecdb.Field(dim=8), "image": vecdb.Field(dim=2)})
        docs.upsert(
            [0, 1], {"text": [models.vector_of("text 0", 8), None], "image": np.eye(2)}, [{"text": "text 0"}, {}]
        )
    with pytest.raises(InvalidRequestError, match="say which with --field"):
        commands.run(settings_for(tmp_path))
    report = commands.run(settings_for(tmp_path, field="text"))
    assert (report.counts.stored, report.complete) == (1, True)
    with vecdb.open(tmp_path / "db", mode="r") as db:
        record = db.collection("docs").get(1, with_vectors=True)
        assert record is not None
        assert set(record.vectors) == {"image"}


def test_without_a_name_the_main_field_is_meant_whatever_was_added(tmp_path: Path) -> None:
    make(tmp_path, 3)
    with vecdb.open(tmp_path / "db") as db:
        db.collection("docs").add_field("image", vecdb.Field(dim=2))
    assert commands.run(settings_for(tmp_path)).roles.name == "default"


def test_a_field_of_the_user_that_is_called_like_one_beside_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path, 3)
    with vecdb.open(tmp_path / "db") as db:
        db.collection("docs").add_field("default-next", vecdb.Field(dim=12))
    assert commands.status(settings_for(tmp_path)).stage == "idle"
    with pytest.raises(InvalidRequestError, match="nothing is beside it"):
        commands.cancel(settings_for(tmp_path))
    with pytest.raises(AlreadyExistsError, match="default-next"):
        commands.run(settings_for(tmp_path))


def test_the_text_is_where_the_ingestor_or_the_user_keeps_it(tmp_path: Path, account: list[str]) -> None:
    with vecdb.open(tmp_path / "db") as db:
        docs = db.create_collection("docs", 8)
        docs.upsert([0, 1], models.old(["a", "b"]), [{"text": "whole", "_source": {"text": "chunk"}}, {"text": "row"}])
        other = db.create_collection("other", 8)
        other.upsert([0], models.old(["a"]), [{"body": {"en": "there"}, "text": "not this"}])
    commands.run(settings_for(tmp_path))
    commands.run(settings_for(tmp_path, collection="other", text_field="body.en"))
    assert sorted(account) == ["chunk", "row", "there"]


def test_texts_that_are_stored_in_part_are_counted(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db") as db:
        docs = db.create_collection("docs", 8)
        docs.upsert([0, 1], models.old(["a", "b"]), [{"text": "the begi", "_source": {"cut": True}}, {"text": "whole"}])
    report = commands.run(settings_for(tmp_path))
    assert (report.complete, report.counts.stored, report.cut) == (True, 2, 1)


def test_how_much_there_is_to_do_is_told_at_the_beginning(tmp_path: Path) -> None:
    make(tmp_path, 5)
    told: list[int] = []
    commands.run(settings_for(tmp_path), expected=told.append)
    assert told == [5]


# --- what cannot be embedded ------------------------------------------------------------------------------------------


def poisoned(tmp_path: Path) -> None:
    make(tmp_path)
    with vecdb.open(tmp_path / "db") as db:
        fill(db.collection("docs"), ["poison pill"], first=50)


def test_a_text_that_the_model_refuses_is_put_aside_and_the_others_go_on(tmp_path: Path) -> None:
    poisoned(tmp_path)
    watcher = Watcher()
    report = commands.run(settings_for(tmp_path), observer=watcher)
    assert (report.failed, report.left, report.level, report.complete) == (1, 1, True, False)
    assert report.examples == ((50, "text 0 is poison"),)
    assert [event.id for event in watcher.events if isinstance(event, ItemFailed)] == [50]
    assert [failure.id for failure in commands.failed(settings_for(tmp_path))] == [50]


def test_it_is_not_paid_for_again_until_its_text_changes_or_somebody_asks(tmp_path: Path, account: list[str]) -> None:
    poisoned(tmp_path)
    commands.run(settings_for(tmp_path))
    account.clear()
    assert commands.run(settings_for(tmp_path)).failed == 1
    assert account == []
    commands.run(settings_for(tmp_path), retry_failed=True)
    assert account == ["poison pill"]
    with vecdb.open(tmp_path / "db") as db:
        db.collection("docs").update(50, metadata={"text": "a cure"})
    report = commands.run(settings_for(tmp_path))
    assert (report.complete, commands.failed(settings_for(tmp_path))) == (True, [])


def test_a_vector_that_the_collection_refuses_is_put_aside_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_zero(given: list[str]) -> object:
        return np.stack([models.vector_of(text, 12) * (text != "text 7") for text in given])

    with_a_zero.dim, with_a_zero.batch_texts = 12, 16  # type: ignore[attr-defined]
    monkeypatch.setattr(models, "new", with_a_zero)
    make(tmp_path)
    settings = settings_for(tmp_path, model_option={"normalize": False})
    report = commands.run(settings)
    assert (report.counts.stored, report.failed, report.level) == (39, 1, True)
    assert [(failure.id, failure.reason) for failure in commands.failed(settings)] == [(7, "INVALID_VECTOR")]


def test_a_record_without_text_is_told_of_with_what_is_missing(tmp_path: Path) -> None:
    make(tmp_path, 3)
    with vecdb.open(tmp_path / "db") as db:
        db.collection("docs").upsert(["none", "blank"], models.old(["a", "b"]), [{"title": "x"}, {"text": " "}])
    report = commands.run(settings_for(tmp_path))
    assert (report.textless, report.complete, report.level) == (2, False, True)
    assert dict(report.examples) == {
        "none": "its metadata has nothing at 'text' nor '_source.text'",
        "blank": "what its metadata has at 'text' is empty",
    }


def test_no_switch_happens_while_records_cannot_be_embedded_unless_that_is_allowed(tmp_path: Path) -> None:
    poisoned(tmp_path)
    commands.run(settings_for(tmp_path))
    with pytest.raises(InvalidRequestError, match=r"1 record\(s\) could not be embedded.*--allow-missing"):
        commands.switch(settings_for(tmp_path))
    report = commands.switch(settings_for(tmp_path), allow_missing=True)
    assert report.missing == 1


# --- switching --------------------------------------------------------------------------------------------------------


def test_after_a_switch_the_name_stands_for_the_new_model(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    report = commands.switch(settings_for(tmp_path))
    assert (report.kept_as, report.missing, report.attempts) == ("default-previous", 0, 1)
    with vecdb.open(tmp_path / "db", mode="r") as db:
        docs = db.collection("docs")
        assert wrong(docs, "default") == []
        assert docs.search(models.vector_of("text 7", 12), limit=1).ids == [7]
        assert docs.model() == open_embedder(NEW).fingerprint
    assert commands.status(settings_for(tmp_path)).stage == "switched"


def test_a_switch_embeds_what_is_due_first(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db") as db:
        fill(db.collection("docs"), texts(5, "late"), first=100)
        db.collection("docs").update(1, metadata={"text": "changed"})
    report = commands.switch(settings_for(tmp_path, model=None))
    assert report.filled is not None
    assert report.filled.counts.stored == 6
    with vecdb.open(tmp_path / "db", mode="r") as db:
        assert wrong(db.collection("docs"), "default") == []


def test_a_rollback_brings_the_old_model_back_with_what_was_written_since(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    commands.switch(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        docs.upsert([100], np.stack([models.vector_of("since", 12)]), [{"text": "since"}])
        docs.update(1, metadata={"text": "changed"}, vector=models.vector_of("changed", 12))
    report = commands.rollback(settings_for(tmp_path, model=None))
    assert (report.kept_as, report.missing) == ("default-next", 0)
    with vecdb.open(tmp_path / "db", mode="r") as db:
        docs = db.collection("docs")
        assert wrong(docs, "default", 8) == []
        assert docs.model() == open_embedder(OLD).fingerprint
        assert roles_of(docs, None).stage == "filling"


def test_a_rollback_at_once_says_how_many_records_the_old_model_lacks(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    commands.switch(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db") as db:
        db.collection("docs").upsert([100], np.stack([models.vector_of("since", 12)]), [{"text": "since"}])
    report = commands.rollback(settings_for(tmp_path), fill_first=False)
    assert report.missing == 1


def test_finish_drops_the_old_vectors_and_another_model_may_follow(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    commands.switch(settings_for(tmp_path))
    assert commands.finish(settings_for(tmp_path)).shadow_name == "default-previous"
    with vecdb.open(tmp_path / "db", mode="r") as db:
        assert set(db.collection("docs").fields) == {"default"}
    assert commands.run(settings_for(tmp_path, model=OLD)).complete


def test_cancel_leaves_the_collection_as_it_was(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    commands.cancel(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db", mode="r") as db:
        docs = db.collection("docs")
        assert set(docs.fields) == {"default"}
        assert wrong(docs, "default", 8) == []


# --- comparing and refusals -------------------------------------------------------------------------------------------


def test_old_and_new_stay_what_they_were_when_they_are_compared_after_the_switch(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"query": "text 3", "id": 3}\n{"query": "text 4", "id": 4}\n{"query": "unlike", "id": 5}\n')
    before = commands.compare(settings_for(tmp_path), queries, k=1)
    commands.switch(settings_for(tmp_path))
    after = commands.compare(settings_for(tmp_path), queries, k=1)
    assert before == after
    assert before.pairs is not None
    assert before.pairs.old_recall == before.pairs.new_recall == pytest.approx(2 / 3)


def test_queries_are_embedded_once(tmp_path: Path, account: list[str]) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    queries = tmp_path / "queries.txt"
    queries.write_text("what is asked\n")
    account.clear()
    commands.compare(settings_for(tmp_path), queries)
    commands.compare(settings_for(tmp_path), queries)
    assert account == ["what is asked"]


def test_what_cannot_be_done_now_is_said_with_what_can(tmp_path: Path) -> None:
    make(tmp_path, 3)
    settings = settings_for(tmp_path)
    with pytest.raises(InvalidRequestError, match="Name it with --model"):
        commands.run(settings_for(tmp_path, model=None))
    with pytest.raises(InvalidRequestError, match=r"holds vectors of .* already"):
        commands.run(settings_for(tmp_path, model=OLD))
    for command in (commands.switch, commands.compare):
        with pytest.raises(InvalidRequestError, match="begin with: vecdb reembed docs --model NEW"):
            command(settings)
    with pytest.raises(InvalidRequestError, match="only a switch can be rolled back"):
        commands.rollback(settings)
    for drop in (commands.finish, commands.cancel):
        with pytest.raises(InvalidRequestError, match="nothing is beside it"):
            drop(settings)
    commands.run(settings)
    with pytest.raises(InvalidRequestError, match=r"is being moved to .*go on with that one, or cancel"):
        commands.run(settings_for(tmp_path, model="builtin"))
    with pytest.raises(InvalidRequestError, match="not in use yet"):
        commands.finish(settings)
    commands.switch(settings)
    with pytest.raises(InvalidRequestError, match=r"was switched to .*finish that, or roll it back"):
        commands.run(settings_for(tmp_path, model="builtin"))
    with pytest.raises(InvalidRequestError, match="the new model is in use"):
        commands.cancel(settings)


def test_a_model_that_is_another_one_today_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, 3)
    commands.run(settings_for(tmp_path))
    monkeypatch.setattr(models.new, "revision", "2", raising=False)
    with pytest.raises(ModelMismatchError, match="revision"):
        commands.run(settings_for(tmp_path, model=None))


def test_a_name_that_leaves_no_room_for_the_fields_beside_is_refused(tmp_path: Path) -> None:
    name = "f" * 60
    with vecdb.open(tmp_path / "db") as db:
        db.create_collection("docs", fields={name: vecdb.Field(dim=8)})
    with pytest.raises(InvalidNameError):
        commands.run(settings_for(tmp_path))
