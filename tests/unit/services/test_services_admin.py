"""AdminService: what a server is and holds, upkeep with progress, and backups that stay in their directory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

import vecdb
from tests.unit.services.asking import DIM, Asked, asking, code_from, error_from, fake_call, rows
from vecdb import config, errors
from vecdb._pb.v1 import admin_service_pb2 as pb
from vecdb.engine import database as engine_database
from vecdb.server.backing import Backing
from vecdb.server.long_operation import LongOperation, Places
from vecdb.server.principals import Principal
from vecdb.server.services_admin import AdminService
from vecdb.server.settings import ServerConfig
from vecdb.wire.admin import read_recall, read_stats

INT64_MOST = 2**63 - 1


@pytest.fixture
def docs(db: vecdb.Database) -> vecdb.Collection:
    """A hundred records that are not indexed."""
    found = db.collection("docs")
    found.upsert(list(range(100)), rows(100))
    return found


@pytest.fixture
def backups(db: vecdb.Database, tmp_path: Path) -> Iterator[Asked]:
    """The database, served with a directory for backups that is not there yet."""
    with asking(db, backups=str(tmp_path / "backups")) as served:
        yield served


# --- what there is ----------------------------------------------------------------------------------------------------


def test_a_server_tells_its_version_seq_durability_and_limits(asked: Asked) -> None:
    reply = asked.admin.GetServerInfo(pb.GetServerInfoRequest())
    assert (reply.version, reply.seq, reply.durability) == (vecdb.__version__, asked.db.seq, "fsync")
    assert reply.limits.message_bytes_max == config.MESSAGE_BYTES_DEFAULT
    assert (reply.limits.limit_max, reply.limits.dim_max) == (config.LIMIT_MAX, config.DIM_MAX)


def test_damage_is_told_to_administrators_only(db: vecdb.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(db), "problems", ("page 7 is damaged",))
    service = AdminService(Backing.of(db, ServerConfig(data=":memory:")))
    reader, admin = fake_call(principal=Principal("key", {"docs": "admin"})), fake_call()
    assert list(service.GetServerInfo(pb.GetServerInfoRequest(), reader).problems) == []
    assert list(service.GetServerInfo(pb.GetServerInfoRequest(), admin).problems) == ["page 7 is damaged"]


def test_statistics_are_those_of_the_engine(asked: Asked, docs: vecdb.Collection) -> None:
    docs.optimize()
    docs.delete([1])
    assert read_stats(asked.admin.GetStats(pb.GetStatsRequest(collection="docs"))) == docs.stats()


def test_recall_is_measured_as_by_the_engine(asked: Asked, docs: vecdb.Collection) -> None:
    docs.optimize()
    request = pb.MeasureRecallRequest(collection="docs", k=5, sample=20, ef=5, seed=3)
    assert read_recall(asked.admin.MeasureRecall(request)) == docs.measure_recall(5, 20, ef=5, seed=3)


@pytest.mark.parametrize("option", ["k", "sample"])
@pytest.mark.parametrize("value", [0, -1, config.LIMIT_MAX + 1, INT64_MOST, -INT64_MOST])
def test_a_measurement_beyond_the_limits_is_refused(asked: Asked, option: str, value: int) -> None:
    request = pb.MeasureRecallRequest(collection="docs", **{option: value})  # type: ignore[arg-type]
    assert error_from(lambda: asked.admin.MeasureRecall(request)).details["option"] == option


def test_a_measurement_ends_when_its_caller_is_gone(
    db: vecdb.Database, docs: vecdb.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecdb.engine.interruption.SEARCH_PIECE_EXACT_ROWS", 10)
    service = AdminService(Backing.of(db, ServerConfig(data=":memory:")))
    with pytest.raises(errors.CancelledError):
        service.MeasureRecall(pb.MeasureRecallRequest(collection=docs.name), fake_call(left=3))


@pytest.mark.parametrize("name", ["GetServerInfo", "GetStats", "MeasureRecall"])
def test_a_read_waits_for_the_commit_that_it_names(asked: Asked, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_database, "MIN_SEQ_WAIT_S", 0.01)
    request = getattr(pb, f"{name}Request")(min_seq=asked.db.seq + 1)
    assert isinstance(error_from(lambda: getattr(asked.admin, name)(request)), errors.WaitTimeoutError)


# --- upkeep -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["docs", ""])
def test_an_optimized_collection_has_one_segment(asked: Asked, docs: vecdb.Collection, name: str) -> None:
    progress = [one.progress for one in asked.admin.Optimize(pb.OptimizeRequest(collection=name))]
    assert docs.stats().fields["default"].segments == 1
    assert (progress[-1].done, progress[-1].total) == (100, 100)


def test_what_is_committed_is_indexed_after_the_wait(asked: Asked, docs: vecdb.Collection) -> None:
    list(asked.admin.WaitIndexed(pb.WaitIndexedRequest(collection="docs", timeout_s=60)))
    assert docs.stats().fields["default"].tail_rows == 0


@pytest.mark.parametrize("timeout", [-1.0, float("nan"), float("-inf")])
def test_a_wait_that_cannot_be_is_refused(asked: Asked, timeout: float) -> None:
    request = pb.WaitIndexedRequest(collection="docs", timeout_s=timeout)
    assert isinstance(error_from(lambda: list(asked.admin.WaitIndexed(request))), errors.InvalidRequestError)


def test_a_wait_that_is_too_short_times_out(asked: Asked, docs: vecdb.Collection) -> None:
    request = pb.WaitIndexedRequest(collection=docs.name, timeout_s=0)
    with docs._database._indexer.paused():  # type: ignore[union-attr]
        assert isinstance(error_from(lambda: list(asked.admin.WaitIndexed(request))), errors.WaitTimeoutError)


def test_a_sound_database_is_verified(asked: Asked, docs: vecdb.Collection) -> None:
    reply = asked.admin.Verify(pb.VerifyRequest())
    assert (reply.records, list(reply.problems)) == (docs.count(), [])


def test_a_verification_whose_caller_is_gone_ends_instead_of_reporting_damage(
    db: vecdb.Database, docs: vecdb.Collection
) -> None:
    service = AdminService(Backing.of(db, ServerConfig(data=":memory:")))
    assert docs.count()
    with pytest.raises(errors.CancelledError):
        service.Verify(pb.VerifyRequest(), fake_call(left=50))


def test_every_graph_is_validated(asked: Asked, docs: vecdb.Collection) -> None:
    docs.optimize()
    [report] = asked.admin.ValidateGraphs(pb.ValidateGraphsRequest(collection="docs", field="default")).reports
    assert (report.rows, list(report.problems)) == (100, [])
    wrong = pb.ValidateGraphsRequest(collection="docs", field="none")
    assert isinstance(error_from(lambda: asked.admin.ValidateGraphs(wrong)), errors.FieldNotFoundError)


def test_a_sync_tells_the_newest_commit(asked: Asked, docs: vecdb.Collection) -> None:
    assert docs.count()
    assert asked.admin.Sync(pb.SyncRequest()).seq == asked.db.seq


def test_over_a_reader_upkeep_that_writes_is_refused(tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "db") as writer:
        writer.create_collection("docs", dim=DIM)
        with vecdb.open(tmp_path / "db", mode="r") as reader, asking(reader) as asked:
            calls = (
                lambda: list(asked.admin.Optimize(pb.OptimizeRequest(collection="docs"))),
                lambda: list(asked.admin.WaitIndexed(pb.WaitIndexedRequest(collection="docs"))),
                lambda: asked.admin.Sync(pb.SyncRequest()),
            )
            assert [type(error_from(call)) for call in calls] == [errors.ReadOnlyError] * 3
            assert asked.admin.GetStats(pb.GetStatsRequest(collection="docs")).records == 0


# --- backups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compact", [False, True])
def test_a_backup_is_a_database_under_its_name(backups: Asked, tmp_path: Path, *, compact: bool) -> None:
    backups.db.collection("docs").upsert([1], rows(1))
    reply = backups.admin.Backup(pb.BackupRequest(name="monday", compact=compact))
    place = tmp_path / "backups" / "monday"
    assert reply.name == "monday"
    assert reply.size_bytes == sum(file.stat().st_size for file in place.iterdir())
    with vecdb.open(place, mode="r") as copy:
        assert copy.collection("docs").count() == 1


PATHS = ["", ".", "..", "../out", "/etc/out", "a/b", "a\\b", "a\0b", "A", "-a", "a" * 64, "ä"]


@pytest.mark.parametrize("name", PATHS)
def test_a_name_that_could_be_a_path_makes_nothing(backups: Asked, tmp_path: Path, name: str) -> None:
    error = error_from(lambda: backups.admin.Backup(pb.BackupRequest(name=name)))
    assert isinstance(error, errors.InvalidNameError)
    assert list(tmp_path.rglob("*")) == []


def test_a_backup_never_replaces_another_and_tells_no_path(backups: Asked, tmp_path: Path) -> None:
    backups.admin.Backup(pb.BackupRequest(name="a" * 63))
    error = error_from(lambda: backups.admin.Backup(pb.BackupRequest(name="a" * 63)))
    assert isinstance(error, errors.AlreadyExistsError)
    assert str(tmp_path) not in f"{error} {error.details}"


def test_a_link_of_that_name_is_not_followed(backups: Asked, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "monday").symlink_to(tmp_path / "elsewhere")
    error = error_from(lambda: backups.admin.Backup(pb.BackupRequest(name="monday")))
    assert isinstance(error, errors.AlreadyExistsError)
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_for_backups_that_cannot_be_is_an_error_without_its_path(
    db: vecdb.Database, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("here")
    with asking(db, backups=str(tmp_path / "file" / "backups")) as asked:
        error = error_from(lambda: asked.admin.Backup(pb.BackupRequest(name="monday")))
    assert isinstance(error, errors.StorageError)
    assert str(tmp_path) not in error.message


def test_without_a_directory_for_backups_there_are_none(asked: Asked) -> None:
    call: Callable[[], object] = lambda: asked.admin.Backup(pb.BackupRequest(name="monday"))  # noqa: E731
    assert isinstance(error_from(call), errors.NotConfiguredError)
    assert code_from(call) == grpc.StatusCode.FAILED_PRECONDITION


# --- long operations --------------------------------------------------------------------------------------------------


ME = "me"


def places(count: int = 1) -> Places:
    return Places(count, count)


def is_given_back(free: Places) -> bool:
    """Whether the only place becomes free."""
    for _ in range(1_000):
        with contextlib.suppress(errors.OverloadedError):
            free.take(ME)
            return True
        threading.Event().wait(0.01)
    return False


def waiting_for(event: threading.Event) -> Callable[[object], None]:
    def work(_progress: object) -> None:
        assert event.wait(10)

    return work


def test_an_operation_tells_its_last_progress_and_gives_its_place_back() -> None:
    free = places()

    def work(progress: Callable[[int, int], None]) -> None:
        for done in range(6):
            progress(done, 5)

    operation = LongOperation(work, free, ME)
    assert list(operation.follow(fake_call()))[-1] == (5, 5)
    assert is_given_back(free)


def test_the_error_of_an_operation_is_raised_where_it_is_followed() -> None:
    def fail(_progress: object) -> None:
        raise errors.StorageFullError("full")

    with pytest.raises(errors.StorageFullError):
        list(LongOperation(fail, places(), ME).follow(fake_call()))


def test_an_operation_whose_caller_is_gone_ends_at_its_next_progress() -> None:
    free, may_go_on = places(), threading.Event()
    reached = []

    def work(progress: Callable[[int, int], None]) -> None:
        assert may_go_on.wait(10)
        progress(1, 2)
        reached.append("too far")

    with pytest.raises(errors.CancelledError):
        list(LongOperation(work, free, ME).follow(fake_call(left=0)))
    may_go_on.set()
    assert is_given_back(free), "it has ended"
    assert reached == []


def test_an_operation_that_is_left_alone_by_its_stream_ends_at_its_next_progress() -> None:
    free, may_go_on, told = places(), threading.Event(), threading.Event()

    def work(progress: Callable[[int, int], None]) -> None:
        progress(1, 2)
        told.set()
        assert may_go_on.wait(10)
        progress(2, 2)

    following = LongOperation(work, free, ME).follow(fake_call())
    assert told.wait(10)
    assert next(following) == (1, 2)
    following.close()  # type: ignore[attr-defined]
    may_go_on.set()
    assert is_given_back(free)


def test_a_server_that_drains_ends_the_stream_of_an_operation() -> None:
    call, may_end = fake_call(), threading.Event()
    call.is_draining = True
    operation = LongOperation(waiting_for(may_end), places(), ME)
    with pytest.raises(errors.UnavailableError):
        list(operation.follow(call))
    may_end.set()


def test_more_operations_than_there_are_places_for_are_refused() -> None:
    free = places(1)
    may_end = threading.Event()
    first = LongOperation(waiting_for(may_end), free, ME)
    with pytest.raises(errors.OverloadedError):
        LongOperation(lambda _: None, free, "another")
    may_end.set()
    assert list(first.follow(fake_call())) == []


def test_one_key_leaves_places_to_the_others() -> None:
    free = Places(3, 2)
    free.take("one")
    free.take("one")
    with pytest.raises(errors.OverloadedError, match="this key has 2"):
        free.take("one")
    free.take("other")
    with pytest.raises(errors.OverloadedError, match="3 long operations"):
        free.take("third")
    free.give_back("one")
    free.take("one")
