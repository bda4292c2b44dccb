"""Converts searches: options and queries to messages and to arguments for a collection, and hits to columns.

How hits are read again is in `hits`.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vecdb._pb.v1 import admin_service_pb2, search_service_pb2, vectors_pb2
from vecdb.checks.models import check_model
from vecdb.checks.options import check_count, check_ef, check_seq, check_target_recall
from vecdb.errors import FieldNotFoundError, InvalidRequestError
from vecdb.filters import read_filter
from vecdb.types import Explain, FilterStep, SearchResult, SegmentPlan
from vecdb.wire.choices import is_packed
from vecdb.wire.config import OPTIONS_KEPT_BYTES_MAX, OPTIONS_KEPT_MAX
from vecdb.wire.filters import put_filter, read_filter_message
from vecdb.wire.ids import put_ids, put_joined_ids
from vecdb.wire.metadata import put_stored
from vecdb.wire.models import put_model, read_model
from vecdb.wire.vectors import put_numbers, put_vectors
from vecdb.wire.writes import Arguments

# --- options ----------------------------------------------------------------------------------------------------------


def put_options(
    message: search_service_pb2.SearchOptions,
    limit: object,
    *,
    field: object = None,
    ef: object = None,
    target_recall: object = None,
    exact: object = False,
    filter: object = None,  # noqa: A002 - the word for it everywhere
    strict: object = False,
    with_metadata: object = False,
    with_vectors: object = False,
    min_seq: object = None,
    model: object = None,
) -> None:
    """Fill a message with the options of a search, and ask for a packed reply."""
    message.limit = check_count("limit", limit)
    put_effort(message, ef, target_recall)
    put_field_name(message, field)
    message.exact, message.strict = bool(exact), bool(strict)
    message.with_metadata, message.with_vectors = bool(with_metadata), bool(with_vectors)
    wanted = read_filter(filter)
    if wanted is not None:
        put_filter(message.filter, wanted)
    if min_seq is not None:
        message.min_seq = check_seq(min_seq)
    if model is not None:
        put_model(message.model, check_model(model))
    message.encoding = vectors_pb2.ENCODING_PACKED


def put_effort(
    message: search_service_pb2.SearchOptions | admin_service_pb2.MeasureRecallRequest,
    ef: object,
    target_recall: object,
) -> None:
    """Fill in the effort of a search: one of the two, or none."""
    if ef is not None and target_recall is not None:
        raise InvalidRequestError("give either ef= or target_recall=, not both")
    if ef is not None:
        message.ef = check_ef(ef)
    if target_recall is not None:
        message.target_recall = check_target_recall(target_recall)


def put_field_name(
    message: search_service_pb2.SearchOptions
    | admin_service_pb2.MeasureRecallRequest
    | admin_service_pb2.CalibrateRequest
    | admin_service_pb2.ValidateGraphsRequest,
    field: object,
) -> None:
    """Fill in the name of a field; None for the only one."""
    if field is None:
        return
    try:
        message.field = field  # type: ignore[assignment]  # what is no str is refused there
    except (TypeError, ValueError):
        raise FieldNotFoundError(f"field is {field!r:.80}, which is no name of a field") from None


class ReadOptions(NamedTuple):
    """Options of a search as arguments of `Collection.search` and `search_batch`, and the form of the reply."""

    arguments: Arguments
    is_packed: bool


def read_options(message: search_service_pb2.SearchOptions) -> ReadOptions:
    """What options ask for. Clients send the same ones again and again, so what they came to is kept."""
    key = message.SerializeToString()
    found = _known_options.get(key)
    if found is None:
        found = ReadOptions(_options(message, "options"), is_packed(message.encoding))
        if len(key) <= OPTIONS_KEPT_BYTES_MAX:
            if len(_known_options) >= OPTIONS_KEPT_MAX:
                _known_options.clear()
            _known_options[key] = found
    return found


def _options(message: search_service_pb2.SearchOptions, where: str) -> Arguments:
    """Only what is set: the engine has the defaults."""
    arguments: Arguments = {
        "exact": message.exact,
        "strict": message.strict,
        "with_metadata": message.with_metadata,
        "with_vectors": message.with_vectors,
        "min_seq": message.min_seq or None,
    }
    for option in ("limit", "field", "ef", "target_recall"):
        if message.HasField(option):
            arguments[option] = getattr(message, option)
    if message.HasField("filter"):
        arguments["filter"] = read_filter_message(message.filter, f"{where}.filter")
    if message.HasField("model"):
        arguments["model"] = read_model(message.model, f"{where}.model")
    return arguments


_known_options: dict[bytes, ReadOptions] = {}


# --- hits -------------------------------------------------------------------------------------------------------------


def put_columns(message: search_service_pb2.Hits, counts: Sequence[int], hits: SearchResult, *, packed: bool) -> None:
    """Fill a message with the hits of some queries, which are one after another in `hits`."""
    message.counts.extend(counts)
    if packed:
        put_joined_ids(message.ids, hits.ids)
    else:
        put_ids(message.ids, hits.ids, packed=False)
    put_numbers(message.scores, hits.scores, packed=packed)
    put_numbers(message.distances, hits.distances, packed=packed)
    if hits.metadata is not None:
        put_stored(message.metadata, hits.metadata, packed=packed)
    if hits.vectors is not None:
        put_vectors(message.vectors, hits.vectors, packed=packed)


# --- explain ----------------------------------------------------------------------------------------------------------


def put_explain(message: search_service_pb2.Explain, explain: Explain) -> None:
    """Fill a message with how a search was answered."""
    message.plan, message.ef = explain.plan, explain.ef
    message.tail_rows, message.segments = explain.tail_rows, explain.segments
    for stage, microseconds in explain.microseconds.items():
        message.times.add(stage=stage, microseconds=microseconds)
    if explain.matches is not None:
        message.matches = explain.matches
    message.remembered = explain.remembered
    for step in explain.steps:
        message.steps.add(clause=step.clause, how=step.how, matches=step.matches, microseconds=step.microseconds)
    for part in explain.parts:
        message.parts.add(
            where=part.where,
            plan=part.plan,
            rows=part.rows,
            matches=part.matches,
            estimated=part.estimated,
            ef=part.ef,
            scored=part.scored,
            hops=part.hops,
        )


def read_explain(message: search_service_pb2.Explain) -> Explain:
    """How a search was answered."""
    return Explain(
        plan=message.plan,
        ef=message.ef,
        tail_rows=message.tail_rows,
        segments=message.segments,
        microseconds={time.stage: time.microseconds for time in message.times},
        matches=message.matches if message.HasField("matches") else None,
        remembered=message.remembered,
        steps=tuple(FilterStep(step.clause, step.how, step.matches, step.microseconds) for step in message.steps),
        parts=tuple(
            SegmentPlan(
                where=part.where,
                plan=part.plan,
                rows=part.rows,
                matches=part.matches,
                estimated=part.estimated,
                ef=part.ef,
                scored=part.scored,
                hops=part.hops,
            )
            for part in message.parts
        ),
    )
