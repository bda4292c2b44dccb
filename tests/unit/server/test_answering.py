"""Threads that do things after their answers, and turns to work."""

from __future__ import annotations

import threading

import pytest

from tests.unit.server.conftest import Serve
from vecdb._pb.v1 import search_service_pb2 as pb
from vecdb.server.answering import AnsweringThreads, Turns, do_afterwards

WAIT_S = 20
SEARCH = "/vecdb.v1.SearchService/Search"


@pytest.mark.parametrize(("min_seq", "at_once"), [(0, 1), (7, 2)])
def test_few_reads_work_at_once_unless_they_wait_for_a_commit(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, min_seq: int, at_once: int
) -> None:
    """Two searches are sent; the first is held until the second either works as well or has had its time."""
    begun = threading.Semaphore(0)
    let_go = threading.Event()

    def search(_request: object, _call: object) -> pb.SearchResponse:
        begun.release()
        let_go.wait(WAIT_S)
        return pb.SearchResponse()

    served = serve(threads=2, Search=search)
    monkeypatch.setattr(served.service.dispatch, "reads", Turns(1))
    body = pb.SearchRequest(options=pb.SearchOptions(min_seq=min_seq)).SerializeToString()
    call = served.channel.unary_unary(SEARCH)
    calls = [call.future(body, timeout=WAIT_S) for _ in range(2)]
    assert begun.acquire(timeout=WAIT_S)
    assert begun.acquire(timeout=WAIT_S if at_once == 2 else 0.2) == (at_once == 2)
    let_go.set()
    assert [one.result() for one in calls] == [b"", b""]


def test_what_is_left_for_afterwards_is_done_after_the_answer_by_the_same_thread() -> None:
    done: list[object] = []
    thread: list[int] = []

    def answer() -> int:
        do_afterwards(lambda: done.append(threading.get_ident()))
        done.append("answered")
        return threading.get_ident()

    with AnsweringThreads(1) as threads:
        threads.submit(lambda: thread.append(answer()))
    assert done == ["answered", *thread]


def test_what_is_left_for_afterwards_is_done_once() -> None:
    done: list[str] = []
    with AnsweringThreads(1) as threads:
        threads.submit(do_afterwards, lambda: done.append("first"))
        threads.submit(len, "a call that leaves nothing")
    assert done == ["first"]


def test_an_answer_that_fails_still_does_what_it_left() -> None:
    done: list[str] = []

    def fail() -> None:
        do_afterwards(lambda: done.append("observed"))
        raise ValueError

    with AnsweringThreads(1) as threads:
        threads.submit(fail)
        threads.submit(done.append, "the next call")
    assert done == ["observed", "the next call"]


def test_no_more_threads_than_said_answer_and_the_rest_waits() -> None:
    hold, begun, done = threading.Event(), threading.Semaphore(0), list[int]()

    def answer() -> None:
        begun.release()
        hold.wait(WAIT_S)
        done.append(threading.get_ident())

    with AnsweringThreads(2) as threads:
        for _ in range(5):
            threads.submit(answer)
        assert [begun.acquire(timeout=WAIT_S if count < 2 else 0.05) for count in range(3)] == [True, True, False]
        hold.set()
    assert (len(done), len(set(done))) == (5, 2)


def test_a_call_goes_to_the_thread_that_became_free_last() -> None:
    idents: list[int] = []
    with AnsweringThreads(4) as threads:
        for _ in range(3):
            threads.submit(lambda: idents.append(threading.get_ident()))
            while not threads.free:
                threading.Event().wait(0.001)
    assert len(set(idents)) == 1


def test_what_waits_when_the_threads_end_is_not_begun_if_so_asked() -> None:
    hold, done = threading.Event(), list[str]()
    threads = AnsweringThreads(1)
    threads.submit(hold.wait, WAIT_S)
    threads.submit(done.append, "begun")
    threads.shutdown(wait=False, cancel_futures=True)
    hold.set()
    threads.shutdown()
    assert done == []


def test_a_call_waits_for_another_thread_where_no_more_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    hold, done = threading.Event(), list[str]()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with AnsweringThreads(4) as threads:
        threads.submit(hold.wait, WAIT_S)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        threads.submit(done.append, "answered")
        hold.set()
    assert done == ["answered"]


def test_what_fails_after_an_answer_ends_no_thread() -> None:
    done: list[str] = []

    def fail() -> None:
        raise ValueError

    with AnsweringThreads(1) as threads:
        threads.submit(do_afterwards, fail)
        threads.submit(done.append, "the next call")
    assert done == ["the next call"]


def test_whoever_asks_late_is_told_at_once_that_a_call_was_answered() -> None:
    told: list[object] = []
    with AnsweringThreads(1) as threads:
        answering = threads.submit(len, "")
    answering.add_done_callback(told.append)
    assert told == [answering]


def test_there_are_as_many_turns_as_said() -> None:
    turns = Turns(2)
    assert [turns.take(0) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("timeout_s", [None, 20.0])
def test_a_turn_given_back_goes_to_who_waits(timeout_s: float | None) -> None:
    turns = Turns(1)
    assert turns.take(None)
    taken: list[bool] = []
    waiting = threading.Thread(target=lambda: taken.append(turns.take(timeout_s)))
    waiting.start()
    turns.give_back()
    waiting.join(WAIT_S)
    assert taken == [True]
