"""The checker itself: a database that broke a promise is found out, whichever promise it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.harness import workload
from tests.harness.checker import Findings, check
from tests.harness.journal import Journal, Replay, replay
from tests.harness.workload import Operation, State
from vecdb.config import EngineConfig

WRITTEN = Operation("upsert", tuple(range(30)), version=1)
DELETED = Operation("delete", (3, 4, 5), version=2)


@pytest.fixture
def database() -> Iterator[Any]:
    """A database after two acknowledged operations of partition 0."""
    with vecdb.open(":memory:", config=EngineConfig(threads=1, progress=False)) as opened:
        collection = opened.create_collection("load", dim=workload.DIM, metric="l2")
        WRITTEN.perform(collection)
        DELETED.perform(collection)
        yield opened


def known(pending: Operation | None = None) -> Replay:
    """What the journal of partition 0 says."""
    return Replay(DELETED.applied(WRITTEN.applied({})), pending, acknowledged=2, seq=1, version=2)


def found(database: Any, pending: Operation | None = None) -> Findings:
    """The result of the check."""
    return check(database, database.collection("load"), {0: known(pending)})


def kinds(findings: Findings) -> set[str]:
    """The kinds of the problems found."""
    return {problem.split(":")[0] for problem in findings.problems}


def test_a_database_that_kept_its_promises_is_sound(database: Any) -> None:
    findings = found(database)
    assert findings.problems == []
    assert (findings.records, findings.applied, findings.acknowledged) == (27, {0: False}, 2)


def test_an_operation_in_flight_may_have_happened_or_not(database: Any) -> None:
    pending = Operation("upsert", (1, 2, 3, 50), version=3)
    assert found(database, pending).applied == {0: False}
    pending.perform(database.collection("load"))
    findings = found(database, pending)
    assert (findings.problems, findings.applied) == ([], {0: True})


def test_a_lost_write_is_found(database: Any) -> None:
    database.collection("load").delete(ids=[workload.record_id(7)])
    assert kinds(found(database)) == {"lost write"}


def test_a_resurrected_delete_is_found(database: Any) -> None:
    Operation("upsert", (4,), version=1).perform(database.collection("load"))
    assert kinds(found(database)) == {"resurrected delete"}


def test_a_half_batch_is_found(database: Any) -> None:
    Operation("upsert", (1, 2), version=3).perform(database.collection("load"))
    assert kinds(found(database, Operation("upsert", (1, 2, 6, 9), version=3))) == {"half batch"}


def test_a_torn_vector_is_found(database: Any) -> None:
    torn = workload.vectors_of([8], [1])[0]
    torn[-1] += np.float32(1e-6)
    database.collection("load").update(workload.record_id(8), vector=torn)
    assert kinds(found(database)) == {"torn record"}


def test_torn_metadata_is_found(database: Any) -> None:
    database.collection("load").update(workload.record_id(8), metadata={"text": "other"})
    assert kinds(found(database)) == {"torn record"}


def test_a_record_nobody_wrote_is_found(database: Any) -> None:
    Operation("upsert", (100_000,), version=1).perform(database.collection("load"))
    assert kinds(found(database)) == {"phantom"}


def test_a_seq_that_went_back_is_found(database: Any) -> None:
    view = Replay(known().state, None, acknowledged=2, seq=database.seq + 1, version=2)
    assert kinds(check(database, database.collection("load"), {0: view})) == {"lost write"}


def test_a_journal_is_read_back_as_far_as_it_was_written(tmp_path: Any) -> None:
    path = tmp_path / "partition-0-round-000000.jsonl"
    base: State = {9: (1, 1)}
    journal = Journal(path, base, version=1)
    journal.intend(Operation("upsert", (1, 2), version=2))
    journal.acknowledge(seq=11)
    journal.intend(Operation("delete", (9,), version=3))
    journal.close()
    expected = {9: (1, 1), 1: (2, 2), 2: (2, 2)}
    assert replay(path) == Replay(expected, Operation("delete", (9,), 3), acknowledged=1, seq=11, version=3)
    with path.open("a") as file:
        file.write('{"ack": 1')  # killed while writing: not acknowledged
    assert replay(path).acknowledged == 1
