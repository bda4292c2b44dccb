"""RequestIds: a write is done once for its request_id, within bounds, and never remembered when it failed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.unit.services.asking import fake_call
from vecdb._pb.v1 import record_service_pb2 as pb
from vecdb.errors import CancelledError, InvalidRequestError, RecordExistsError
from vecdb.server import request_ids
from vecdb.server.principals import Principal
from vecdb.server.request_ids import Claim, RequestIds


class Counted:
    """Work that counts how often it was done."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        self.times += 1
        return self.times


def message(collection: str = "docs") -> pb.UpsertRecordsRequest:
    return pb.UpsertRecordsRequest(collection=collection)


def call(method: str = "/a/B", principal: str = "key") -> Any:
    return fake_call(method, Principal(principal, {}))


def test_a_repetition_gets_the_first_answer_and_does_nothing() -> None:
    table, work = RequestIds(), Counted()
    assert [table.once(call(), "one", message(), work) for _ in range(3)] == [1, 1, 1]


def test_without_a_request_id_everything_is_done() -> None:
    table, work = RequestIds(), Counted()
    assert [table.once(call(), "", message(), work) for _ in range(2)] == [1, 2]
    assert len(table) == 0


@pytest.mark.parametrize("other", [call("/a/C"), call(principal="another key")])
def test_the_same_id_of_another_method_or_principal_is_another_write(other: Any) -> None:
    table, work = RequestIds(), Counted()
    table.once(call(), "one", message(), work)
    assert table.once(other, "one", message("other"), work) == 2


def test_another_message_under_the_same_id_is_refused() -> None:
    table, work = RequestIds(), Counted()
    table.once(call(), "one", message(), work)
    with pytest.raises(InvalidRequestError, match="request_id 'one'"):
        table.once(call(), "one", message("other"), work)
    assert work.times == 1


def test_a_write_that_failed_is_done_when_it_is_repeated() -> None:
    table, work = RequestIds(), Counted()

    def fail() -> int:
        raise RecordExistsError("there")

    with pytest.raises(RecordExistsError):
        table.once(call(), "one", message(), fail)
    assert len(table) == 0
    assert table.once(call(), "one", message(), work) == 1


class Repetition:
    """A claim made by another thread, which is known to wait."""

    def __init__(self, table: RequestIds) -> None:
        self.claim: Claim[Any] | None = None
        self._table, self._waits, self._call = table, threading.Event(), call()
        self._call.check = self._waits.set
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        assert self._waits.wait(10)

    def _ask(self) -> None:
        self.claim = self._table.claim(self._call, "one", 1)

    def end(self) -> Claim[Any]:
        self._thread.join(10)
        assert self.claim is not None
        return self.claim


def test_a_repetition_during_the_first_waits_for_its_answer() -> None:
    table = RequestIds()
    first = table.claim(call(), "one", 1)
    second = Repetition(table)
    first.keep("done")
    assert second.end().answer == "done"


def test_a_repetition_takes_over_what_the_first_failed_to_do() -> None:
    table = RequestIds()
    first = table.claim(call(), "one", 1)
    second = Repetition(table)
    first.drop()
    taken = second.end()
    assert taken.answer is None
    taken.keep("done after all")
    assert table.claim(call(), "one", 1).answer == "done after all"


def test_who_waits_for_an_answer_and_is_gone_stops_waiting() -> None:
    table = RequestIds()
    table.claim(call(), "one", 1)
    waiting = call()
    waiting.left = 1
    with pytest.raises(CancelledError):
        table.claim(waiting, "one", 1)


def test_an_answer_that_is_too_old_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    table, work = RequestIds(), Counted()
    table.once(call(), "one", message(), work)
    monkeypatch.setattr(request_ids, "REQUEST_ID_WINDOW_S", 0.0)
    assert table.once(call(), "one", message(), work) == 2


def test_old_answers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    table, work = RequestIds(), Counted()
    for number in range(10):
        table.once(call(), str(number), message(), work)
    monkeypatch.setattr(request_ids, "REQUEST_ID_WINDOW_S", 0.0)
    table.once(call(), "last", message(), work)
    assert len(table) == 1


def test_a_principal_with_many_answers_loses_its_oldest_and_nobody_elses() -> None:
    table, work = RequestIds(of_principal=3), Counted()
    table.once(call(principal="other"), "one", message(), work)
    for number in range(10):
        table.once(call(), str(number), message(), work)
    assert len(table) == 4
    assert table.once(call(principal="other"), "one", message(), work) == 1
    assert table.once(call(), "9", message(), work) == 11


def test_over_all_principals_the_one_with_most_answers_makes_room() -> None:
    table, work = RequestIds(entries=5), Counted()
    for number in range(4):
        table.once(call(principal="many"), str(number), message(), work)
    for name in ("a", "b", "c"):
        table.once(call(principal=name), "one", message(), work)
    assert len(table) == 5
    done = work.times
    table.once(call(principal="a"), "one", message(), work)
    assert work.times == done


def test_what_is_under_way_is_never_forgotten() -> None:
    table, work = RequestIds(entries=2, of_principal=2), Counted()
    claim = table.claim(call(), "one", 1)
    for number in range(5):
        table.once(call(), f"{number}", message(), work)
    claim.keep("done")
    assert table.claim(call(), "one", 1).answer == "done"
