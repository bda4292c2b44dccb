"""Converts reads other than searches: pages, counts, facets, aggregates and exports, to messages and to arguments.

Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecdb._pb.v1 import export_service_pb2, record_service_pb2, vectors_pb2
from vecdb.checks.options import check_count, check_seq
from vecdb.config import ITERATE_PAGE_ROWS
from vecdb.errors import InvalidRequestError
from vecdb.filters import F, parse_path, read_filter
from vecdb.filters.nodes import Filter
from vecdb.types import Aggregate
from vecdb.wire.filters import put_filter, read_filter_message
from vecdb.wire.ids import read_ids
from vecdb.wire.scalars import Scalar, put_scalar, read_scalar
from vecdb.wire.writes import Arguments, put_lookup

# --- requests of a client ---------------------------------------------------------------------------------------------


def put_get(
    message: record_service_pb2.GetRecordsRequest, ids: object, *, with_vectors: object = False, min_seq: object = None
) -> int:
    """Fill a request with what `Collection.get` takes; returns how many ids it asks for."""
    count = put_lookup(message.ids, ids)
    message.with_vectors, message.encoding = bool(with_vectors), vectors_pb2.ENCODING_PACKED
    _put_seq(message, min_seq)
    return count


def put_list(
    message: record_service_pb2.ListRecordsRequest,
    limit: object,
    cursor: object = None,
    *,
    filter: object = None,  # noqa: A002 - the word for it everywhere
    order_by: object = None,
    descending: object = False,
    with_vectors: object = False,
    strict: object = False,
    min_seq: object = None,
) -> None:
    """Fill a request with what `Collection.scroll` takes."""
    message.page_size = check_count("limit", limit)
    if cursor is not None:
        message.page_token = _cursor(cursor)
    put_condition(message, filter, strict=strict, min_seq=min_seq)
    _put_order(message, order_by, descending)
    message.with_vectors, message.encoding = bool(with_vectors), vectors_pb2.ENCODING_PACKED


def put_export(
    message: export_service_pb2.ExportRequest,
    *,
    filter: object = None,  # noqa: A002 - as put_list
    order_by: object = None,
    descending: object = False,
    with_vectors: object = False,
    strict: object = False,
    page_token: str | None = None,
    min_seq: object = None,
) -> None:
    """Fill a request with what `Collection.iterate` takes; `page_token` continues a stream that broke."""
    put_condition(message, filter, strict=strict, min_seq=min_seq)
    _put_order(message, order_by, descending)
    message.with_vectors, message.encoding = bool(with_vectors), vectors_pb2.ENCODING_PACKED
    if page_token is not None:
        message.page_token = page_token


def put_condition(
    message: Any,
    filter: object,  # noqa: A002 - as put_list
    *,
    strict: object = False,
    min_seq: object = None,
) -> None:
    """Fill in the filter of a read, `strict` and `min_seq`."""
    wanted = read_filter(filter)
    if wanted is not None:
        put_filter(message.filter, wanted)
    message.strict = bool(strict)
    _put_seq(message, min_seq)


def put_facet(
    message: record_service_pb2.FacetRecordsRequest,
    path: str,
    *,
    filter: object = None,  # noqa: A002 - as put_list
    limit: object = None,
    strict: object = False,
) -> None:
    """Fill a request with what `Collection.facet` takes."""
    parse_path(path)
    message.path = path
    if limit is not None:
        message.limit = check_count("limit", limit)
    put_condition(message, filter, strict=strict)


def put_aggregate(
    message: record_service_pb2.AggregateRecordsRequest,
    path: str,
    *,
    filter: object = None,  # noqa: A002 - as put_list
    strict: object = False,
) -> None:
    """Fill a request with what `Collection.aggregate` takes."""
    parse_path(path)
    message.path = path
    put_condition(message, filter, strict=strict)


def put_contains(message: record_service_pb2.CountRecordsRequest, record_id: object) -> None:
    """Fill a request that counts the records of one id: `record_id in collection`."""
    wanted: Filter = F.id == record_id
    put_condition(message, wanted)


def _cursor(cursor: object) -> str:
    if not isinstance(cursor, str) or not cursor.isascii() or not cursor:
        raise InvalidRequestError("the cursor is not one that scroll returned; pass page.cursor as it is")
    return cursor


def _put_order(message: Any, path: object, descending: object) -> None:
    if path is None:
        return
    try:
        message.order_by.path, message.order_by.descending = path, bool(descending)
    except (TypeError, ValueError):
        raise InvalidRequestError(f"order_by is {path!r:.80}; give the path of an index that has an order") from None


def _put_seq(message: Any, min_seq: object) -> None:
    if min_seq is not None:
        message.min_seq = check_seq(min_seq)


# --- arguments for a collection ---------------------------------------------------------------------------------------


def get_arguments(message: record_service_pb2.GetRecordsRequest) -> Arguments:
    """Arguments of `Collection.get`."""
    return {
        "ids": read_ids(message.ids, "ids"),
        "with_vectors": message.with_vectors,
        "min_seq": message.min_seq or None,
    }


def count_arguments(message: record_service_pb2.CountRecordsRequest) -> Arguments:
    """Arguments of `Collection.count`."""
    return {**_condition(message), "min_seq": message.min_seq or None}


def facet_arguments(message: record_service_pb2.FacetRecordsRequest) -> Arguments:
    """Arguments of `Collection.facet` (which takes no min_seq: wait for it before)."""
    arguments = {"path": message.path, **_condition(message)}
    return {**arguments, "limit": message.limit} if message.HasField("limit") else arguments


def aggregate_arguments(message: record_service_pb2.AggregateRecordsRequest) -> Arguments:
    """Arguments of `Collection.aggregate` (which takes no min_seq: wait for it before)."""
    return {"path": message.path, **_condition(message)}


def scroll_arguments(message: record_service_pb2.ListRecordsRequest) -> Arguments:
    """Arguments of `Collection.scroll` but for `cursor`: what a page token stands for is the server's business."""
    arguments = {**_reading(message), "min_seq": message.min_seq or None}
    return {**arguments, "limit": message.page_size} if message.page_size else arguments


