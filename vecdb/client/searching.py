"""Plans of the searches.

Promises: vectors are converted once, and go over the wire as the bytes they are. A batch that is too large for one
message is made in parts, each of which answers from one state; so are the hits of one query, where these are too large.
Concurrency: as plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vecdb.checks.options import check_count
from vecdb.client import methods
from vecdb.client.calling import call
from vecdb.client.large_results import of_any_size
from vecdb.client.plans import Plan
from vecdb.client.targets import FLOAT_BYTES, Target, in_parts
from vecdb.config import BATCH_RECORDS_MAX, SEARCH_BATCH_MAX
from vecdb.types import BatchResult, SearchResult
from vecdb.wire.hits import read_hits
from vecdb.wire.searches import read_explain
from vecdb.wire.vectors import Rows, as_queries

HIT_BYTES: Final = 40
METADATA_BYTES: Final = 200
"""Guesses at what a hit takes in a reply; where it takes more, the server says so."""


def search(
    target: Target, query: object, limit: object, options: Mapping[str, Any], *, explain: object
) -> Plan[SearchResult]:
    """See `Collection.search`; `options` are the keyword arguments that a batch takes, too."""
    asked = {**options, "min_seq": target.session.min_seq(options["min_seq"])}

    def ask(given: Mapping[str, Any]) -> Plan[SearchResult]:
        request = target.requests.one(query, limit, given, explain=bool(explain))
        reply = yield from call(target.caller, methods.SEARCH, request)
        told = read_explain(reply.explain) if reply.HasField("explain") else None
        return read_hits(reply.hits, 1, with_metadata=bool(given["with_metadata"]), explain=told)[0]

    return (yield from of_any_size(target, asked, ask))


def search_batch(target: Target, queries: object, limit: object, options: Mapping[str, Any]) -> Plan[BatchResult]:
    """See `Collection.search_batch`."""
    hits = check_count("limit", limit)
    rows = as_queries(queries)
    asked = {**options, "min_seq": target.session.min_seq(options["min_seq"])}

    def ask_for(part: Rows, given: Mapping[str, Any]) -> Plan[list[SearchResult]]:
        reply = yield from call(target.caller, methods.SEARCH_BATCH, target.requests.batch(part, hits, given))
        return read_hits(reply.hits, len(part), with_metadata=bool(given.get("with_metadata")))

    def ask(start: int, stop: int) -> Plan[list[SearchResult]]:
        part = rows[start:stop]
        if len(part) != 1:
            return (yield from ask_for(part, asked))

        def ask_alone(given: Mapping[str, Any]) -> Plan[SearchResult]:
            return (yield from ask_for(part, given))[0]

        return [(yield from of_any_size(target, asked, ask_alone))]

    size = batch_size(target, rows.shape[-1], hits, options)
    found = yield from in_parts(len(rows), size, ask)
    return BatchResult(results=tuple(found), limit=hits)


def batch_size(target: Target, dim: int, hits: int, options: Mapping[str, Any]) -> int:
    """Queries that probably fit one request, and their hits one reply and the longest list of ids."""
    hit = HIT_BYTES
    if options.get("with_metadata"):
        hit += METADATA_BYTES
    if options.get("with_vectors"):
        hit += FLOAT_BYTES * dim
    room = target.session.room_bytes
    fitting = room // (FLOAT_BYTES * max(1, dim)), room // (hit * hits), BATCH_RECORDS_MAX // hits
    return max(1, min(SEARCH_BATCH_MAX, *fitting))
