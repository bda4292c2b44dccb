"""What happens when somebody writes between the filling and the switch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import vecdb
from tests.unit.ingest.reembedding import models
from tests.unit.ingest.reembedding.models import fill, make, settings_for, wrong
from vecdb.errors import ConflictError
from vecdb.ingest.pipeline.tally import Tally
from vecdb.ingest.reembedding import commands, switching
from vecdb.ingest.reembedding.config import LEVEL_ROUNDS_MAX
from vecdb.ingest.reembedding.due import count_due
from vecdb.ingest.reembedding.reports import FillReport
from vecdb.ingest.reembedding.roles import NEXT, roles_of
from vecdb.ingest.reembedding.switching import SWITCH, turned


def filled(docs: vecdb.Collection) -> FillReport:
    """Fill what is due, by hand."""
    roles = roles_of(docs, None)
    for record in list(docs.iterate(filter=~vecdb.F.has_vector(roles.shadow_name))):
        docs.set_vectors([record.id], {roles.shadow_name: [models.vector_of(record.metadata["text"], 12)]})
    return FillReport(roles=roles, counts=Tally().counts(), rounds=1, seconds=0.0, left=count_due(docs, roles))


def test_a_record_written_before_the_switch_is_embedded_and_the_switch_tried_again(tmp_path: Path) -> None:
    make(tmp_path)
    commands.run(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        late = iter(["first", "second"])

        def fill_and_be_overtaken() -> FillReport:
            report = filled(docs)
            text = next(late, None)
            if text is not None:
                docs.update(4, metadata={"text": text})
            return report

        report = turned(docs, None, SWITCH, fill_and_be_overtaken, allow_missing=False)
        assert report.attempts == 3
        assert wrong(docs, "default") == []


def test_writers_that_leave_no_pause_are_told_of_and_nothing_is_switched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, 3)
    commands.run(settings_for(tmp_path))
    monkeypatch.setattr(switching, "SWITCH_ROUNDS_MAX", 5)
    with vecdb.open(tmp_path / "db") as db:
        docs = db.collection("docs")

        def fill_and_be_overtaken() -> FillReport:
            report = filled(docs)
            fill(docs, ["again and again"])
            return report

        with pytest.raises(ConflictError, match="was not switched: in 5 attempts somebody always wrote"):
            turned(docs, None, SWITCH, fill_and_be_overtaken, allow_missing=False)
        assert roles_of(docs, None).shadow_name == "default" + NEXT


def test_records_that_were_given_up_on_are_allowed_to_be_missing_and_no_others(tmp_path: Path) -> None:
    make(tmp_path, 3)
    with vecdb.open(tmp_path / "db") as db:
        fill(db.collection("docs"), ["poison"], first=9)
    commands.run(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        roles = roles_of(docs, None)
        overtaken = iter([True])

        def give_up_on_one() -> FillReport:
            if next(overtaken, False):
                docs.update(1, metadata={"text": "changed"})
            else:
                docs.set_vectors([1], {roles.shadow_name: [models.vector_of("changed", 12)]})
            return FillReport(
                roles=roles, counts=Tally().counts(), rounds=1, seconds=0.0, left=1, failed=1, given_up=frozenset([9])
            )

        report = turned(docs, None, SWITCH, give_up_on_one, allow_missing=True)
        assert (report.attempts, report.missing) == (2, 1)


def test_a_record_written_in_the_last_moment_of_filling_is_no_reason_to_give_up(tmp_path: Path) -> None:
    make(tmp_path, 3)
    commands.run(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        moments = iter([True])

        def overtaken_once() -> FillReport:
            report = filled(docs)
            if next(moments, False):
                docs.update(1, metadata={"text": "changed"})
                return replace(report, left=count_due(docs, report.roles))
            return report

        assert turned(docs, None, SWITCH, overtaken_once, allow_missing=False).attempts == 2
        assert wrong(docs, "default") == []


def test_writers_that_are_faster_in_all_rounds_are_told_of(tmp_path: Path) -> None:
    make(tmp_path, 3)
    commands.run(settings_for(tmp_path))
    with vecdb.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        slow = replace(filled(docs), left=5, rounds=LEVEL_ROUNDS_MAX)
        with pytest.raises(ConflictError, match="somebody writes faster than they are embedded"):
            turned(docs, None, SWITCH, lambda: slow, allow_missing=False)
