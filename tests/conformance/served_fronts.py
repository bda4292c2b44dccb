"""The ways to reach a database through a server: in this process, in another over TLS, and from an event loop.

A server is started with the first test that wants it and serves all of them: each test finds it empty, and leaves it
empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import trustme

import vecdb
from tests.conformance.small import SMALL
from tests.harness.process import Worker
from vecdb.server.app import serving
from vecdb.server.keyfile import change_keys, make_key
from vecdb.server.pool.supervisor import run_pool
from vecdb.server.services import bind_services
from vecdb.server.settings import ServerConfig
from vecdb.types import BatchResult, Record, WriteResult

T = TypeVar("T")

# --- servers ----------------------------------------------------------------------------------------------------------


@dataclass
class Place:
    """A running server: what `vecdb.connect` needs, and where its backups are."""

    backups: Path
    addresses: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def server_in_this_process() -> Iterator[Place]:
    """A server of a database in memory, in threads of this process, for whoever comes."""
    with tempfile.TemporaryDirectory() as folder:
        config = ServerConfig(data=":memory:", listen=("127.0.0.1:0",), backups=folder)
        with (
            vecdb.open(":memory:", config=SMALL) as database,
            serving(config, bind_services(database, config), database=database, log_stream=io.StringIO()) as service,
        ):
            yield Place(Path(folder), service.addresses)


@contextlib.contextmanager
def server_in_a_process() -> Iterator[Place]:
    """A server of a directory, in a process of its own, on TLS and on a socket, for those who have its key."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = make_secrets(folder)
        with Worker(serve_directory, folder) as worker:
            yield Place(folder / "backups", worker.expect("addresses"), options)


def make_secrets(folder: Path) -> dict[str, Any]:
    """A certificate and a key for a server of a directory; returns what its clients need."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    key, spoken = make_key("tests", {"*": "admin"})
    change_keys(str(folder / "keys.json"), lambda _held: [key])
    return {"api_key": spoken, "tls": folder / "ca.pem"}


def secrets_of(folder: Path) -> dict[str, Any]:
    """The settings of a server with the secrets of a directory."""
    files = {"tls_cert": "cert.pem", "tls_key": "key.pem", "keys": "keys.json"}
    return {setting: str(folder / name) for setting, name in files.items()}


def serve_directory(pipe: Connection, folder: Path) -> None:
    """The server's process: serve until the parent hangs up."""
    (folder / "backups").mkdir()
    config = ServerConfig(
        data=str(folder / "db"),
        listen=("127.0.0.1:0", f"unix:{folder}/socket"),
        backups=str(folder / "backups"),
        **secrets_of(folder),
    )
    with (
        vecdb.open(config.data, config=SMALL, durability="async") as database,  # what a sync does, other fronts see
        serving(config, bind_services(database, config), database=database, log_stream=io.StringIO()) as service,
    ):
        pipe.send(("addresses", service.addresses))
        with contextlib.suppress(EOFError):
            pipe.recv()


@contextlib.contextmanager
def server_of_a_pool() -> Iterator[Place]:
    """Two workers and a writer, each a process, on TLS for those who have its key."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = make_secrets(folder)
        (folder / "backups").mkdir()
        with Worker(serve_from_a_pool, folder, log=folder / "log") as supervisor:
            yield Place(folder / "backups", supervisor.expect("addresses"), options)
            os.kill(supervisor.pid, signal.SIGTERM)
            assert supervisor.join() == 0


def serve_from_a_pool(pipe: Connection, folder: Path) -> None:
    """The supervisor's process: serve until SIGTERM."""
    config = ServerConfig(
        data=str(folder / "db"),
        listen=("127.0.0.1:0",),
        backups=str(folder / "backups"),
        durability="async",  # as in `serve_directory`
        workers=2,
        drain_s=5.0,
        **secrets_of(folder),
    )
    run_pool(config, lambda pool: pipe.send(("addresses", pool.addresses)), SMALL)


