"""No room on the disk: a typed error, reads go on, nothing acknowledged is lost, and writes resume with the room."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import vecdb
from tests.harness import workload
from tests.harness.model import Model, assert_exact_hits, assert_hits
from tests.harness.process import Worker
from vecdb.config import EngineConfig
from vecdb.errors import StorageFullError

CONFIG = EngineConfig(tail_rows_index=256, threads=1, progress=False, map_bytes=1 << 32, index_loads=True)
ROOM_BYTES = 3 << 20
TMPFS_BYTES = 15 << 20
BALLAST_BYTES = 9 << 20
"""Room that the test makes: enough for the two jobs that may follow, an index of the tail and a merge of everything,
each of which holds the old rows and the new ones at once and finds the file's free pages scattered."""
BATCH = 100


class Filler:
    """Writes batches of the workload until the disk is full, and knows what was acknowledged."""

    def __init__(self, database: Any) -> None:
        self.docs = database.create_collection("docs", dim=workload.DIM, metric="l2", exist_ok=True)
        self.model = Model.single(workload.DIM, "l2")
        self._next = 0

    def write(self) -> None:
        """Write one batch; the model learns of it when it is acknowledged."""
        keys = range(self._next, self._next + BATCH)
        ids = [workload.record_id(key) for key in keys]
        rows = workload.vectors_of(keys, [1] * BATCH)
        metadata = [workload.metadata_of(key, 1) for key in keys]
        self.docs.upsert(ids, rows, metadata)
        self.model.put_columns(ids, rows, metadata)
        self._next += BATCH

    def fill(self) -> str:
        """Write until it is refused; what the refusal says."""
        while True:
            try:
                self.write()
            except StorageFullError as error:
                return str(error)

    def check(self) -> None:
        """Everything acknowledged is there and nothing else, by every way of reading."""
        stored = {record.id: record for record in self.docs.iterate(with_vectors=True)}
        assert stored.keys() == self.model.entries.keys()
        for record_id, entry in self.model.entries.items():
            assert stored[record_id].metadata == entry.metadata
            np.testing.assert_array_equal(stored[record_id].vector, entry.vectors["default"])
        query = workload.vectors_of([3_000_000], [0])[0]
        assert_exact_hits(self.model, self.docs.search(query, limit=20, exact=True), query, 20)
        assert_hits(self.model, self.docs.search(query, limit=20), query, 20)

    def delete_some(self) -> str:
        """Delete a batch; either it happens or it is refused for lack of room."""
        ids = list(self.model.entries)[:BATCH]
        try:
            assert self.docs.delete(ids=ids).count == BATCH
        except StorageFullError:
            return "refused"
        self.model.delete(ids)
        return "done"


def fill_free_and_resume(path: Path, make_room: Callable[[], None]) -> tuple[str, str]:
    """Fill the disk under an open database, read, delete, make room, write on, reopen. Returns what deletes did, and
    what the refusal said.
    """
    with vecdb.open(path, config=CONFIG) as database:
        filler = Filler(database)
        refusal = filler.fill()
        assert len(filler.model.entries) >= BATCH
        filler.check()
        deletes = filler.delete_some()
        filler.check()
        filler.fill()  # a second refusal is like the first
        filler.check()
        make_room()
        for _ in range(3):
            filler.write()
        filler.docs.optimize()
        filler.check()
    with vecdb.open(path, config=CONFIG) as database:
        filler.docs = database.collection("docs")
        filler.check()
        assert database.verify().ok
    return deletes, refusal


def _fill_under_limit(pipe: Connection, path: Path) -> None:
    vecdb.open(path, config=CONFIG).close()
    resource.setrlimit(resource.RLIMIT_FSIZE, ((path / "data.mdb").stat().st_size + ROOM_BYTES, resource.RLIM_INFINITY))
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    pipe.send(("done", fill_free_and_resume(path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, unlimited))))


