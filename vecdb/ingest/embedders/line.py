"""The line between a process that ingests and one that embeds for it: lists of texts one way, rows the other.

    texts   u32 bytes that follow, msgpack list of str
    rows    u32 bytes that follow, float32; none where the texts could not be embedded

Promises: the end of either side is an OSError or EOFError at the other. Integers are little-endian, as the rows are in
memory: both ends are on one machine.
Concurrency: one thread at a time at each end.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

_SIZE = struct.Struct("<I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[str]).decode


class Line:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send_texts(self, texts: Sequence[str]) -> None:
        """Ask. UnicodeEncodeError for what is no text."""
        body = _encode(texts)
        self._end.sendall(_SIZE.pack(len(body)) + body)

    def receive_texts(self) -> list[str]:
        """Wait until asked."""
        return _decode(self._body(bytearray(self._size())))

    def send_rows(self, rows: NDArray[np.float32]) -> None:
        """Answer."""
        self._end.sendall(_SIZE.pack(rows.nbytes))
        self._end.sendall(np.ascontiguousarray(rows, dtype=np.float32).reshape(-1).view(np.uint8).data)

    def receive_rows(self, count: int, dim: int) -> NDArray[np.float32] | None:
        """Wait for the answer; None where there is none."""
        rows = np.empty((count, dim), dtype=np.float32)
        if self._size() != rows.nbytes:
            return None
        self._body(rows.reshape(-1).view(np.uint8).data)
        return rows

    def close(self) -> None:
        """Hang up."""
        self._end.close()

    def _size(self) -> int:
        return int(_SIZE.unpack(self._body(bytearray(_SIZE.size)))[0])

    def _body(self, room: bytearray | memoryview) -> bytearray | memoryview:
        view, got = memoryview(room), 0
        while got < len(view):
            # all of it by one call: to wait for Python's lock after each piece would take longer than the piece
            more = self._end.recv_into(view[got:], 0, socket.MSG_WAITALL)
            if not more:
                raise EOFError
            got += more
        return room
