"""Databases that are closed, forked, locked, foreign, newer, damaged or read-only: a typed error, and no harm done."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.harness.process import Worker
from tests.security.unchanged import CONFIG, DIM, contents, sample_rows
from vecdb.config import FORMAT_VERSION
from vecdb.errors import (
    ClosedError,
    CorruptionError,
    DatabaseLockedError,
    DatabaseNotFoundError,
    FormatVersionError,
    NotADatabaseError,
    ReadOnlyError,
    StorageError,
    VecDBError,
)

QUERY = np.ones(DIM, dtype=np.float32)

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "create_collection": lambda db, _: db.create_collection("new", dim=DIM),
    "collection": lambda db, _: db.collection("docs"),
    "list_collections": lambda db, _: db.list_collections(),
    "contains": lambda db, _: "docs" in db,
    "drop_collection": lambda db, _: db.drop_collection("docs"),
    "verify": lambda db, _: db.verify(),
    "optimize_all": lambda db, _: db.optimize(),
    "refresh": lambda db, _: db.refresh(),
    "upsert": lambda _, docs: docs.upsert(["x"], [QUERY]),
    "insert": lambda _, docs: docs.insert(["x"], [QUERY]),
    "update": lambda _, docs: docs.update("a", metadata={}),
    "delete": lambda _, docs: docs.delete(ids=["a"]),
    "get": lambda _, docs: docs.get("a"),
    "search": lambda _, docs: docs.search(QUERY),
    "exact_search": lambda _, docs: docs.search(QUERY, exact=True),
    "search_batch": lambda _, docs: docs.search_batch([QUERY]),
    "scroll": lambda _, docs: docs.scroll(),
    "iterate": lambda _, docs: list(docs.iterate()),
    "count": lambda _, docs: docs.count(),
    "len": lambda _, docs: len(docs),
    "in": lambda _, docs: "a" in docs,
    "wait_indexed": lambda _, docs: docs.wait_indexed(timeout_s=1),
    "optimize": lambda _, docs: docs.optimize(),
    "stats": lambda _, docs: docs.stats(),
    "measure_recall": lambda _, docs: docs.measure_recall(sample=5),
    "validate": lambda _, docs: docs.validate(),
}
WRITES = ["create_collection", "drop_collection", "upsert", "insert", "update", "delete", "optimize", "optimize_all"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A closed database with segments, a tail and a deleted record."""
    rng = np.random.default_rng(2)
    with vecdb.open(tmp_path / "db", config=CONFIG, durability="async") as database:
        docs = database.create_collection("docs", dim=DIM)
        docs.upsert(list(range(300)), sample_rows(rng, 300), [{"n": n} for n in range(300)])
        docs.optimize()
        docs.upsert(["a", "b"], sample_rows(rng, 2))
        docs.delete(ids=[7])
    return tmp_path / "db"


@pytest.mark.parametrize("call", CALLS)
def test_every_call_on_a_closed_database_says_so(directory: Path, call: str) -> None:
    database = vecdb.open(directory, config=CONFIG)
    docs = database.collection("docs")
    database.close()
    with pytest.raises(ClosedError, match="closed"):
        CALLS[call](database, docs)


def test_backup_of_a_closed_database_leaves_nothing(directory: Path, tmp_path: Path) -> None:
    database = vecdb.open(directory, config=CONFIG)
    database.close()
    with pytest.raises(ClosedError):
        database.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_an_iteration_begun_before_the_close_ends_with_a_typed_error(directory: Path) -> None:
    database = vecdb.open(directory, config=CONFIG)
    records = database.collection("docs").iterate(with_vectors=True)
    next(records)
    database.close()
    with contextlib.suppress(ClosedError):  # what was read ahead may still come
        assert len(list(records)) <= 300


