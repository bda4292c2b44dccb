"""Runs the ingestor and the server it writes to as processes that are killed, and sees what is left.

Promises: a process runs the command line as a user's would, with an API key of its own; `Place.killed` has those of
ingestors that were killed at work. Concurrency: one thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import vecdb
from tests.harness.library import CHUNK_OVERLAP, CHUNK_TOKENS, Library
from tests.harness.paid_provider import DIM, Provider
from tests.harness.process import Worker, WorkerDiedError
from vecdb.ingest.embedders.openai import KEY_ENV

COLLECTION: Final = "docs"
EMBEDDERS: Final = 2
BATCH_TEXTS: Final = 16
STOPPED: Final = 128 + signal.SIGTERM


@dataclass
class Place:
    """A library, where it is ingested to, and what was done to whoever does it."""

    base: Path
    library: Library
    provider: Provider
    served: bool
    server: Worker | None = None
    lives: int = 0
    killed: set[str] = field(default_factory=set)
    servers_killed: int = 0

    @property
    def address(self) -> str:
        """Where the server listens."""
        return f"unix:{self.base / 'socket'}"

    @property
    def to(self) -> str:
        """What the ingestor is told."""
        return self.address if self.served else str(self.base / "db")

    @property
    def life(self) -> str:
        """The API key of the last ingestor that was started."""
        return f"life-{self.lives}"

    def words(self, command: str, *more: str) -> list[str]:
        """A command line of the ingestor."""
        options = {"url": self.provider.url, "dim": DIM, "batch_texts": BATCH_TEXTS, "timeout_s": 10}
        model = [word for name, value in options.items() for word in ("--model-option", f"{name}={value}")]
        size = ["--chunk-tokens", str(CHUNK_TOKENS), "--chunk-overlap", str(CHUNK_OVERLAP)]
        where = ["--to", self.to, "--collection", COLLECTION, "--state", str(self.base / "state")]
        work = ["--embedders", str(EMBEDDERS), "--retry-for-s", "60"]
        words = ["ingest", command, str(self.library.folder), *where, "--model", "openai:paid", *model, *size]
        return [*words, *(work if command != "plan" else []), *more]

    def start(self, command: str = "run", *more: str) -> Worker:
        """An ingestor at work."""
        self.lives += 1
        return Worker(command_line, self.words(command, *more), self.life, log=self.base / "ingestor.log")

    def run(self, command: str = "run", *more: str) -> int:
        """An ingestor from its start to its end; returns its exit code."""
        with self.start(command, *more) as worker:
            return end_of(worker)

    def kill(self, worker: Worker) -> bool:
        """SIGKILL the last ingestor; whether it was at work."""
        worked = worker.exitcode is None
        worker.kill()
        if worked:
            self.killed.add(self.life)
        return worked

    def serve(self) -> None:
        """Start the server, without waiting for it."""
        words = ["serve", "--data", str(self.base / "db"), "--listen", self.address]
        self.server = Worker(command_line, words, log=self.base / "server.log")

    def kill_server(self) -> None:
        """SIGKILL the server."""
        assert self.server is not None
        assert self.server.exitcode is None, "the server ended by itself"
        self.server.kill()
        self.servers_killed += 1

    @contextlib.contextmanager
    def collection(self) -> Iterator[Any]:
        """What was ingested."""
        opened = vecdb.connect(self.address, retries=100) if self.served else vecdb.open(self.base / "db", mode="r")
        with opened as database:
            yield database.collection(COLLECTION)


@contextlib.contextmanager
def place(base: Path, library: Library, provider: Provider, *, served: bool) -> Iterator[Place]:
    """A place for one test; its server ends with it."""
    made = Place(base, library, provider, served)
    try:
        if served:
            made.serve()
        yield made
    finally:
        if made.server is not None:
            made.server.kill()


def command_line(pipe: Connection, words: list[str], key: str = "") -> None:
    """The process: vecdb with these words, and a key for the provider."""
    os.environ[KEY_ENV] = key
    from vecdb.cli.app import run

    pipe.send(("begins", None))
    code = run(words)
    sys.stdout.flush()
    sys.stderr.flush()
    pipe.send(("ended", code))


def end_of(worker: Worker) -> int:
    """Wait for the exit code of an ingestor."""
    worker.expect("begins")
    code: int = worker.expect("ended")
    worker.join()
    return code


def stop(worker: Worker) -> int:
    """SIGTERM an ingestor that has begun, and wait for its exit code, as a shell would tell it."""
    worker.expect("begins")
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.pid, signal.SIGTERM)
    try:
        code: int = worker.expect("ended")
    except WorkerDiedError as error:
        if error.exitcode != -signal.SIGTERM:
            raise
        return STOPPED  # the signal came before it began to listen to signals, and so to work
    finally:
        worker.join()
    return code
