"""Requests that are no messages, or messages without meaning: refused by RPCs of every kind, and nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor

from tests.fuzz.mutations import sites, varint
from tests.security.served import PATHS, VALID, Served, request_of, served
from vecdb._pb.v1 import filter_pb2, record_pb2, record_service_pb2, search_service_pb2

MALFORMED = "INVALID_ARGUMENT MALFORMED_REQUEST"
VECTOR = "INVALID_ARGUMENT INVALID_VECTOR"
LAST_FIELD = (1 << 29) - 1

BROKEN = {
    "a tag that never ends": b"\xff" * 11,
    "a tag that is cut off": b"\x80",
    "wire type 6": varint(LAST_FIELD << 3 | 6),
    "wire type 7": varint(LAST_FIELD << 3 | 7),
    "a varint of 11 bytes": varint(LAST_FIELD << 3) + b"\x80" * 10 + b"\x01",
    "a group that never ends": varint(LAST_FIELD << 3 | 3),
    "an end of no group": varint(LAST_FIELD << 3 | 4),
    "8 bytes that are 7": varint(LAST_FIELD << 3 | 1) + bytes(7),
    "a length beyond the end": varint(LAST_FIELD << 3 | 2) + b"\x05abc",
    "a length of 2 GiB": varint(LAST_FIELD << 3 | 2) + varint(1 << 31),
    "a length of 64 bits": varint(LAST_FIELD << 3 | 2) + varint((1 << 64) - 1),
    "groups without end": varint(LAST_FIELD << 3 | 3) * 10_000,
}
"""What no parser takes, whatever message it is appended to."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("malformed")) as one:
        yield one


every_rpc = pytest.mark.parametrize("rpc", sorted(PATHS))


@every_rpc
def test_what_is_no_message_is_refused(server: Served, rpc: str) -> None:
    valid = VALID[rpc][0][0].SerializeToString()
    with server.unchanged():
        outcomes = {what: server.outcome(rpc, valid + broken) for what, broken in BROKEN.items()}
    assert outcomes == dict.fromkeys(BROKEN, MALFORMED)


@pytest.mark.parametrize("rpc", ["SearchStream", "Ingest"])
def test_what_is_no_message_ends_a_stream_at_its_place(server: Served, rpc: str) -> None:
    first, *_ = (message.SerializeToString() for message in VALID[rpc][0])
    for broken in BROKEN.values():
        with server.unchanged():
            replies = server.channel.stream_stream(PATHS[rpc])(iter([first, first + broken]), timeout=20)
            assert next(replies)
            assert server.outcome(rpc, first, first + broken) == MALFORMED
            replies.cancel()


@every_rpc
def test_a_text_that_is_no_utf8_is_refused(server: Served, rpc: str) -> None:
    message = VALID[rpc][0][0]
    texts = [field for field in message.DESCRIPTOR.fields if field.type == FieldDescriptor.TYPE_STRING]
    for field in texts:
        with server.unchanged():
            assert server.outcome(rpc, varint(field.number << 3 | 2) + b"\x03a\xff\xfe") == MALFORMED


