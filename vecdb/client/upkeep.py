"""Plans of statistics and upkeep.

Concurrency: as plans.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from vecdb._pb.v1 import admin_service_pb2 as pb
from vecdb.checks.options import check_timeout
from vecdb.client import methods
from vecdb.client.calling import Progress, call, follow
from vecdb.client.plans import Plan
from vecdb.client.session import Caller
from vecdb.client.targets import Target
from vecdb.config import CLIENT_TIMEOUT_S
from vecdb.errors import InvalidNameError
from vecdb.types import CollectionStats, GraphReport, RecallReport, VerifyReport, WriteResult
from vecdb.wire.admin import (
    put_calibration,
    put_recall_request,
    put_wait,
    read_graph,
    read_recall,
    read_stats,
    read_verify,
)
from vecdb.wire.searches import put_field_name

ALL: Final = ""
"""Of Optimize: every collection."""


def info(caller: Caller, *, timeout_s: float | None = None) -> Plan[pb.GetServerInfoResponse]:
    """What the server says of itself; its limits are remembered."""
    request = pb.GetServerInfoRequest(min_seq=caller.session.min_seq(None))
    reply = yield from call(caller, methods.SERVER_INFO, request, timeout_s=timeout_s)
    if reply.limits.message_bytes_max:
        caller.session.message_bytes_max = reply.limits.message_bytes_max
    return reply


def seq(caller: Caller) -> Plan[int]:
    """See `Database.seq`."""
    return (yield from info(caller)).seq


def identity(caller: Caller) -> Plan[UUID]:
    """See `Database.uuid`."""
    return UUID(bytes=(yield from info(caller)).database_uuid)


def problems(caller: Caller) -> Plan[tuple[str, ...]]:
    """See `Database.problems`."""
    return tuple((yield from info(caller)).problems)


def stats(target: Target) -> Plan[CollectionStats]:
    """See `Collection.stats`."""
    request = pb.GetStatsRequest(collection=target.name, min_seq=target.session.min_seq(None))
    return read_stats((yield from call(target.caller, methods.STATS, request)))


def measure_recall(
    target: Target,
    k: object,
    sample: object,
    *,
    ef: object,
    target_recall: object,
    field: object,
    seed: object,
) -> Plan[RecallReport]:
    """See `Collection.measure_recall`."""
    request = pb.MeasureRecallRequest(collection=target.name, min_seq=target.session.min_seq(None))
    put_recall_request(request, k, sample, ef=ef, target_recall=target_recall, field=field, seed=seed)
    limit = target.caller.long_timeout_s
    return read_recall((yield from call(target.caller, methods.MEASURE_RECALL, request, timeout_s=limit)))


def calibrate(target: Target, queries: object, field: object) -> Plan[WriteResult]:
    """See `Collection.calibrate`."""
    request = pb.CalibrateRequest(collection=target.name)
    put_calibration(request, queries, field)
    reply = yield from call(target.caller, methods.CALIBRATE, request, timeout_s=target.caller.long_timeout_s)
    target.session.saw(reply.seq)
    return WriteResult(seq=reply.seq, count=reply.kept)


def validate(target: Target, field: str | None) -> Plan[list[GraphReport]]:
    """See `Collection.validate`."""
    request = pb.ValidateGraphsRequest(collection=target.name)
    put_field_name(request, field)
    limit = target.caller.long_timeout_s
    reply = yield from call(target.caller, methods.VALIDATE, request, timeout_s=limit)
    return [read_graph(report, GraphReport) for report in reply.reports]


def optimize(caller: Caller, collection: str, progress: Progress | None) -> Plan[None]:
    """See `Collection.optimize` and (`ALL`) `Database.optimize`."""
    yield from follow(caller, methods.OPTIMIZE, pb.OptimizeRequest(collection=collection), progress)


def wait_indexed(target: Target, timeout_s: float | None, progress: Progress | None) -> Plan[None]:
    """See `Collection.wait_indexed`; the server keeps the time, the deadline of the call is later."""
    request = pb.WaitIndexedRequest(collection=target.name)
    put_wait(request, timeout_s)
    limit = target.caller.long_timeout_s
    if timeout_s is not None:
        limit = min(limit, check_timeout(timeout_s) + CLIENT_TIMEOUT_S)
    yield from follow(target.caller, methods.WAIT_INDEXED, request, progress, timeout_s=limit)


def verify(caller: Caller) -> Plan[VerifyReport]:
    """See `Database.verify`."""
    return read_verify((yield from call(caller, methods.VERIFY, pb.VerifyRequest(), timeout_s=caller.long_timeout_s)))


def backup(caller: Caller, name: Any, *, compact: object, check: object) -> Plan[None]:
    """Back the database up under a name, in the server's own directory of backups."""
    if not isinstance(name, str):
        raise InvalidNameError(f"the name of a backup is {type(name).__name__}; give a str such as 'monday'")
    request = pb.BackupRequest(name=name, compact=bool(compact), skip_check=not check)
    # Repeated, it would find what the first attempt left.
    yield from call(caller, methods.BACKUP, request, timeout_s=caller.long_timeout_s, surely_not_done=True)


def sync(caller: Caller) -> Plan[int]:
    """Wait until everything acknowledged is on the server's disk; the newest seq that is."""
    return (yield from call(caller, methods.SYNC, pb.SyncRequest(), timeout_s=caller.long_timeout_s)).seq
