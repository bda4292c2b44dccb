"""Puts a search of one query together once, so that to ask it again costs little more than its kernel.

All but the query is settled beforehand: arguments are bound, hits go to a place of their own. Asking is then a copy of
the query, one call of a kernel, and a look at the number of hits.
Invariants: what is bound are addresses; whoever keeps a PreparedSearch keeps its segment and tombstones. Rows that it
scans it keeps itself: threads that list the same matches at once keep but one of the lists.
Concurrency: each belongs to the thread that made it, as the thread's Scratch does, which it uses.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from vecdb.index.config import ROOMS_MAX
from vecdb.kernels.column import aligned_empty
from vecdb.kernels.layout import STATS

if TYPE_CHECKING:
    from vecdb.index.scratch import Needs, Scratch
    from vecdb.kernels.native import Call

HEAD_WORDS: Final = 1 + STATS
"""int32 words in front of the hits: how many there are, and the figures of a filtered walk."""


class HitRoom:
    """Where one query is put and its hits are left: slots, rows and distances (limit,), and their ids.

    `kept` is what a result keeps, distances and ids side by side, so that it is copied at once.
    """

    __slots__ = (
        "count_address",
        "distances",
        "distances_address",
        "figures_address",
        "ids_address",
        "kept",
        "limit",
        "memory",
        "numbers",
        "query",
        "query_address",
        "rows_address",
        "slots_address",
    )

    def __init__(self, dim: int, limit: int, id_bytes: int) -> None:
        self.limit = limit
        self.query = aligned_empty((dim,), np.float32)
        self.query_address = int(self.query.ctypes.data)
        head, column = 4 * HEAD_WORDS, 4 * limit
        self.memory = aligned_empty((head + 3 * column + id_bytes,), np.uint8)
        self.memory[:] = 0
        self.count_address = int(self.memory.ctypes.data)
        self.figures_address = self.count_address + 4
        self.slots_address = self.count_address + head
        self.rows_address = self.slots_address + column
        self.distances_address = self.rows_address + column
        self.ids_address = self.distances_address + column
        self.numbers = memoryview(self.memory[:head].view(np.int32))  # type: ignore[arg-type]  # an array is a buffer
        self.kept = self.memory[head + 2 * column :]
        self.distances = self.kept[:column]

    def found_rows(self) -> npt.NDArray[np.int32]:
        """A copy of the rows of the hits."""
        start = self.rows_address - self.count_address
        found: npt.NDArray[np.int32] = self.memory[start : start + 4 * self.numbers[0]].view(np.int32).copy()
        return found


class _Rooms(threading.local):
    def __init__(self) -> None:
        self.rooms: dict[tuple[int, int, int], HitRoom] = {}


_of_thread = _Rooms()


def hit_room(dim: int, limit: int, id_bytes: int) -> HitRoom:
    """A room of this thread: searches of the same measures share one, for each empties it before the next begins."""
    rooms, measures = _of_thread.rooms, (dim, limit, id_bytes)
    room = rooms.get(measures)
    if room is None:
        if len(rooms) >= ROOMS_MAX:
            rooms.clear()
        room = rooms[measures] = HitRoom(*measures)
    return room


class PreparedSearch:
    """A kernel that searches for the query in its room, with what it needs of the thread's Scratch."""

    __slots__ = ("_call", "_held", "_needs", "_numbers", "_scratch", "room")

    def __init__(self, room: HitRoom, scratch: Scratch, needs: Needs, call: Call, *held: object) -> None:
        self.room, self._scratch, self._needs, self._call, self._held = room, scratch, needs, call, held
        self._numbers = room.numbers

    def run(self) -> int:
        """Search; returns how many hits are in the room."""
        self._scratch.reserve_for(self._needs)
        self._call()
        return self._numbers[0]

    @property
    def outcome(self) -> int:
        """How the last filtered walk went: see `kernels.layout`."""
        return self._numbers[HEAD_WORDS - 1]
