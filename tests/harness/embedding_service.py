"""A small embedding service on loopback that speaks `POST /v1/embeddings` and misbehaves when told to.

A test queues what the next requests meet (`service.next(...)`); without that, each text gets a vector made of its
length. Bodies and headers that came in are kept for the test to look at.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DIM = 4

Answer = Callable[["_Handler", dict[str, Any]], None]


def vector_of(text: str) -> list[float]:
    """What the service makes of a text: not of unit length."""
    return [float(len(text)), 1.0, 2.0, float(ord(text[0]))]


def rows(texts: list[str]) -> list[dict[str, Any]]:
    """The `data` of a good reply."""
    return [{"index": index, "embedding": vector_of(text)} for index, text in enumerate(texts)]


class Service:
    """The service; `url` is what an embedder is given."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[Any] = set()
        self.released = threading.Event()
        self._answers: deque[Answer] = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.service = self  # type: ignore[attr-defined]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_port}/v1"

    def next(self, *answers: Answer) -> None:
        """What the next requests meet, one each."""
        self._answers.extend(answers)

    def answer(self, handler: _Handler, body: dict[str, Any]) -> None:
        """Answer one request."""
        self.bodies.append(body)
        self.headers.append(dict(handler.headers.items()))
        self.connections.add(handler.client_address)
        chosen = self._answers.popleft() if self._answers else good
        chosen(handler, body)

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let whoever waits go, and end."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.service.answer(self, body)

    @property
    def service(self) -> Service:
        service: Service = self.server.service  # type: ignore[attr-defined]
        return service

    def log_message(self, *given: Any) -> None:
        """Say nothing on stderr."""


def send(handler: _Handler, status: int, content: bytes, **headers: str) -> None:
    """A whole reply."""
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def good(handler: _Handler, body: dict[str, Any]) -> None:
    """A vector for each text."""
    send(handler, 200, json.dumps({"data": rows(body["input"])}).encode())


def reply(content: object, status: int = 200, **headers: str) -> Answer:
    """This JSON, whatever was asked."""
    return lambda handler, _: send(handler, status, json.dumps(content).encode(), **headers)


def raw(content: bytes) -> Answer:
    """These bytes, whatever was asked."""
    return lambda handler, _: send(handler, 200, content)


def truncated(handler: _Handler, body: dict[str, Any]) -> None:
    """Half of what was announced, and the end of the connection."""
    content = json.dumps({"data": rows(body["input"])}).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.close_connection = True


def hung(handler: _Handler, body: dict[str, Any]) -> None:
    """Nothing until the service stops."""
    del body
    handler.service.released.wait()
    handler.close_connection = True


def dripping(handler: _Handler, body: dict[str, Any]) -> None:
    """The beginning of a reply, a byte now and then, and never its end."""
    del body
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    try:
        while not handler.service.released.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()
    except OSError:
        pass  # the other side has given up, which is what the test is about
    handler.close_connection = True


def hung_up(handler: _Handler, body: dict[str, Any]) -> None:
    """The end of the connection without a reply."""
    del body
    handler.close_connection = True


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    """A service for one test."""
    service = Service(tls)
    service.start()
    try:
        yield service
    finally:
        service.stop()
