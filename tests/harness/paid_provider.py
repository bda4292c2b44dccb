"""An embedding service in a process of its own that charges for texts, keeps the account, and fails by a seeded plan.

It speaks `POST /v1/embeddings` on loopback. A vector is a hash of its text, so that any test can say what a text's
vector is (`vector_of`) and an old one is told from a new one.

Promises: a line of the account is written, by one system call, before the reply that it is about, so that whoever is
killed, what was charged is known. Requests are numbered as they arrive; what the n-th one meets depends on the plan's
seed and on n alone, except for texts that are poison: those fail every request that they are in.
Concurrency: a thread for each connection; the account is shared under a lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tests.harness.process import Worker

DIM: Final = 16
UNCHARGED: Final = ("rate limit", "server error", "hang up", "hang")
"""Faults before anything is computed."""

CHARGED: Final = ("cut off", "too few", "misnumbered", "wrong dimension", "not a number", "no json")
"""Faults of a reply to texts that were computed and are charged."""

POISONS: Final = {
    "poison-refused": "refused",
    "poison-nan": "not a number",
    "poison-dimension": "wrong dimension",
    "poison-error": "server error",
}
"""Words in a text, and what a request with such a text always meets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """How the service behaves. `share` is the part of all requests that meets a fault, by its name.

    Without `poison` it takes texts that it did not take before.
    """

    seed: int = 0
    share: Mapping[str, float] = field(default_factory=dict)
    poison: bool = True
    retry_after_s: float = 0.02
    hang_s: float = 30.0
    answer_s: tuple[float, float] = (0.0, 0.0)
    """How long a reply takes: at least, at most."""

    def __post_init__(self) -> None:
        unknown = set(self.share) - {*UNCHARGED, *CHARGED}
        assert not unknown, f"no such faults: {unknown}"
        assert sum(self.share.values()) <= 1, "more faults than requests"

    def met_by(self, number: int) -> tuple[str | None, float]:
        """The fault of the n-th request, and how long its reply takes."""
        rng = random.Random(f"{self.seed}/{number}")
        drawn, wait = rng.random(), rng.uniform(*self.answer_s)
        for name, share in self.share.items():
            drawn -= share
            if drawn < 0:
                return name, wait
        return None, wait


@dataclass(frozen=True, slots=True)
class Request:
    """A line of the account. `caller` is the API key that came with it, by which the lives of an ingestor are told."""

    number: int
    caller: str
    fault: str | None
    texts: tuple[str, ...]

    @property
    def is_charged(self) -> bool:
        """Whether its texts were computed."""
        return self.fault is None or self.fault in CHARGED

    @property
    def is_good(self) -> bool:
        """Whether its reply was sound."""
        return self.fault is None


def vector_of(text: str) -> NDArray[np.float32]:
    """The vector of a text, of unit length."""
    seed = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
    row = np.random.default_rng(seed).standard_normal(DIM)
    return np.asarray(row / np.linalg.norm(row), dtype=np.float32)


def read_account(path: Path) -> list[Request]:
    """All requests so far, as they came."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Request(line["n"], line["caller"], line["fault"], tuple(line["texts"])) for line in lines]


@dataclass(frozen=True, slots=True)
class Provider:
    """The running service: what an embedder is given, and its account."""

    url: str
    account: Path
    worker: Worker

    def behave(self, plan: FaultPlan) -> None:
        """Follow another plan from the next request on."""
        self.worker.send(plan)
        self.worker.expect("behaves")

    def requests(self) -> list[Request]:
        """All requests so far."""
        return read_account(self.account)

    def asked_bytes(self) -> int:
        """Grows with every request."""
        return self.account.stat().st_size

    def charged(self) -> int:
        """Texts charged so far."""
        return sum(len(request.texts) for request in self.requests() if request.is_charged)


@contextmanager
def provider(folder: Path, plan: FaultPlan | None = None) -> Iterator[Provider]:
    """A service for one test, in its own process; the account lies in `folder` and goes on where it was."""
    account = folder / "account.jsonl"
    with Worker(serve, plan or FaultPlan(), account, log=folder / "provider.log") as worker:
        yield Provider(f"http://127.0.0.1:{worker.expect('listens')}/v1", account, worker)


def serve(pipe: Connection, plan: FaultPlan, account: Path) -> None:
    """The process."""
    server = _Server(("127.0.0.1", 0), plan, account)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    pipe.send(("listens", server.server_port))
    with contextlib.suppress(EOFError):
        while True:
            server.plan = pipe.recv()
            pipe.send(("behaves", None))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], plan: FaultPlan, account: Path) -> None:
        super().__init__(address, _Handler)
        self.plan = plan
        self._lock = threading.Lock()
        self._next = len(read_account(account))
        self._account = os.open(account, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def meet(self, caller: str, texts: list[str]) -> tuple[str | None, float]:
        """Number a request, choose its fault and write its line."""
        with self._lock:
            fault, wait = self.plan.met_by(self._next)  # `plan` is replaced by another thread, as a whole
            if self.plan.poison:
                fault = next((met for word, met in POISONS.items() if any(word in text for text in texts)), fault)
            line = {"n": self._next, "caller": caller, "fault": fault, "texts": texts}
            os.write(self._account, json.dumps(line).encode() + b"\n")
            self._next += 1
        return fault, wait


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    server: _Server

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        fault, wait = self.server.meet(self.headers.get("Authorization", "").removeprefix("Bearer "), texts)
        time.sleep(wait)
        if fault in {"hang up", "hang"}:
            time.sleep(self.server.plan.hang_s if fault == "hang" else 0)
            self.close_connection = True
        elif fault == "rate limit":
            self._refuse(429, "slow down", {"Retry-After": str(self.server.plan.retry_after_s)})
        elif fault == "server error":
            self._refuse(random.Random(len(texts)).choice((500, 502, 503)), "overloaded")
        elif fault == "refused":
            self._refuse(400, "the input is not acceptable")
        else:
            self._reply(fault, texts)

    def _refuse(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps({"error": {"message": message}}).encode(), headers or {})

    def _reply(self, fault: str | None, texts: list[str]) -> None:
        """A sound reply, or what the fault makes of it."""
        rows = [vector_of(text).tolist() for text in texts]
        broken = _broken_row(texts, fault)
        if fault == "not a number":
            rows[broken][3] = float("nan")
        elif fault == "wrong dimension":
            rows[broken] = rows[broken][:-1]
        data: list[dict[str, Any]] = [{"index": index, "embedding": row} for index, row in enumerate(rows)]
        if fault == "misnumbered":
            data = [entry | {"index": entry["index"] + 1} for entry in data]
        content = json.dumps({"data": data[:-1] if fault == "too few" else data}).encode()
        if fault == "no json":
            content = content[: len(content) // 2]
        self._send(200, content, {}, sent=len(content) // 2 if fault == "cut off" else None)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str], sent: int | None = None) -> None:
        """A reply; the connection ends after `sent` bytes of its body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:sent])
        self.close_connection = self.close_connection or sent is not None

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):  # whoever asked was killed
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *given: Any) -> None:
        """Say nothing on stderr."""


def _broken_row(texts: list[str], fault: str | None) -> int:
    """The row that a fault is about: that of the poison where there is one."""
    words = [word for word, met in POISONS.items() if met == fault]
    return next((index for index, text in enumerate(texts) if any(word in text for word in words)), len(texts) - 1)
