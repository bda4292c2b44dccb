"""A server in a process of its own to be fuzzed, so that its memory is its own and a crash is seen for what it is."""

from __future__ import annotations

import contextlib
import importlib
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import vecdb
from tests.fuzz.mutations import MUTATIONS
from tests.fuzz.valid_requests import RECORDS, batch, metadata_of, plain_batch, rows, valid_requests
from tests.harness.process import Worker
from tests.unit.server.echo import METHODS
from vecdb.config import EngineConfig
from vecdb.server.app import Role, Service, serving
from vecdb.server.pool.forwarding import Forwarder, worker_rules
from vecdb.server.services import bind_services
from vecdb.server.settings import ServerConfig
from vecdb.types import Field
from vecdb.wire.writes import upsert_arguments

ENGINE = EngineConfig(tail_rows_index=64, threads=1, progress=False, map_bytes=1 << 32, scrub=False, index_loads=True)
CALL_S = 20
SECRET = "fuzz"  # noqa: S105 - of the test
WAITS_S = 0.01
"""What a read waits for a commit that never comes: ten seconds in a server for use."""

DIMS = {"docs": {"default": 4}, "both": {"text": 4, "image": 3}, "extra": {"default": 4}, "changing": {"a": 2, "b": 2}}
"""Fields by collection; requests that change fields are about the last of them."""

COLLECTIONS = set(DIMS)
INDEXES: dict[str, Any] = {"n": "int", "t": "keyword", "f": "float", "text": "text", "place": "geo"}
MIB = 1 << 20
DEFECTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNIMPLEMENTED}
PROBLEMS_SHOWN = 20
SIGNS = ('"level":"error"', "Traceback", "incident")
"""What a line of the log has that tells of a defect."""


RARE = {"Verify", "Backup", "Optimize", "Sync"}
"""Requests with little to change, that take long."""

CONVERSATIONS = [(path, messages) for path, each in sorted(valid_requests().items()) for messages in each]
CHOICES = [
    number for number, (path, _) in enumerate(CONVERSATIONS) for _ in range(1 if path.rpartition("/")[2] in RARE else 4)
]
"""Conversations by their numbers, as often as they are wanted."""

Case = tuple[int, str, int]
"""A conversation by its number, a mutation by its name, and what the mutation is drawn from."""


# --- the server's process ---------------------------------------------------------------------------------------------


def serve(pipe: Connection, folder: Path) -> None:
    """Serve until the parent hangs up; "restore" puts the data back to where they began."""
    engine: Any = importlib.import_module("vecdb.engine.database")
    engine.MIN_SEQ_WAIT_S = WAITS_S
    config = ServerConfig(
        data=str(folder / "db"), listen=(f"unix:{folder}/socket",), backups=str(folder / "backups"), access_log=False
    )
    with (
        vecdb.open(config.data, config=ENGINE, durability="async") as database,
        serving(config, bind_services(database, config), database=database, log_stream=sys.stderr) as service,
    ):
        database.warm_up()
        restore(database)
        pipe.send(("address", service.address))
        with contextlib.suppress(EOFError):
            while pipe.recv() == "restore":
                restore(database)
                pipe.send(("restored", None))


def serve_through_a_worker(pipe: Connection, folder: Path) -> None:
    """As `serve`, with a worker of a pool in front, which answers reads and passes on what else there is."""
    engine: Any = importlib.import_module("vecdb.engine.database")
    engine.MIN_SEQ_WAIT_S = WAITS_S
    given: Any = {"data": str(folder / "db"), "backups": str(folder / "backups"), "access_log": False}
    inner, outer = f"unix:{folder}/writer", f"unix:{folder}/socket"
    writing, reading = ServerConfig(listen=(inner,), **given), ServerConfig(listen=(outer,), **given)
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(vecdb.open(writing.data, config=ENGINE, durability="async"))
        writer = Service(writing, bind_services(database, writing), database=database, role=Role(pass_secret=SECRET))
        stack.callback(writer.start().stop)
        restore(database)
        reader = stack.enter_context(vecdb.open(writing.data, mode="r", config=ENGINE))
        reader.warm_up()
        forwarder = Forwarder(inner, SECRET, reading)
        stack.callback(forwarder.close)
        bindings = forwarder.bindings(bind_services(reader, reading))
        worker = Service(reading, bindings, role=Role(rules=worker_rules()), reads_from=reader)
        stack.callback(worker.start().stop)
        pipe.send(("address", worker.address))
        with contextlib.suppress(EOFError):
            while pipe.recv() == "restore":
                restore(database)
                pipe.send(("restored", None))