# --- fronts -----------------------------------------------------------------------------------------------------------


class ServedFront:
    """A client of a server that lasts for all tests."""

    def __init__(self, server: AbstractContextManager[Place]) -> None:
        self._undo = contextlib.ExitStack()
        self.place = self._undo.enter_context(server)

    def open(self, directory: Path) -> Any:  # noqa: ARG002 - the server has its own
        return Visitor(self.connect(), self.place.backups)

    def connect(self) -> Any:
        """A connection."""
        return vecdb.connect(self.place.addresses[0], **self.place.options)

    def close(self) -> None:
        self._undo.close()


class ThreadsFront(ServedFront):
    """A server in threads of this process."""

    def __init__(self) -> None:
        super().__init__(server_in_this_process())


class ProcessFront(ServedFront):
    """A server in another process, over TLS with a key."""

    def __init__(self) -> None:
        super().__init__(server_in_a_process())


class PoolFront(ServedFront):
    """A pool of processes on TLS, with a key: each test's connection comes to one of its two workers."""

    def __init__(self) -> None:
        super().__init__(server_of_a_pool())


class AsyncFront(ServedFront):
    """The async client, over a socket to a server in another process."""

    def __init__(self) -> None:
        super().__init__(server_in_a_process())

    def connect(self) -> Any:
        return Blocking.connected(self.place.addresses[1], api_key=self.place.options["api_key"])


class Visitor:
    """A connection to a server, looking like a database of the test's own: empty, and with its backups at hand."""

    def __init__(self, database: Any, backups: Path) -> None:
        self._database, self._backups = database, backups

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, name: object) -> bool:
        return name in self._database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def backup(self, path: Path, *, compact: bool = False, check: bool = True) -> None:
        """Move what the server made to where the test wants it."""
        self._database.backup("of-a-test", compact=compact, check=check)
        shutil.move(self._backups / "of-a-test", path)

    def close(self) -> None:
        for name in self._database.list_collections():
            self._database.drop_collection(name)
        self._database.close()


# --- the async client, called from a thread that blocks ---------------------------------------------------------------


class Blocking:
    """An object of the async client whose methods block: each runs on an event loop in another thread."""

    def __init__(self, target: Any, loop: Loop) -> None:
        self._target, self._loop = target, loop

    @classmethod
    def connected(cls, address: str, **options: Any) -> Self:
        """A connection, and the loop it lives on."""
        loop = Loop()
        return cls(loop.run(vecdb.connect_async(address, **options)), loop)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if inspect.iscoroutine(found):
            return self._loop.run(found)
        return self._call(found) if callable(found) else found

    def _call(self, method: Any) -> Any:
        def blocking(*args: Any, **options: Any) -> Any:
            answer = method(*args, **options)
            if inspect.iscoroutine(answer):
                answer = self._loop.run(answer)
            return Blocking(answer, self._loop) if type(answer).__module__.startswith("vecdb.client") else answer

        return blocking

    def __len__(self) -> int:
        return int(self._loop.run(self._target.count()))

    def __contains__(self, item: object) -> bool:
        return bool(self._loop.run(self._target.contains(item)))

    def __enter__(self) -> Self:
        self._loop.run(self._target.__aenter__())
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.run(self._target.__aexit__(*error))

    def iterate(self, **options: Any) -> Iterator[Record]:
        return self._each(self._target.iterate(**options))

    def search_stream(self, *args: Any, **options: Any) -> Iterator[BatchResult]:
        return self._each(self._target.search_stream(*args, **options))

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        with contextlib.suppress(StopAsyncIteration):
            while True:
                yield self._loop.run(_next(items))

    def ingest(self, batches: Any, **options: Any) -> WriteResult:
        result: WriteResult = self._loop.run(self._target.ingest(batches, **options))
        return result

    def close(self) -> None:
        self._loop.run(self._target.close())
        self._loop.close()


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
