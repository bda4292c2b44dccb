"""Converts statistics, reports and limits to messages and back.

Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vecdb import config
from vecdb._pb.v1 import admin_service_pb2, progress_pb2
from vecdb.checks.options import check_count, check_seed, check_timeout
from vecdb.types import CollectionStats, FieldStats, RecallReport, VerifyReport
from vecdb.wire.searches import put_effort, put_field_name
from vecdb.wire.vectors import put_queries, read_queries
from vecdb.wire.writes import Arguments

LIMITS: Final[dict[str, int]] = {
    "batch_records_max": config.BATCH_RECORDS_MAX,
    "batch_bytes_max": config.BATCH_BYTES_MAX,
    "search_batch_max": config.SEARCH_BATCH_MAX,
    "limit_max": config.LIMIT_MAX,
    "ef_max": config.EF_MAX,
    "dim_max": config.DIM_MAX,
    "metadata_bytes_max": config.METADATA_BYTES_MAX,
    "metadata_depth_max": config.METADATA_DEPTH_MAX,
    "id_bytes_max": config.ID_BYTES_MAX,
    "filter_depth_max": config.FILTER_DEPTH_MAX,
    "filter_nodes_max": config.FILTER_NODES_MAX,
    "filter_values_max": config.FILTER_VALUES_MAX,
    "collections_max": config.COLLECTIONS_MAX,
    "fields_max": config.FIELDS_MAX,
    "indexes_max": config.INDEXES_MAX,
}
"""The limits of the engine, which every server has."""


def put_limits(message: admin_service_pb2.ServerLimits, *, message_bytes_max: int, in_flight_bytes_max: int) -> None:
    """Fill a message with the limits of the engine and those that this server is configured to have."""
    for name, limit in LIMITS.items():
        setattr(message, name, limit)
    message.message_bytes_max, message.in_flight_bytes_max = message_bytes_max, in_flight_bytes_max


def put_progress(message: progress_pb2.Progress, done: int, total: int) -> None:
    """Fill a message with how far a long operation has come."""
    message.done, message.total = done, total


# --- statistics -------------------------------------------------------------------------------------------------------


def put_stats(message: admin_service_pb2.GetStatsResponse, stats: CollectionStats) -> None:
    """Fill a reply with statistics."""
    message.name, message.records, message.seq = stats.name, stats.records, stats.seq
    for name, field in stats.fields.items():
        message.fields.add(
            field=name,
            rows=field.rows,
            segments=field.segments,
            segment_rows=field.segment_rows,
            tail_rows=field.tail_rows,
            dead_rows=field.dead_rows,
            index_bytes=field.index_bytes,
            calibrated_with=field.calibrated_with,
        )


def read_stats(message: admin_service_pb2.GetStatsResponse) -> CollectionStats:
    """The statistics of a reply."""
    fields = {
        field.field: FieldStats(
            rows=field.rows,
            segments=field.segments,
            segment_rows=tuple(field.segment_rows),
            tail_rows=field.tail_rows,
            dead_rows=field.dead_rows,
            index_bytes=field.index_bytes,
            calibrated_with=field.calibrated_with,
        )
        for field in message.fields
    }
    return CollectionStats(name=message.name, records=message.records, seq=message.seq, fields=fields)


# --- recall -----------------------------------------------------------------------------------------------------------


def put_recall_request(
    message: admin_service_pb2.MeasureRecallRequest,
    k: object,
    sample: object,
    *,
    ef: object = None,
    target_recall: object = None,
    field: object = None,
    seed: object = 0,
) -> None:
    """Fill a request with what `Collection.measure_recall` takes."""
    message.k, message.sample = check_count("k", k), check_count("sample", sample)
    message.seed = check_seed(seed)
    put_effort(message, ef, target_recall)
    put_field_name(message, field)


def recall_arguments(message: admin_service_pb2.MeasureRecallRequest) -> Arguments:
    """Arguments of `Collection.measure_recall`."""
    options = [name for name in ("k", "sample", "ef", "target_recall", "field") if message.HasField(name)]
    return {**{name: getattr(message, name) for name in options}, "seed": message.seed}


def put_recall(message: admin_service_pb2.MeasureRecallResponse, report: RecallReport) -> None:
    """Fill a reply with a report of recall."""
    for name in ("recall", "low", "high", "k", "sample", "ef", "target_recall"):
        value = getattr(report, name)
        if value is not None:
            setattr(message, name, value)


def read_recall(message: admin_service_pb2.MeasureRecallResponse) -> RecallReport:
    """The report of a reply."""
    return RecallReport(
        recall=message.recall,
        low=message.low,
        high=message.high,
        k=message.k,
        sample=message.sample,
        ef=message.ef if message.HasField("ef") else None,
        target_recall=message.target_recall if message.HasField("target_recall") else None,
    )


def put_calibration(message: admin_service_pb2.CalibrateRequest, queries: object, field: object) -> None:
    """Fill a request with what `Collection.calibrate` takes."""
    if queries is not None:
        put_queries(message.queries, queries)
    put_field_name(message, field)


def calibration_arguments(message: admin_service_pb2.CalibrateRequest) -> Arguments:
    """Arguments of `Collection.calibrate`."""
    queries = read_queries(message.queries, "queries") if message.HasField("queries") else None
    return {"queries": queries, "field": message.field if message.HasField("field") else None}


# --- upkeep -----------------------------------------------------------------------------------------------------------


def put_wait(message: admin_service_pb2.WaitIndexedRequest, timeout_s: object) -> None:
    """Fill in the longest wait of `Collection.wait_indexed`, None for any."""
    if timeout_s is not None:
        message.timeout_s = check_timeout(timeout_s)


def put_verify(message: admin_service_pb2.VerifyResponse, report: VerifyReport) -> None:
    """Fill a reply with what `verify` found."""
    message.pages, message.values, message.records, message.chunks = (
        report.pages,
        report.values,
        report.records,
        report.chunks,
    )
    message.problems.extend(report.problems)
    message.seconds = report.seconds


def read_verify(message: admin_service_pb2.VerifyResponse) -> VerifyReport:
    """What `verify` found."""
    return VerifyReport(
        pages=message.pages,
        values=message.values,
        records=message.records,
        chunks=message.chunks,
        problems=tuple(message.problems),
        seconds=message.seconds,
    )


def put_graph(message: admin_service_pb2.GraphReport, report: Any) -> None:
    """Fill a message with a GraphReport of `vecdb.index`, or anything of its form."""
    message.rows, message.edges, message.levels = report.rows, report.edges, report.levels
    message.unreachable = report.unreachable
    message.problems.extend(report.problems)


Made = Any


def read_graph(message: admin_service_pb2.GraphReport, make: Callable[..., Made]) -> Made:
    """A report, made by a class with the fields of GraphReport."""
    return make(
        rows=message.rows,
        edges=message.edges,
        levels=message.levels,
        unreachable=message.unreachable,
        problems=tuple(message.problems),
    )