def test_vectors_and_results_outlive_the_database(directory: Path) -> None:
    with vecdb.open(directory, config=CONFIG) as database:
        docs: Any = database.collection("docs")
        vector = docs.get(3, with_vectors=True).vector
        result: Any = docs.search(QUERY, limit=20, with_vectors=True)
        kept, found = vector.copy(), [hit.vector.copy() for hit in result]
    np.testing.assert_array_equal(vector, kept)
    np.testing.assert_array_equal([hit.vector for hit in result], found)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_on_a_dropped_collection_is_a_typed_error(directory: Path, call: str) -> None:
    if call in {"create_collection", "list_collections", "contains", "verify", "optimize_all", "refresh"}:
        return  # these are the database's
    with vecdb.open(directory, config=CONFIG) as database:
        docs = database.collection("docs")
        database.drop_collection("docs")
        with pytest.raises(VecDBError, match=r"docs|dropped"):
            CALLS[call](database, docs)


@pytest.mark.parametrize("mode", ["rw", "r"])
def test_every_call_in_a_forked_child_says_so_and_the_parent_goes_on(directory: Path, mode: Any) -> None:
    with vecdb.open(directory, mode=mode, config=CONFIG) as database:
        docs = database.collection("docs")
        before = contents(database)
        outcomes = _in_fork(lambda: {name: _outcome(call, database, docs) for name, call in CALLS.items()})
        assert {name: kind for name, kind in outcomes.items() if kind != "ClosedError"} == {}
        assert contents(database) == before
        if mode == "rw":
            docs.upsert(["after"], [QUERY])
            assert "after" in docs


def test_a_forked_child_may_close_and_exit_without_harm(directory: Path) -> None:
    with vecdb.open(directory, config=CONFIG) as database:
        outcomes = _in_fork(lambda: {"close": _outcome(lambda db, _: db.close(), database, None)})
        assert outcomes["close"] in {"ok", "ClosedError"}
        with Worker(_try_open, directory, "rw") as other:
            assert other.expect("outcome")[0] == "DatabaseLockedError"
        database.collection("docs").upsert(["after"], [QUERY])


@pytest.mark.parametrize("mode", ["rw", "r"])
def test_a_forked_child_that_opens_the_same_database_reads_it_or_is_told_why_not(directory: Path, mode: Any) -> None:
    def read_again() -> dict[str, str]:
        try:
            with vecdb.open(directory, mode=mode, config=CONFIG) as again:
                return {"count": str(again.collection("docs").count())}
        except VecDBError as error:
            return {"told": str(error)}

    with vecdb.open(directory, config=CONFIG) as database:
        outcome = _in_fork(read_again)
        database.collection("docs").upsert(["after"], [QUERY])
    if mode == "r" and "count" in outcome:
        assert outcome["count"] == "301"
    else:
        assert "fork" in outcome["told"] or "open for writing" in outcome["told"]


def test_a_second_writer_in_the_same_process_is_refused(directory: Path) -> None:
    with vecdb.open(directory, config=CONFIG) as database:
        with pytest.raises(DatabaseLockedError, match="this process"):
            vecdb.open(directory, config=CONFIG)
        assert database.collection("docs").count() == 301
    vecdb.open(directory, config=CONFIG).close()


