"""Answers vecdb.v1.AdminService: what the server is and holds, and upkeep.

Promises: a backup goes into a new directory under the one that the server was configured with; its name is checked by
the rule of names before it becomes part of a path. Damage is told to administrators only.
Concurrency: any thread; what sends progress has a thread of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import vecdb
from vecdb._pb.v1 import admin_service_pb2 as pb
from vecdb._pb.v1 import admin_service_pb2_grpc as pb_grpc
from vecdb.checks.declarations import check_name
from vecdb.checks.options import check_timeout
from vecdb.engine.interruption import interruptible
from vecdb.errors import AlreadyExistsError, NotConfiguredError, StorageError
from vecdb.server.long_operation import LongOperation, Work
from vecdb.wire.admin import (
    calibration_arguments,
    put_graph,
    put_limits,
    put_progress,
    put_recall,
    put_stats,
    put_verify,
    recall_arguments,
)

if TYPE_CHECKING:
    from vecdb.server.backing import Backing
    from vecdb.server.call import Call


class AdminService(pb_grpc.AdminServiceServicer):
    """All of AdminService."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing

    # --- what there is ---------------------------------------------------------------------------------------------

    def GetServerInfo(self, request: pb.GetServerInfoRequest, call: Call) -> pb.GetServerInfoResponse:
        config = self._backing.config
        with interruptible(call.check):
            self._backing.reach(request.min_seq)
        database = self._backing.database
        response = pb.GetServerInfoResponse(
            version=vecdb.__version__,
            seq=database.seq,
            durability=config.durability,
            database_uuid=database.uuid.bytes,
        )
        if call.principal.may("admin"):
            response.problems.extend(database.problems)
        put_limits(
            response.limits,
            message_bytes_max=config.max_message_bytes,
            in_flight_bytes_max=config.max_in_flight_bytes,
        )
        return response

    def GetStats(self, request: pb.GetStatsRequest, call: Call) -> pb.GetStatsResponse:
        with interruptible(call.check):
            self._backing.reach(request.min_seq)
        response = pb.GetStatsResponse()
        put_stats(response, self._backing.collection(request.collection).stats())
        return response

    def MeasureRecall(self, request: pb.MeasureRecallRequest, call: Call) -> pb.MeasureRecallResponse:
        response = pb.MeasureRecallResponse()
        with interruptible(call.check):
            self._backing.reach(request.min_seq)
            report = self._backing.collection(request.collection).measure_recall(**recall_arguments(request))
        put_recall(response, report)
        return response

    def Calibrate(self, request: pb.CalibrateRequest, call: Call) -> pb.CalibrateResponse:
        arguments = calibration_arguments(request)
        with interruptible(call.check):
            result = self._backing.collection(request.collection).calibrate(**arguments)
        return pb.CalibrateResponse(kept=result.count, seq=result.seq)

    # --- upkeep ----------------------------------------------------------------------------------------------------

    def Optimize(self, request: pb.OptimizeRequest, call: Call) -> Iterator[pb.OptimizeResponse]:
        target = self._backing.collection(request.collection) if request.collection else self._backing.database
        operation = self._begin(call, lambda progress: target.optimize(progress=progress))
        for done, total in operation.follow(call):
            response = pb.OptimizeResponse()
            put_progress(response.progress, done, total)
            yield response

    def WaitIndexed(self, request: pb.WaitIndexedRequest, call: Call) -> Iterator[pb.WaitIndexedResponse]:
        waits = [call.remaining_s, check_timeout(request.timeout_s) if request.HasField("timeout_s") else None]
        timeout = min((wait for wait in waits if wait is not None), default=None)
        collection = self._backing.collection(request.collection)
        operation = self._begin(call, lambda progress: collection.wait_indexed(timeout, progress=progress))
        for done, total in operation.follow(call):
            response = pb.WaitIndexedResponse()
            put_progress(response.progress, done, total)
            yield response

    def _begin(self, call: Call, work: Work) -> LongOperation:
        return LongOperation(work, self._backing.long_operations, call.principal.id)

    def Verify(self, request: pb.VerifyRequest, call: Call) -> pb.VerifyResponse:  # noqa: ARG002 - it has no options
        response = pb.VerifyResponse()
        with interruptible(call.check):
            put_verify(response, self._backing.database.verify())
        return response

    def ValidateGraphs(self, request: pb.ValidateGraphsRequest, call: Call) -> pb.ValidateGraphsResponse:
        response = pb.ValidateGraphsResponse()
        field = request.field if request.HasField("field") else None
        with interruptible(call.check):
            for report in self._backing.collection(request.collection).validate(field):
                put_graph(response.reports.add(), report)
        return response

    def Backup(self, request: pb.BackupRequest, call: Call) -> pb.BackupResponse:
        name = check_name("backup", request.name)
        if self._backing.config.backups is None:
            raise NotConfiguredError(
                "the server has no directory for backups; start it with --backups DIR", setting="backups"
            )
        directory = Path(self._backing.config.backups)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"the directory for backups cannot be made: {error.strerror}") from error
        call.check()
        try:
            self._backing.database.backup(directory / name, compact=request.compact, check=not request.skip_check)
        except AlreadyExistsError:
            raise AlreadyExistsError(f"there is a backup {name!r} already; choose another name", name=name) from None
        size = sum(file.stat().st_size for file in (directory / name).iterdir())
        return pb.BackupResponse(name=name, size_bytes=size)

    def Sync(self, request: pb.SyncRequest, call: Call) -> pb.SyncResponse:  # noqa: ARG002 - it has no options
        return pb.SyncResponse(seq=self._backing.database.sync())