def export_arguments(message: export_service_pb2.ExportRequest) -> Arguments:
    """Arguments of `Collection.scroll` for each part of an export, but for `cursor`."""
    arguments = _reading(message)
    if message.HasField("slice"):
        part = F.slice(message.slice.index, message.slice.count)
        arguments["filter"] = part if arguments["filter"] is None else arguments["filter"] & part
    return {"limit": message.page_size or ITERATE_PAGE_ROWS, **arguments, "min_seq": message.min_seq or None}


def _reading(message: Any) -> Arguments:
    ordered = message.HasField("order_by")
    return {
        **_condition(message),
        "order_by": message.order_by.path if ordered else None,
        "descending": message.order_by.descending,
        "with_vectors": message.with_vectors,
    }


def _condition(message: Any) -> Arguments:
    wanted = read_filter_message(message.filter) if message.HasField("filter") else None
    return {"filter": wanted, "strict": message.strict}


# --- replies ----------------------------------------------------------------------------------------------------------


def put_counts(message: record_service_pb2.FacetRecordsResponse, counts: Mapping[Scalar, int]) -> None:
    """Fill a reply with the values of a facet."""
    for value, count in counts.items():
        entry = message.counts.add(count=count)
        put_scalar(entry.value, value)


def read_counts(message: record_service_pb2.FacetRecordsResponse) -> dict[Scalar, int]:
    """The values of a facet, the commonest first."""
    return {
        read_scalar(entry.value, f"counts[{number}].value"): entry.count for number, entry in enumerate(message.counts)
    }


def put_figures(message: record_service_pb2.AggregateRecordsResponse, figures: Aggregate) -> None:
    """Fill a reply with an aggregate."""
    message.count = figures.count
    put_scalar(message.sum, figures.sum)
    for name in ("min", "max"):
        value = getattr(figures, name)
        if value is not None:
            put_scalar(getattr(message, name), value)
    if figures.mean is not None:
        message.mean = figures.mean


def read_figures(message: record_service_pb2.AggregateRecordsResponse) -> Aggregate:
    """An aggregate."""
    return Aggregate(
        count=message.count,
        min=_number(message, "min"),
        max=_number(message, "max"),
        sum=_number(message, "sum") if message.HasField("sum") else 0,
        mean=message.mean if message.HasField("mean") else None,
    )


def _number(message: record_service_pb2.AggregateRecordsResponse, name: str) -> Any:
    return read_scalar(getattr(message, name), name) if message.HasField(name) else None