@every_rpc
def test_a_request_cut_off_anywhere_is_refused_or_means_less(server: Served, rpc: str) -> None:
    """Cut between two fields it is a message: then it is answered or refused as that message."""
    body = VALID[rpc][0][0].SerializeToString()
    places = sorted({len(body) * share // 17 for share in range(17)})
    outcomes = [server.outcome(rpc, body[:place]) for place in places]
    codes = {outcome.partition(" ")[0] for outcome in outcomes}
    assert codes <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "DEADLINE_EXCEEDED"}
    assert "-" not in {outcome.partition(" ")[2] for outcome in outcomes}


@pytest.mark.parametrize("rpc", sorted(set(PATHS) - {"SearchStream", "Ingest"}))
def test_only_one_message_of_a_single_request_counts(server: Served, rpc: str) -> None:
    assert server.outcome(rpc) == MALFORMED


# --- values that the protocol does not know ---------------------------------------------------------------------------


Place = tuple[int, int, Any]
"""A conversation of an RPC, a field or message within it by its number, and what is wrong with that."""


def _copied(rpc: str, number: int) -> list[Any]:
    return [type(message).FromString(message.SerializeToString()) for message in VALID[rpc][number]]


def _owners(messages: list[Any]) -> list[Any]:
    """The messages within some messages, themselves included, always in the same order."""
    return list({id(owner): owner for message in messages for owner, _ in sites(message)}.values())


def _outcome(server: Served, rpc: str, messages: list[Any]) -> str:
    """How the conversation ends; what a stream tells within itself counts."""
    bodies = [message.SerializeToString() for message in messages]
    if rpc == "SearchStream":
        replies = [search_service_pb2.SearchStreamResponse.FromString(raw) for raw in server.call(rpc, *bodies)]
        return next((f"INVALID_ARGUMENT {one.error.reason}" for one in replies if one.HasField("error")), "OK")
    return server.outcome(rpc, *bodies)


TOLD_IN_THE_STREAM = {"Ingest"}
"""What is wrong with one batch ends only that; batches are read as those of UpsertRecords are."""

UNUSED = {"vecdb.v1.Vectors.type"}
"""Of vectors that are numbers, which have no type."""


def _enums(rpc: str) -> Iterator[Place]:
    for number in range(len(VALID[rpc])):
        for place, owner in enumerate(_owners(_copied(rpc, number))):
            for field in owner.DESCRIPTOR.fields:
                is_unused = field.full_name in UNUSED and owner.HasField("floats")
                if field.type == FieldDescriptor.TYPE_ENUM and not is_unused:
                    yield number, place, field


ENUMS = {rpc: list(_enums(rpc)) for rpc in sorted(set(PATHS) - TOLD_IN_THE_STREAM)}


@pytest.mark.parametrize("rpc", [rpc for rpc in ENUMS if ENUMS[rpc]])
@pytest.mark.parametrize("wrong", [99, -1])
def test_a_value_that_an_enum_does_not_have_is_refused(server: Served, rpc: str, wrong: int) -> None:
    outcomes = {}
    with server.unchanged():
        for number, place, field in ENUMS[rpc]:
            messages = _copied(rpc, number)
            setattr(_owners(messages)[place], field.name, wrong)
            outcomes[field.full_name, number, place] = _outcome(server, rpc, messages)
    accepted = {where: outcome for where, outcome in outcomes.items() if outcome not in REFUSED}
    assert not accepted


REFUSED = {
    f"INVALID_ARGUMENT {kind}"
    for kind in ("INVALID_REQUEST", "INVALID_FILTER", "INVALID_VECTOR", "INVALID_METADATA", "INVALID_ID")
}
MAY_BE_UNSET = {"vecdb.v1.Expiry.expiry"}
"""Choices that mean something when nothing is chosen."""


def _choices(rpc: str) -> Iterator[Place]:
    for number in range(len(VALID[rpc])):
        for place, owner in enumerate(_owners(_copied(rpc, number))):
            for choice in owner.DESCRIPTOR.oneofs:
                is_optional = choice.name.startswith("_")  # the compiler's own, of `optional` fields
                if not is_optional and owner.WhichOneof(choice.name) and choice.full_name not in MAY_BE_UNSET:
                    yield number, place, choice


CHOICES = {rpc: list(_choices(rpc)) for rpc in sorted(set(PATHS) - TOLD_IN_THE_STREAM)}


@pytest.mark.parametrize("rpc", [rpc for rpc in CHOICES if CHOICES[rpc]])
def test_a_choice_that_is_not_made_is_refused(server: Served, rpc: str) -> None:
    outcomes = {}
    with server.unchanged():
        for number, place, choice in CHOICES[rpc]:
            messages = _copied(rpc, number)
            owner = _owners(messages)[place]
            owner.ClearField(owner.WhichOneof(choice.name))
            outcomes[choice.full_name, number, place] = _outcome(server, rpc, messages)
    accepted = {where: outcome for where, outcome in outcomes.items() if outcome not in REFUSED}
    assert not accepted


# --- vectors ----------------------------------------------------------------------------------------------------------


def vectors_of(request: Any) -> Any:
    """The vectors of a request."""
    return request.query if hasattr(request, "query") else request.records.vectors[0].vectors


WRONG_VECTORS: dict[str, dict[str, Any]] = {
    "a byte too few": {"data": bytes(15)},
    "a byte too many": {"data": bytes(17)},
    "half a row": {"data": bytes(8)},
    "no bytes": {"data": b""},
    "no components": {},
    "no numbers": {"floats": {}},
    "a number too few": {"floats": {"values": [1, 2, 3]}},
    "no dimension": {"dim": 0, "data": bytes(16)},
    "a dimension of 32 bits": {"dim": 2**32 - 1, "data": bytes(16)},
    "another type": {"type": 2, "data": bytes(16)},
    "no type": {"type": 0, "data": bytes(16)},
    "two rows for one": {"data": np.ones(8, "<f4").tobytes()},
    "NaN": {"data": np.full(4, np.nan, "<f4").tobytes()},
    "infinity": {"floats": {"values": [1, 2, float("inf"), 4]}},
    "a wrong dimension": {"dim": 2, "data": bytes(8)},
    "beyond what distances hold": {"data": np.full(4, 1e30, "<f4").tobytes()},
}
OF_VECTORS = {
    f"INVALID_ARGUMENT {kind}"
    for kind in ("INVALID_VECTOR", "NON_FINITE_VECTOR", "DIMENSION_MISMATCH", "INVALID_REQUEST", "LIMIT_EXCEEDED")
}


@pytest.mark.parametrize("what", WRONG_VECTORS)
def test_vectors_that_are_none_are_refused(server: Served, what: str) -> None:
    search, upsert = request_of("Search", 1), record_service_pb2.UpsertRecordsRequest(collection="docs")
    upsert.records.ids.ints.values.append(1)
    upsert.records.vectors.add()
    for rpc, request in (("Search", search), ("UpsertRecords", upsert)):
        message = vectors_of(request)
        message.Clear()
        message.MergeFrom(type(message)(**{"type": 1, "dim": 4, **WRONG_VECTORS[what]}))
        assert server.refuses(rpc, request) in OF_VECTORS, rpc


@pytest.mark.parametrize("positions", [[0, 3], [1, 0], [0, 0], [0], [0, 1, 2], [2**32 - 1, 0]])
def test_positions_that_do_not_fit_the_records_are_refused(server: Served, positions: list[int]) -> None:
    """`image` has two vectors for three records."""
    request = record_service_pb2.UpsertRecordsRequest(collection="both", records=_positioned(positions))
    assert server.refuses("UpsertRecords", request) in OF_VECTORS


def _positioned(positions: list[int]) -> record_pb2.RecordBatch:
    records = record_pb2.RecordBatch()
    records.CopyFrom(VALID["UpsertRecords"][2][0].records)
    del records.vectors[1].positions[:]
    records.vectors[1].positions.extend(positions)
    return records


@pytest.mark.parametrize("size", [1, 7, 9, 15, 17])
@pytest.mark.parametrize("form", ["packed_ints", "packed_uuids"])
def test_ids_that_are_cut_off_are_refused(server: Served, form: str, size: int) -> None:
    request = record_service_pb2.GetRecordsRequest(collection="docs", ids={form: bytes(size)})
    assert server.refuses("GetRecords", request) == "INVALID_ARGUMENT INVALID_ID"


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("column", ["metadata", "vectors", "if_version", "expires_at"])
def test_a_column_of_another_length_is_refused(server: Served, column: str, count: int) -> None:
    """Of two records. One condition or expiry counts for all."""
    request = record_service_pb2.UpsertRecordsRequest(collection="docs")
    request.records.ids.ints.values.extend([1, 2])
    request.records.vectors.add().vectors.MergeFrom(_rows(count if column == "vectors" else 2))
    if column == "metadata":
        request.records.metadata.packed.extend([b"\x80"] * count)
    elif column == "if_version":
        request.records.if_version.extend([record_pb2.VersionCondition()] * 3)
    elif column == "expires_at":
        request.records.expires_at.extend([record_pb2.Expiry(never=True)] * 3)
    assert server.refuses("UpsertRecords", request).startswith("INVALID_ARGUMENT INVALID_")


def _rows(count: int) -> Any:
    return type(request_of("Search").query)(type=1, dim=4, data=np.ones((count, 4), "<f4").tobytes())


# --- depth ------------------------------------------------------------------------------------------------------------


def enclosed(field: int, body: bytes, levels: int) -> bytes:
    """A message whose `field` is a message whose `field` is …, on the wire."""
    for _ in range(levels):
        body = varint(field << 3 | 2) + varint(len(body)) + body
    return body


@pytest.mark.parametrize(
    ("levels", "outcome"), [(40, "INVALID_FILTER"), (90, "INVALID_FILTER"), (10_000, "MALFORMED_REQUEST")]
)
def test_filters_within_filters_are_refused_at_any_depth(server: Served, levels: int, outcome: str) -> None:
    """Also where the parser itself descends no further."""
    query = request_of("Search", 1)
    query.ClearField("options")
    filters = enclosed(3, b"", levels)
    paths = {"CountRecords": [2], "ListRecords": [4], "Search": [3, 6], "DeleteRecords": [2, 2], "Export": [2]}
    for rpc, fields in paths.items():
        body = filters
        for field in reversed(fields):
            body = enclosed(field, body, 1)
        with server.unchanged():
            before = query.SerializeToString() if rpc == "Search" else b"\x0a\x04docs"
            assert server.outcome(rpc, before + body) == f"INVALID_ARGUMENT {outcome}", rpc
    assert filter_pb2.Filter.FromString(enclosed(3, b"", 2)).negated.HasField("negated")


@pytest.mark.parametrize("levels", [9, 20, 10_000])
def test_metadata_within_metadata_is_refused_at_any_depth(server: Served, levels: int) -> None:
    """Value.list.values of Value.list.values of …"""
    value = b"\x10\x01"
    for _ in range(levels * 2):
        value = enclosed(8, enclosed(1, value, 1), 1)
    entry = enclosed(1, b"\x0a\x01a" + enclosed(2, value, 1), 1)
    batch = enclosed(1, enclosed(1, b"\x0a\x01\x01", 1), 1) + enclosed(3, enclosed(1, entry, 1), 1)
    with server.unchanged():
        outcome = server.outcome("UpsertRecords", b"\x0a\x04docs" + enclosed(2, batch, 1))
    assert outcome in {MALFORMED, "INVALID_ARGUMENT INVALID_METADATA"}