def restore(database: Any) -> None:
    """Make the data what every batch of cases begins with."""
    for name in database.list_collections():
        if name not in COLLECTIONS or not _is_as_declared(name, database.collection(name)):
            database.drop_collection(name)
    for name in COLLECTIONS - set(database.list_collections()):
        _create(database, name)
    docs, both = database.collection("docs"), database.collection("both")
    for index in docs.indexes:
        if INDEXES.get(index.path) != index.kind:
            docs.drop_index(index.path, index.kind)
    for path, kind in INDEXES.items():
        docs.create_index(path, kind, exist_ok=True)
    for collection in (docs, both):
        extra = [record.id for record in collection.iterate() if not isinstance(record.id, int) or record.id >= RECORDS]
        collection.delete(extra)
    docs.upsert(list(range(RECORDS)), rows(RECORDS), [metadata_of(number) for number in range(RECORDS)])
    docs.upsert(**upsert_arguments(batch(["a"])))
    both.upsert(**upsert_arguments(plain_batch()))


def _is_as_declared(name: str, collection: Any) -> bool:
    return {each: declared.dim for each, declared in collection.fields.items()} == DIMS[name]


def _create(database: Any, name: str) -> None:
    if name == "docs":
        docs = database.create_collection("docs", dim=4, metric="l2", m=4, ef_construction=16)
        docs.upsert(list(range(RECORDS)), rows(RECORDS))
        docs.optimize()
    elif name != "both":
        database.create_collection(name, fields={each: Field(dim=dim) for each, dim in DIMS[name].items()})
    else:
        fields = {"text": Field(dim=4, dtype="float16"), "image": Field(dim=3, metric="dot")}
        database.create_collection("both", fields=fields, ttl_field="until")


# --- the client's side ------------------------------------------------------------------------------------------------


@dataclass
class Target:
    """The server as its client sees it, and what was seen of it."""

    worker: Worker
    channel: Any
    log: Path
    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def run(self, cases: Sequence[Case]) -> None:
        """Restore the data, make the calls, and see that the server still answers."""
        self.worker.send("restore")
        self.worker.expect("restored")
        for case in cases:
            self._one(case)
        found = self._call("/vecdb.v1.AdminService/GetServerInfo", [b""])
        if found != "OK":
            self.problems.append(f"the server does not answer any more: {found}")
        self.memory.append(anonymous_bytes(self.worker.pid))

    def _one(self, case: Case) -> None:
        number, mutation, seed = case
        path, messages = CONVERSATIONS[number]
        bodies = MUTATIONS[mutation](messages, Random(seed))
        outcome = self._call(path, bodies)
        self.cases += 1
        self.outcomes[outcome.partition(":")[0]] += 1
        if outcome.startswith("DEFECT"):
            sent = " ".join(body.hex() or "-" for body in bodies)
            self.problems.append(f"{outcome}\n  of {path}, case {case}, sent {sent[:2_000]}")

    def _call(self, path: str, bodies: Sequence[bytes]) -> str:
        """How a call ended: a code and a reason, or DEFECT and what is wrong with it."""
        streams = METHODS[path].client_streaming or len(bodies) != 1
        try:
            if streams:
                list(self.channel.stream_stream(path)(iter(bodies), timeout=CALL_S))
            elif METHODS[path].server_streaming:
                list(self.channel.unary_stream(path)(bodies[0], timeout=CALL_S))
            else:
                self.channel.unary_unary(path)(bodies[0], timeout=CALL_S)
        except grpc.RpcError as error:
            return described(error)
        return "OK"

    @property
    def growth(self) -> int:
        """Bytes of memory of the server between the second fifth of the batches and the last, by their medians."""
        fifth = max(1, len(self.memory) // 5)
        return round(statistics.median(self.memory[-fifth:]) - statistics.median(self.memory[fifth : 2 * fifth]))

    def incidents(self) -> list[str]:
        """Lines of the server's log that tell of defects."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line[:3_000] for line in lines if any(sign in line for sign in SIGNS)]


def described(error: Any) -> str:
    """The code and the reason of a failed call; a DEFECT when it is a server's fault, or without a reason of ours."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # gRPC itself put another code in the place of the server's
        status = None
    info = error_details_pb2.ErrorInfo()
    reasons = [info.reason for detail in (status.details if status is not None else ()) if detail.Unpack(info)]
    if error.code() in DEFECTS or len(reasons) != 1 or info.domain != "vecdb":
        return f"DEFECT: {error.code()} {error.details()!r:.500} {reasons}"
    return f"{error.code().name} {reasons[0]}"


def anonymous_bytes(pid: int) -> int:
    """Memory of a process that is not a file's: the map of a database comes and goes as the kernel likes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


@contextlib.contextmanager
def fuzzed(folder: Path, *, through_a_worker: bool = False) -> Iterator[Target]:
    """A server while the block lasts."""
    log = folder / "log"
    with Worker(serve_through_a_worker if through_a_worker else serve, folder, log=log) as worker:
        address = worker.expect("address")
        with grpc.insecure_channel(address) as channel:
            yield Target(worker, channel, log)
