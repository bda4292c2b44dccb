"""As much of HTTP/2 as it takes to misbehave on a connection in ways that no client library lets one."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 1, 4
CANCEL = 8
WAIT_S = 20.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name: str, value: str) -> bytes:
    """A header that no table is asked for: lengths below 127."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def call_headers(path: str, more: Iterable[tuple[str, str]] = ()) -> bytes:
    """The headers of a gRPC call."""
    fixed = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
    own = {"te": "trailers", "content-type": "application/grpc"}
    return b"".join(header(name, value) for name, value in [*fixed.items(), *own.items(), *more])


def message(body: bytes, *, length: int | None = None, compressed: bool = False) -> bytes:
    """A gRPC message; `length` is what it claims."""
    return struct.pack(">?I", compressed, len(body) if length is None else length) + body


class Connection:
    """A connection of HTTP/2 without any manners."""

    def __init__(self, address: str, *, greet: bool = True) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=WAIT_S)
        self._next = 1
        if greet:
            self.send(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, raw: bytes) -> None:
        """Send bytes; a server that has closed the connection may have done so at any of them."""
        with contextlib.suppress(OSError):
            self.socket.sendall(raw)

    def open_call(self, path: str, more: Iterable[tuple[str, str]] = (), *, flags: int = END_HEADERS) -> int:
        """Begin a call; returns its stream."""
        stream, self._next = self._next, self._next + 2
        self.send(frame(HEADERS, flags, stream, call_headers(path, more)))
        return stream

    def received(self) -> bytes:
        """All that the server sends until it closes the connection."""
        parts = []
        with contextlib.suppress(OSError):
            while part := self.socket.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)

    def await_reset(self, stream: int) -> bool:
        """Whether the server ends a stream, by a reset or its last headers, or the connection, within WAIT_S."""
        held = b""
        try:
            while True:
                while len(held) < 9 or len(held) < 9 + int.from_bytes(held[:3], "big"):
                    part = self.socket.recv(1 << 16)
                    if not part:
                        return True
                    held += part
                kind, flags, number = held[3], held[4], int.from_bytes(held[5:9], "big")
                held = held[9 + int.from_bytes(held[:3], "big") :]
                if number == stream and (kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM)):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
