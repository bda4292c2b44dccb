"""Checks that a scratch never believes it has room that it has not."""

from __future__ import annotations

import pytest

from vecdb.index import scratch
from vecdb.kernels import layout


def test_a_reservation_that_failed_half_way_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    room = scratch.Scratch()
    with monkeypatch.context() as patch:
        patch.setattr("vecdb.index.scratch.aligned_zeros", _fail)
        with pytest.raises(MemoryError):
            room.reserve(100_000, 64, 64, 10)
    room.reserve(100_000, 64, 64, 10)
    assert len(room._buffers[layout.SEEN]) >= 100_000
    assert room.words[layout.VISITED_BYTES // 8] * 8 >= 100_000


def test_room_for_gathered_rows_that_failed_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    room = scratch.Scratch()
    with monkeypatch.context() as patch:
        patch.setattr("vecdb.index.scratch.aligned_empty", _fail)
        with pytest.raises(MemoryError):
            room.reserve_gathered(1_000_000)
    room.reserve_gathered(1_000_000)
    assert len(room.gathered) >= 1_000_000


def _fail(*_: object) -> None:
    raise MemoryError
