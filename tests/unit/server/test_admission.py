"""What is taken is given back, and what does not fit is refused."""

from __future__ import annotations

import threading

import pytest

from vecdb.errors import OverloadedError
from vecdb.server.admission import Admission, Ticket


def _admission(**given: int) -> Admission:
    limits = {"calls": 3, "streams": 2, "principal_calls": 2, "principal_streams": 1, "request_bytes": 100, **given}
    return Admission(**limits)


def _enter(admission: Admission, principal: str = "p") -> Ticket:
    ticket = admission.enter("calls")
    ticket.belong(principal)
    return ticket


def test_one_call_too_many_is_refused_with_advice() -> None:
    admission = _admission()
    for _ in range(3):
        admission.enter("calls")
    with pytest.raises(OverloadedError) as caught:
        admission.enter("calls")
    assert caught.value.details["retry_after_s"] > 0


def test_a_place_given_back_can_be_taken_again() -> None:
    admission = _admission(calls=1)
    admission.enter("calls").leave()
    assert admission.enter("calls").lane == "calls"


def test_streams_do_not_take_the_places_of_calls() -> None:
    admission = _admission()
    for _ in range(2):
        admission.enter("streams")
    assert admission.enter("calls").lane == "calls"
    with pytest.raises(OverloadedError, match="streams"):
        admission.enter("streams")


def test_one_principal_leaves_room_for_others() -> None:
    admission = _admission()
    _enter(admission)
    _enter(admission)
    ticket = admission.enter("calls")
    with pytest.raises(OverloadedError, match="this key"):
        ticket.belong("p")
    ticket.leave()
    assert _enter(admission, "q").principal == "q"


def test_one_principal_leaves_streams_for_others() -> None:
    admission = _admission()
    admission.enter("streams").belong("p")
    with pytest.raises(OverloadedError, match="streams"):
        admission.enter("streams").belong("p")


def test_a_place_of_a_principal_is_given_back_too() -> None:
    admission = _admission()
    for _ in range(5):
        _enter(admission).leave()
    assert admission.under_way == 0


def test_bytes_beyond_the_budget_are_refused() -> None:
    admission = _admission()
    admission.enter("calls").hold(60)
    with pytest.raises(OverloadedError, match="bytes"):
        admission.enter("calls").hold(41)


def test_bytes_up_to_the_budget_are_taken() -> None:
    admission = _admission()
    admission.enter("calls").hold(60)
    admission.enter("calls").hold(40)
    assert admission.bytes_held == 100


def test_a_full_budget_refuses_a_call_before_its_body() -> None:
    admission = _admission()
    admission.enter("calls").hold(100)
    with pytest.raises(OverloadedError):
        admission.enter("streams")


def test_one_body_larger_than_the_budget_gets_through_alone() -> None:
    admission = _admission()
    admission.enter("calls").hold(101)
    assert admission.bytes_held == 101


def test_a_stream_holds_one_message_at_a_time() -> None:
    admission = _admission()
    ticket = admission.enter("streams")
    for size in (50, 80, 0, 10):
        ticket.hold(size)
    assert admission.bytes_held == 10


def test_leaving_twice_gives_back_once() -> None:
    admission = _admission()
    keep, leave = _enter(admission), _enter(admission)
    keep.hold(10)
    leave.hold(20)
    leave.leave()
    leave.leave()
    assert (admission.under_way, admission.bytes_held) == (1, 10)


def test_many_threads_leave_nothing_behind() -> None:
    admission = _admission(calls=4, principal_calls=3)

    def work() -> None:
        for size in range(300):
            try:
                ticket = admission.enter("calls")
            except OverloadedError:
                continue
            try:
                ticket.belong("p")
                ticket.hold(size)
            except OverloadedError:
                pass
            finally:
                ticket.leave()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (admission.under_way, admission.bytes_held) == (0, 0)
    assert [_enter(admission) for _ in range(3)]


def test_a_call_that_has_left_holds_nothing_more() -> None:
    """A stream's receiving thread may come with a message that arrived as the call ended."""
    admission = _admission()
    ticket = _enter(admission)
    ticket.hold(60)
    ticket.leave()
    ticket.hold(30)
    assert admission.bytes_held == 0
    ticket.leave()
    assert admission.under_way == 0
