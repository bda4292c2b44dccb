"""Plans of the reads: by id, in pages, by filter, counted and summed up.

Promises: a call whose reply would be too large for one message is made in parts; each part answers from one state.
Concurrency: as plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vecdb._pb.v1 import record_service_pb2 as pb
from vecdb.checks.ids import is_single_id, listed_ids
from vecdb.checks.options import check_count
from vecdb.client import methods
from vecdb.client.calling import call
from vecdb.client.plans import Plan
from vecdb.client.targets import Target, in_parts, is_too_large
from vecdb.config import ID_BYTES_MAX
from vecdb.errors import LimitExceededError
from vecdb.types import Aggregate, Page, Record
from vecdb.wire.ids import plain_id
from vecdb.wire.reads import (
    put_aggregate,
    put_condition,
    put_contains,
    put_facet,
    put_get,
    put_list,
    read_counts,
    read_figures,
)
from vecdb.wire.records import read_found, read_records


def get(target: Target, ids: Any, *, with_vectors: object, min_seq: object) -> Plan[Any]:
    """See `Collection.get`."""
    single = is_single_id(ids)
    listed = [ids] if single else listed_ids(ids, "give a str, int or UUID, or a list of them")
    seq = target.session.min_seq(min_seq)
    size = min(target.reply_rows(with_vectors=with_vectors), target.session.room_bytes // (2 * ID_BYTES_MAX))

    def ask(start: int, stop: int) -> Plan[list[Record | None]]:
        request = pb.GetRecordsRequest(collection=target.name)
        put_get(request, listed[start:stop], with_vectors=with_vectors, min_seq=seq)
        return read_found((yield from call(target.caller, methods.GET_RECORDS, request)))

    found = yield from in_parts(len(listed), size, ask)
    return found[0] if single else found


def contains(target: Target, record_id: object) -> Plan[bool]:
    """See `Collection.__contains__`."""
    request = pb.CountRecordsRequest(collection=target.name)
    put_contains(request, plain_id(record_id))
    request.min_seq = target.session.min_seq(None)
    return (yield from call(target.caller, methods.COUNT_RECORDS, request)).count > 0


def count(target: Target, wanted: object, *, strict: object, min_seq: object) -> Plan[int]:
    """See `Collection.count`."""
    request = pb.CountRecordsRequest(collection=target.name)
    put_condition(request, wanted, strict=strict, min_seq=target.session.min_seq(min_seq))
    return (yield from call(target.caller, methods.COUNT_RECORDS, request)).count


def scroll(target: Target, limit: object, cursor: str | None, options: Mapping[str, Any]) -> Plan[Page]:
    """See `Collection.scroll`; `options` are its keyword arguments."""
    wanted = check_count("limit", limit)
    seq = target.session.min_seq(options.get("min_seq"))
    size = target.reply_rows(with_vectors=options.get("with_vectors"))
    records: list[Record] = []
    while True:
        request = pb.ListRecordsRequest(collection=target.name)
        rows = min(size, wanted - len(records))
        put_list(request, rows, cursor, **{**options, "min_seq": seq})
        try:
            reply = yield from call(target.caller, methods.LIST_RECORDS, request)
        except LimitExceededError as error:
            if not is_too_large(error) or rows <= 1:
                raise
            size = (rows + 1) // 2
            continue
        records += read_records(reply.records)
        cursor = reply.next_page_token or None
        if cursor is None or len(records) >= wanted:
            return Page(records=tuple(records), cursor=cursor)


def facet(target: Target, path: str, *, wanted: object, limit: object, strict: object) -> Plan[dict[Any, int]]:
    """See `Collection.facet`."""
    request = pb.FacetRecordsRequest(collection=target.name)
    put_facet(request, path, filter=wanted, limit=limit, strict=strict)
    request.min_seq = target.session.min_seq(None)
    return read_counts((yield from call(target.caller, methods.FACET_RECORDS, request)))


def aggregate(target: Target, path: str, *, wanted: object, strict: object) -> Plan[Aggregate]:
    """See `Collection.aggregate`."""
    request = pb.AggregateRecordsRequest(collection=target.name)
    put_aggregate(request, path, filter=wanted, strict=strict)
    request.min_seq = target.session.min_seq(None)
    return read_figures((yield from call(target.caller, methods.AGGREGATE_RECORDS, request)))
