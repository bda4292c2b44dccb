"""Long reads end with what the check of their thread raises; without a check nothing changes."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from vecdb.engine import interruption
from vecdb.engine.interruption import check_bytes, check_interruption, interruptible, pieces
from vecdb.errors import CancelledError, LimitExceededError


def gone() -> None:
    raise CancelledError("gone")


def test_without_a_check_there_is_nothing_to_raise() -> None:
    check_interruption()


def test_the_check_holds_inside_its_block_only() -> None:
    with interruptible(gone), pytest.raises(CancelledError):
        check_interruption()
    check_interruption()


def test_the_check_before_holds_again_after_an_inner_block() -> None:
    with interruptible(gone):
        with interruptible(lambda: None):
            check_interruption()
        with pytest.raises(CancelledError):
            check_interruption()


def test_the_check_of_one_thread_is_none_of_anothers() -> None:
    errors: list[BaseException] = []

    def other() -> None:
        try:
            check_interruption()
        except CancelledError as error:
            errors.append(error)

    with interruptible(gone):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
    assert errors == []


def test_more_bytes_of_records_than_there_is_use_for_are_refused_inside_the_block_only() -> None:
    values = [memoryview(b"12345"), memoryview(b"678")]
    with interruptible(lambda: None, 8):
        check_bytes(values)
    with interruptible(lambda: None, 7), pytest.raises(LimitExceededError) as caught:
        check_bytes(values)
    assert caught.value.details == {"reply_bytes": 8}
    check_bytes(values)


@pytest.mark.parametrize("exact", [False, True])
def test_a_batch_is_cut_into_pieces_only_where_somebody_may_stop_it(
    monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    monkeypatch.setattr(interruption, "SEARCH_PIECE_ROWS", 4)
    monkeypatch.setattr(interruption, "SEARCH_PIECE_EXACT_ROWS", 2)
    matrix = np.arange(20, dtype=np.float32).reshape(10, 2)
    assert [len(part) for part in pieces(matrix, exact=exact)] == [10]
    with interruptible(lambda: None):
        parts = list(pieces(matrix, exact=exact))
    assert [len(part) for part in parts] == ([2] * 5 if exact else [4, 4, 2])
    np.testing.assert_array_equal(np.concatenate(parts), matrix)


def test_a_batch_of_nothing_has_no_pieces() -> None:
    assert list(pieces(np.zeros((0, 4), np.float32), exact=False)) == []