def test_a_file_that_may_not_grow_is_a_full_disk(artefacts: Path, report: Callable[[str], None]) -> None:
    with Worker(_fill_under_limit, artefacts / "db", log=artefacts / "log") as worker:
        deletes, refusal = worker.expect("done")
        assert "RLIMIT_FSIZE" in refusal
        report(f"file size limit: nothing lost, writes resumed; deletes when full: {deletes}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of a few MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    mounted = tmp_path / "disk"
    mounted.mkdir()
    size = f"size={TMPFS_BYTES}"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", mounted], check=False, capture_output=True)
    if made.returncode:
        pytest.skip(f"mount is not allowed here: {made.stderr.decode().strip()}")
    yield mounted
    subprocess.run(["umount", "--lazy", mounted], check=True)


def in_child(target: Callable[..., None], *args: Any, log: Path) -> Any:
    """Run the target in a process of its own, so that a signal fails the test instead of ending the run."""
    with Worker(target, *args, log=log) as worker:
        return worker.expect("done")


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 12)):
            pass


def test_a_full_disk_refuses_writes_only(small_disk: Path, tmp_path: Path, report: Callable[[str], None]) -> None:
    (small_disk / "ballast").write_bytes(bytes(BALLAST_BYTES))
    deletes, refusal = in_child(_fill_disk, small_disk, log=tmp_path / "log")
    assert "no space left on the device" in refusal
    assert deletes == "done"
    report("full disk: nothing lost, deletes taken, writes resumed")


def _fill_disk(pipe: Connection, disk: Path) -> None:
    pipe.send(("done", fill_free_and_resume(disk / "db", (disk / "ballast").unlink)))


def test_a_database_cannot_be_created_on_a_full_disk_but_later(small_disk: Path, tmp_path: Path) -> None:
    _fill(small_disk / "ballast")
    assert in_child(_create_on_full_disk, small_disk, log=tmp_path / "log") == ["db"]


def _create_on_full_disk(pipe: Connection, disk: Path) -> None:
    with pytest.raises(StorageFullError):
        vecdb.open(disk / "db", config=CONFIG)
    assert [entry.name for entry in disk.iterdir()] == ["ballast"]
    (disk / "ballast").unlink()
    with vecdb.open(disk / "db", config=CONFIG) as database:
        Filler(database).write()
    pipe.send(("done", [entry.name for entry in disk.iterdir()]))


def test_a_database_opens_and_reads_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    with vecdb.open(small_disk / "db", config=CONFIG) as database:
        Filler(database).write()
    _fill(small_disk / "ballast")
    assert in_child(_open_on_full_disk, small_disk / "db", log=tmp_path / "log") == [BATCH] * 100


def _open_on_full_disk(pipe: Connection, path: Path) -> None:
    """Open readers and writers again and again; each reader takes a slot of the lock file, which must not need room."""
    counts = []
    for mode in ("rw", "r") * 10:
        with contextlib.ExitStack() as stack:
            databases: list[Any] = [stack.enter_context(vecdb.open(path, mode=cast(Any, mode), config=CONFIG))]
            if mode == "rw":
                databases += [stack.enter_context(vecdb.open(path, mode="r", config=CONFIG)) for _ in range(8)]
            counts += [len(database.collection("docs").search(np.ones(workload.DIM), BATCH)) for database in databases]
    pipe.send(("done", counts))


def test_a_full_map_is_a_full_disk(artefacts: Path) -> None:
    config = EngineConfig(tail_rows_index=256, threads=1, progress=False, map_bytes=2 << 20, index_loads=True)
    with vecdb.open(artefacts / "db", config=config) as database:
        filler = Filler(database)
        filler.fill()
        filler.check()
    with vecdb.open(artefacts / "db", config=CONFIG) as database:  # a larger map is more room
        filler.docs = database.collection("docs")
        filler.check()
        filler.write()
        filler.check()


def test_a_backup_to_a_full_disk_fails_whole(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(TMPFS_BYTES - (1 << 20)))
    assert in_child(_backup_to_full_disk, tmp_path / "db", small_disk, log=tmp_path / "log") == ["ballast"]


def _backup_to_full_disk(pipe: Connection, path: Path, disk: Path) -> None:
    with vecdb.open(path, config=CONFIG) as database:
        filler = Filler(database)
        while len(filler.model.entries) * workload.DIM * 4 < (2 << 20):
            filler.write()
        with pytest.raises(StorageFullError):
            database.backup(disk / "copy")
        left = [entry.name for entry in disk.iterdir()]
        filler.write()
        filler.check()
    pipe.send(("done", left))