def test_a_second_writer_under_another_name_of_the_directory_is_refused(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(directory)
    with vecdb.open(directory, config=CONFIG), pytest.raises(DatabaseLockedError):
        vecdb.open(tmp_path / "link", config=CONFIG)


def test_a_second_writer_in_another_process_is_refused_and_told_who_writes(directory: Path) -> None:
    with vecdb.open(directory, config=CONFIG), Worker(_try_open, directory, "rw") as other:
        kind, message = other.expect("outcome")
        assert kind == "DatabaseLockedError"
        assert str(os.getpid()) in message
        assert 'mode="r"' in message or "mode='r'" in message or "reader" in message


def test_the_lock_is_free_after_a_close(directory: Path) -> None:
    vecdb.open(directory, config=CONFIG).close()
    with Worker(_try_open, directory, "rw") as other:
        assert other.expect("outcome")[0] == "ok"


@pytest.mark.parametrize("mode", ["rw", "r"])
@pytest.mark.parametrize("content", ["file", "text", "mdb"])
def test_a_directory_of_something_else_is_refused_and_left_alone(tmp_path: Path, mode: Any, content: str) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    name = {"file": "notes.txt", "text": "MANIFEST", "mdb": "data.mdb"}[content]
    (foreign / name).write_text("something of value")
    with pytest.raises(StorageError) as caught:
        vecdb.open(foreign, mode=mode, config=CONFIG)
    assert isinstance(caught.value, (NotADatabaseError, CorruptionError))
    assert str(foreign) in str(caught.value)
    assert [path.name for path in foreign.iterdir()] == [name]
    assert (foreign / name).read_text() == "something of value"


@pytest.mark.parametrize("mode", ["rw", "r"])
def test_a_file_instead_of_a_directory_is_refused(tmp_path: Path, mode: Any) -> None:
    (tmp_path / "file").write_text("something of value")
    with pytest.raises(NotADatabaseError, match="file"):
        vecdb.open(tmp_path / "file", mode=mode, config=CONFIG)
    assert (tmp_path / "file").read_text() == "something of value"


def test_a_missing_directory_is_not_created_by_a_reader_or_without_create(tmp_path: Path) -> None:
    choices: list[Any] = [{"mode": "r"}, {"create": False}]
    for options in choices:
        with pytest.raises(DatabaseNotFoundError, match="missing"):
            vecdb.open(tmp_path / "missing", config=CONFIG, **options)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("path", ["a\x00b", ""])
def test_an_impossible_path_is_refused(path: str) -> None:
    with pytest.raises(VecDBError):
        vecdb.open(path, config=CONFIG)


@pytest.mark.parametrize("mode", ["rw", "r"])
def test_a_newer_format_is_refused_and_left_alone(directory: Path, mode: Any) -> None:
    manifest = directory / "MANIFEST"
    _rewrite_manifest(manifest, format_version=FORMAT_VERSION + 1)
    before = _file_bytes(directory)
    with pytest.raises(FormatVersionError, match=str(FORMAT_VERSION + 1)):
        vecdb.open(directory, mode=mode, config=CONFIG)
    assert _file_bytes(directory) == before


@pytest.mark.parametrize("mode", ["rw", "r"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3, 0.5])
def test_a_truncated_data_file_is_refused(directory: Path, share: float, mode: Any) -> None:
    data = directory / "data.mdb"
    os.truncate(data, int(data.stat().st_size * share))
    with Worker(_try_open, directory, mode) as child:  # a child: what is tested for is a signal
        kind, message = child.expect("outcome")
    assert kind == "CorruptionError"
    assert "data.mdb" in message


@pytest.mark.parametrize("cut", [1, 4_096, 3 * 4_096, 20 * 4_096])
def test_a_data_file_short_of_a_few_bytes_is_refused_or_complete(directory: Path, cut: int) -> None:
    """LMDB may end its file with pages that are not in use; only those may be missing."""
    with vecdb.open(directory, mode="r", config=CONFIG) as database:
        before = contents(database)
    os.truncate(directory / "data.mdb", (directory / "data.mdb").stat().st_size - cut)
    with Worker(_read_all, directory) as child:
        answer = child.expect("contents")
    assert answer in ("CorruptionError", before)


def _read_all(pipe: Connection, path: Path) -> None:
    try:
        with vecdb.open(path, mode="r", config=CONFIG) as database:
            assert database.verify().ok
            pipe.send(("contents", contents(database)))
    except CorruptionError:
        pipe.send(("contents", "CorruptionError"))


@pytest.mark.parametrize("name", ["data.mdb", "MANIFEST"])
def test_a_missing_file_is_refused_and_not_replaced(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(StorageError, match=name):
        vecdb.open(directory, config=CONFIG)
    assert not (directory / name).exists()


def test_flipped_bits_in_a_stored_vector_are_found_by_verify(directory: Path) -> None:
    _flip_where(directory, _vector_bytes(directory, 5))
    with vecdb.open(directory, mode="r", config=CONFIG) as database:
        report = database.verify()
    assert not report.ok
    assert any("docs" in problem or "chunk" in problem for problem in report.problems)


def test_flipped_bits_in_a_record_never_come_back_as_metadata(directory: Path) -> None:
    with vecdb.open(directory, config=CONFIG) as database:
        database.collection("docs").upsert(["canary"], [QUERY], [{"canary": "a-very-recognisable-text"}])
    _flip_where(directory, b"a-very-recognisable-text")
    with vecdb.open(directory, mode="r", config=CONFIG) as database:
        assert not database.verify().ok
        with pytest.raises(CorruptionError, match=r"backup|restore"):
            database.collection("docs").get("canary")


@pytest.mark.parametrize("call", WRITES)
def test_every_write_on_a_reader_is_refused(directory: Path, call: str) -> None:
    with vecdb.open(directory, mode="r", config=CONFIG) as database:
        before = contents(database)
        with pytest.raises(ReadOnlyError, match="rw"):
            CALLS[call](database, database.collection("docs"))
        assert contents(database) == before


def test_a_reader_works_on_files_it_may_not_write(directory: Path) -> None:
    before = (directory / "data.mdb").read_bytes()
    with vecdb.open(directory, mode="r", config=CONFIG) as database:
        assert len(database.collection("docs").search(QUERY, limit=10)) == 10
        assert database.verify().ok
    assert (directory / "data.mdb").read_bytes() == before


def test_a_backup_never_overwrites(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("something of value")
    with vecdb.open(directory, config=CONFIG) as database:
        with pytest.raises(VecDBError, match="taken"):
            database.backup(tmp_path / "taken")
        with pytest.raises(VecDBError):
            database.backup(directory)
        assert database.verify().ok
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["file"]


def test_files_are_private_to_their_owner(directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o077 for path in directory.iterdir() if path.stat().st_mode & 0o077} == {}


def test_a_copied_directory_is_a_database_of_its_own(directory: Path, tmp_path: Path) -> None:
    shutil.copytree(directory, tmp_path / "copied")
    with vecdb.open(directory, config=CONFIG), vecdb.open(tmp_path / "copied", config=CONFIG) as copied:
        assert copied.collection("docs").count() == 301


def _try_open(pipe: Connection, path: Path, mode: Any) -> None:
    try:
        vecdb.open(path, mode=mode, config=CONFIG).close()
        pipe.send(("outcome", ("ok", "")))
    except VecDBError as error:
        pipe.send(("outcome", (type(error).__name__, str(error))))


def _outcome(call: Callable[[Any, Any], Any], database: Any, docs: Any) -> str:
    try:
        call(database, docs)
    except Exception as error:
        return type(error).__name__
    return "ok"


def _in_fork(body: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Run the body in a real fork of this process; a child that dies by a signal fails the test."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write_end, json.dumps(body()).encode())
            os._exit(0)
        except BaseException as error:
            os.write(write_end, json.dumps({"raised": repr(error)}).encode())
        finally:
            os._exit(1)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        text = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"the child ended with {status}: {text!r}"
    outcomes: dict[str, str] = json.loads(text)
    return outcomes


def _rewrite_manifest(path: Path, **changes: Any) -> None:
    manifest = json.loads(path.read_text()) | changes
    del manifest["crc32"]
    checksum = zlib.crc32(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode())
    path.write_text(json.dumps(manifest | {"crc32": checksum}))


def _file_bytes(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in ("MANIFEST", "data.mdb")}


def _vector_bytes(directory: Path, record_id: int) -> bytes:
    with vecdb.open(directory, mode="r", config=CONFIG) as database:
        docs: Any = database.collection("docs")
        return bytes(docs.get(record_id, with_vectors=True).vector.tobytes())


def _flip_where(directory: Path, needle: bytes) -> None:
    """Flip a bit in every place of the data file that holds `needle`."""
    path = directory / "data.mdb"
    data = bytearray(path.read_bytes())
    at = data.find(needle)
    assert at >= 0
    while at >= 0:
        data[at + len(needle) // 2] ^= 0x10
        at = data.find(needle, at + 1)
    path.write_bytes(data)
