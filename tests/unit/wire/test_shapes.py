"""Messages whose parts do not fit together are refused by an error that names the field."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from vecdb import F, errors
from vecdb._pb.v1 import (
    collection_pb2,
    collection_service_pb2,
    filter_pb2,
    ids_pb2,
    metadata_pb2,
    record_pb2,
    record_service_pb2,
    search_service_pb2,
    vectors_pb2,
)
from vecdb.config import BATCH_RECORDS_MAX, FILTER_DEPTH_MAX, FILTER_NODES_MAX, METADATA_BYTES_MAX, METADATA_DEPTH_MAX
from vecdb.kernels import layout
from vecdb.wire import arrays, collections, filters, ids, metadata, records, searches, vectors, writes
from vecdb.wire import hits as wire_hits

FLOAT32, FLOAT16 = vectors_pb2.VECTOR_TYPE_FLOAT32, vectors_pb2.VECTOR_TYPE_FLOAT16
Vectors = vectors_pb2.Vectors


@pytest.mark.parametrize(
    ("message", "error", "where"),
    [
        (Vectors(dim=3), errors.InvalidVectorError, "v"),
        (Vectors(dim=3, data=b"12345678"), errors.InvalidRequestError, "v.type"),
        (Vectors(dim=3, type=99, data=b""), errors.InvalidRequestError, "v.type"),  # type: ignore[arg-type]
        (Vectors(dim=3, type=FLOAT32, data=b"12345678"), errors.InvalidVectorError, "v"),
        (Vectors(dim=2, type=FLOAT32, data=b"1234567"), errors.InvalidVectorError, "v"),
        (Vectors(dim=0, type=FLOAT32, data=b"1234"), errors.DimensionMismatchError, "v.dim"),
        (Vectors(dim=2**32 - 1, type=FLOAT32, data=b"1234"), errors.InvalidVectorError, "v"),
        (Vectors(dim=2, floats=vectors_pb2.Floats(values=[1, 2, 3])), errors.InvalidVectorError, "v"),
    ],
    ids=["nothing set", "no type", "unknown type", "half a row", "half a number", "dim 0", "dim 2^32", "floats"],
)
def test_vectors_that_are_no_rows_are_refused(message: Any, error: type[errors.VecDBError], where: str) -> None:
    with pytest.raises(error) as caught:
        vectors.read_vectors(message, "v")
    assert caught.value.details["where"] == where


def test_a_huge_dimension_without_data_allocates_nothing() -> None:
    assert vectors.read_vectors(Vectors(dim=2**32 - 1, type=FLOAT32, data=b""), "v").shape == (0, 2**32 - 1)


def test_vectors_are_views_of_the_bytes_and_cannot_be_written() -> None:
    rows = vectors.read_vectors(Vectors(dim=2, type=FLOAT16, data=b"12345678"), "v")
    assert (rows.shape, rows.dtype.name) == ((2, 2), "float16")
    assert not rows.flags.writeable
    assert not rows.flags.owndata


def test_bytes_are_little_endian_everywhere() -> None:
    message = Vectors()
    vectors.put_vectors(message, np.array([[1.0, -2.0]], np.float32))
    assert message.data == b"\x00\x00\x80\x3f\x00\x00\x00\xc0"


@pytest.mark.parametrize("count", [0, 2, 3])
def test_a_search_takes_exactly_one_vector(count: int) -> None:
    with pytest.raises(errors.InvalidVectorError):
        vectors.read_query(Vectors(dim=1, type=FLOAT32, data=b"\0" * 4 * count), "query")


def field_vectors(positions: list[int], rows: int, field: str | None = None) -> vectors_pb2.FieldVectors:
    """A column of ones."""
    holder = record_pb2.RecordBatch()
    vectors.put_field_vectors(holder.vectors, field, np.ones((rows, 2), np.float32), positions)
    return holder.vectors[0]


@pytest.mark.parametrize(
    ("positions", "rows"),
    [([], 2), ([0, 0], 2), ([1, 0], 2), ([0, 3], 2), ([0, 1], 3), ([2**32 - 1], 1)],
    ids=["too few", "twice", "descending", "beyond", "more rows", "huge"],
)
def test_positions_that_do_not_fit_are_refused(positions: list[int], rows: int) -> None:
    with pytest.raises(errors.InvalidRequestError) as caught:
        vectors.read_field_vectors([field_vectors(positions, rows)], 3, "vectors")
    assert caught.value.details["where"].startswith("vectors[0]")


@pytest.mark.parametrize("names", [("a", "a"), (None, None), (None, "a"), ("a", None)])
def test_two_columns_for_one_field_are_refused(names: tuple[str | None, str | None]) -> None:
    with pytest.raises(errors.InvalidRequestError):
        vectors.read_field_vectors([field_vectors([], 1, name) for name in names], 1, "vectors")


# --- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        ids_pb2.RecordIds(),
        ids_pb2.RecordIds(packed_ints=b"1234567"),
        ids_pb2.RecordIds(packed_uuids=b"1" * 17),
        ids_pb2.RecordIds(mixed=ids_pb2.MixedIds(values=[ids_pb2.RecordId()])),
        ids_pb2.RecordIds(mixed=ids_pb2.MixedIds(values=[ids_pb2.RecordId(uuid=b"short")])),
    ],
    ids=["nothing set", "half an int", "half a UUID", "no id", "short UUID"],
)
def test_ids_that_are_none_are_refused(message: ids_pb2.RecordIds) -> None:
    with pytest.raises(errors.InvalidIdError) as caught:
        ids.read_ids(message, "ids")
    assert caught.value.details["where"].startswith("ids")


@pytest.mark.parametrize(
    "joined",
    [b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x92\x01", b"\x80", b"\x91\xd8\x04" + bytes(16), b"\x91\xd4\x03\x00"],
    ids=["no msgpack", "bomb", "cut off", "a map", "another extension", "a short UUID"],
)
def test_joined_ids_that_are_none_are_refused(joined: bytes) -> None:
    with pytest.raises(errors.InvalidIdError, match="joined"):
        ids.read_joined_ids(ids_pb2.RecordIds(joined=joined), "ids")


def test_a_request_with_joined_ids_is_refused() -> None:
    message = ids_pb2.RecordIds()
    ids.put_joined_ids(message, [1, "a"])
    with pytest.raises(errors.InvalidIdError, match="packed_ints"):
        ids.read_ids(message, "ids")


def test_a_uuid_is_the_extension_that_kernels_write() -> None:
    assert ids.UUID_EXTENSION == layout.UUID_EXTENSION


@pytest.mark.parametrize("form", ["packed_ints", "packed_uuids", "texts"])
def test_more_ids_than_a_call_takes_are_refused_before_they_are_listed(form: str) -> None:
    count = BATCH_RECORDS_MAX + 1
    message = ids_pb2.RecordIds()
    if form == "texts":
        message.texts.values.extend([""] * count)
    else:
        setattr(message, form, bytes((8 if form == "packed_ints" else 16) * count))
    with pytest.raises(errors.LimitExceededError):
        ids.read_ids(message, "ids")


@pytest.mark.parametrize("bad", [True, 1.5, None, -1, 2**64, "\ud800", b"a"])
def test_what_is_no_id_cannot_be_sent(bad: Any) -> None:
    with pytest.raises(errors.InvalidIdError, match=r"^ids\[1\]: "):
        ids.put_ids(ids_pb2.RecordIds(), [1, bad])
    with pytest.raises(errors.InvalidIdError, match=r"^ids\[1\]: "):
        writes.read_batch("default", [1, bad], np.ones((2, 2)), None)


# --- metadata ---------------------------------------------------------------------------------------------------------


def nested(levels: int, kind: str) -> metadata_pb2.MetadataColumn:
    """Metadata of so many levels."""
    column = metadata_pb2.MetadataColumn()
    value = column.plain.add().values["a"]
    for _ in range(levels - 1):
        value = value.list.values.add() if kind == "list" else value.dict.values["a"]
    value.integer = 1
    return column


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_metadata_may_be_as_deep_as_the_engine_takes_it(kind: str) -> None:
    assert metadata.read_metadata(nested(METADATA_DEPTH_MAX, kind), 1, "metadata")


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_metadata_that_is_deeper_is_refused_before_it_is_read(kind: str) -> None:
    with pytest.raises(errors.InvalidMetadataError, match="deeper"):
        metadata.read_metadata(nested(METADATA_DEPTH_MAX + 1, kind), 1, "metadata")


@pytest.mark.parametrize(
    "packed",
    [
        b"\xc1",
        b"\x81\xa1a",
        b"\x90",
        b"\x80\x80",
        b"\x81\x01\x01",
        b"\x81\xa1a\xa1\xff",
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a" + b"\x91" * 10_000,
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xc5\xff\xff" + bytes(METADATA_BYTES_MAX),
    ],
    ids=["no msgpack", "cut off", "list", "two maps", "int key", "no UTF-8", "bomb", "deep", "map bomb", "too large"],
)
def test_packed_metadata_that_is_none_is_refused(packed: bytes) -> None:
    column = metadata_pb2.MetadataColumn(packed=[b"\x80", packed])
    with pytest.raises(errors.InvalidMetadataError) as caught:
        metadata.read_metadata(column, 2, "metadata")
    assert caught.value.details["where"] == "metadata.packed[1]"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_metadata_of_another_number_of_records_is_refused(count: int) -> None:
    with pytest.raises(errors.InvalidMetadataError):
        metadata.read_metadata(metadata_pb2.MetadataColumn(packed=[b"", b""]), count, "metadata")


def test_metadata_in_both_forms_is_refused() -> None:
    column = metadata_pb2.MetadataColumn(packed=[b""], plain=[metadata_pb2.Metadata()])
    with pytest.raises(errors.InvalidMetadataError):
        metadata.read_metadata(column, 2, "metadata")


def test_a_value_that_is_not_set_is_refused() -> None:
    column = metadata_pb2.MetadataColumn()
    column.plain.add().values["a"].SetInParent()
    with pytest.raises(errors.InvalidMetadataError, match="null"):
        metadata.read_metadata(column, 1, "metadata")


@pytest.mark.parametrize(("seconds", "nanos"), [(2**63 - 1, 0), (-(2**63), 0), (0, -1), (0, 10**9)])
def test_an_instant_outside_the_years_is_refused(seconds: int, nanos: int) -> None:
    column = metadata_pb2.MetadataColumn()
    instant = column.plain.add().values["a"].instant
    instant.seconds, instant.nanos = seconds, nanos
    with pytest.raises(errors.InvalidMetadataError):
        metadata.read_metadata(column, 1, "metadata")


# --- filters ----------------------------------------------------------------------------------------------------------


def negations(count: int) -> filter_pb2.Filter:
    """A condition under so many negations."""
    outer = filter_pb2.Filter()
    inner = outer
    for _ in range(count):
        inner.negated.SetInParent()
        inner = inner.negated
    inner.exists.path = "a"
    return outer


def test_a_filter_may_be_as_deep_as_the_engine_takes_it() -> None:
    message = filter_pb2.Filter.FromString(negations(FILTER_DEPTH_MAX - 1).SerializeToString())
    assert repr(filters.read_filter_message(message)).count("~") == FILTER_DEPTH_MAX - 1


def test_a_filter_of_alternating_lists_may_be_as_deep() -> None:
    wanted = F("a").exists()
    for level in range(FILTER_DEPTH_MAX - 1):
        wanted = (wanted | F("b").exists()) if level % 2 else (wanted & F("b").exists())
    request = search_service_pb2.SearchStreamRequest()
    searches.put_options(request.search.options, 1, filter=wanted)
    received = search_service_pb2.SearchStreamRequest.FromString(request.SerializeToString())
    assert repr(filters.read_filter_message(received.search.options.filter)) == repr(wanted)


@pytest.mark.parametrize("extra", [0, 40])
def test_a_filter_that_is_deeper_is_refused_without_descending(extra: int) -> None:
    with pytest.raises(errors.InvalidFilterError, match="deeper"):
        filters.read_filter_message(negations(FILTER_DEPTH_MAX + extra))


def test_a_filter_of_too_many_nodes_is_refused() -> None:
    message = filter_pb2.Filter()
    for _ in range(FILTER_NODES_MAX):
        message.all_of.parts.add().exists.path = "a"
    with pytest.raises(errors.InvalidFilterError, match="more than"):
        filters.read_filter_message(message)


Compare = filter_pb2.CompareFilter
ONE = metadata_pb2.Scalar(integer=1)
EQ = filter_pb2.COMPARISON_EQ


@pytest.mark.parametrize(
    "message",
    [
        filter_pb2.Filter(),
        filter_pb2.Filter(compare=Compare(path="a", value=ONE)),
        filter_pb2.Filter(compare=Compare(path="a", op=77, value=ONE)),  # type: ignore[arg-type]
        filter_pb2.Filter(compare=Compare(path="a", op=EQ)),
        filter_pb2.Filter(compare=Compare(path="", op=EQ, value=ONE)),
        filter_pb2.Filter(compare=Compare(path="a", op=EQ, value=metadata_pb2.Scalar(real=float("nan")))),
        filter_pb2.Filter(compare=Compare(path="a", op=EQ, value=metadata_pb2.Scalar(big_integer="9" * 41))),
        filter_pb2.Filter(compare=Compare(path="a", op=EQ, value=metadata_pb2.Scalar(big_integer="1e5"))),
        filter_pb2.Filter(is_in=filter_pb2.InFilter(path="a")),
        filter_pb2.Filter(contains=filter_pb2.ContainsFilter(path="a", values=metadata_pb2.Scalars())),
        filter_pb2.Filter(has_id=ids_pb2.RecordIds()),
        filter_pb2.Filter(has_id=ids_pb2.RecordIds(packed_ints=b"1")),
        filter_pb2.Filter(slice=filter_pb2.SliceFilter(index=1, count=1)),
        filter_pb2.Filter(size=filter_pb2.SizeFilter(path="a", op=EQ, count=2**63)),
        filter_pb2.Filter(geo_radius=filter_pb2.GeoRadiusFilter(path="a", meters=1)),
        filter_pb2.Filter(geo_polygon=filter_pb2.GeoPolygonFilter(path="a")),
        filter_pb2.Filter(match=filter_pb2.MatchFilter(path="a", text=" ")),
    ],
    ids=lambda message: re.sub(r"\s+", " ", str(message))[:40] or "nothing set",
)
def test_a_filter_that_cannot_mean_anything_is_refused(message: filter_pb2.Filter) -> None:
    with pytest.raises(errors.InvalidFilterError) as caught:
        filters.read_filter_message(message, "options.filter")
    assert caught.value.details["where"].startswith("options.filter")


# --- writes, records, hits, declarations ------------------------------------------------------------------------------


def test_insert_takes_no_conditions() -> None:
    message = record_pb2.RecordBatch(if_version=[record_pb2.VersionCondition(version=1)])
    with pytest.raises(errors.InvalidRequestError):
        writes.insert_arguments(message)


@pytest.mark.parametrize(
    "message", [record_pb2.RecordUpdate(), record_pb2.RecordDeletion()], ids=["update", "deletion"]
)
def test_a_write_without_a_target_is_refused(message: Any) -> None:
    read = writes.update_arguments if isinstance(message, record_pb2.RecordUpdate) else writes.delete_arguments
    with pytest.raises(errors.InvalidIdError):
        read(message)


def test_a_write_of_no_kind_is_refused() -> None:
    with pytest.raises(errors.InvalidRequestError) as caught:
        writes.read_operation(record_service_pb2.WriteOperation(collection="docs"), "operations[4]")
    assert caught.value.details["where"] == "operations[4]"


def test_an_expiry_of_not_never_is_refused() -> None:
    message = record_pb2.RecordUpdate(id=ids_pb2.RecordId(integer=1), expires_at=record_pb2.Expiry(never=False))
    with pytest.raises(errors.InvalidRequestError):
        writes.update_arguments(message)


@pytest.mark.parametrize("count", [1, 3])
def test_one_condition_stands_for_all_records(count: int) -> None:
    message = record_pb2.RecordBatch(if_version=[record_pb2.VersionCondition(version=7)])
    message.ids.ints.values.extend(range(count))
    assert writes.upsert_arguments(message)["if_version"] == (7 if count > 1 else [7])


def test_an_empty_update_of_metadata_is_told_from_none() -> None:
    message = record_pb2.RecordUpdate()
    writes.put_update(message, 1, metadata={})
    received = record_pb2.RecordUpdate.FromString(message.SerializeToString())
    assert writes.update_arguments(received) == {"id": 1, "metadata": {}}


def test_records_without_their_versions_are_refused() -> None:
    message = record_pb2.Records()
    message.ids.ints.values.extend([1, 2])
    with pytest.raises(errors.InvalidRequestError):
        records.read_records(message)


def test_positions_of_missing_records_must_fit() -> None:
    message = record_service_pb2.GetRecordsResponse(missing=[5])
    message.records.ids.texts.SetInParent()
    with pytest.raises(errors.InvalidRequestError):
        records.read_found(message)


@pytest.mark.parametrize("part", ["counts", "ids", "scores", "distances", "vectors"])
def test_hits_whose_columns_do_not_fit_are_refused(part: str) -> None:
    message = search_service_pb2.Hits(counts=[2])
    message.ids.ints.values.extend([1, 2])
    message.scores.data = message.distances.data = bytes(8)
    vectors.put_vectors(message.vectors, np.ones((2, 3), np.float32))
    assert wire_hits.read_hits(message, 1, with_metadata=False)
    message.ClearField(part)
    if part == "ids":
        message.ids.ints.values.append(1)
    if part == "vectors":
        vectors.put_vectors(message.vectors, np.ones((1, 3), np.float32))
    with pytest.raises(errors.InvalidRequestError):
        wire_hits.read_hits(message, 1, with_metadata=False)


def test_an_unknown_metric_is_refused_by_name() -> None:
    message = collection_service_pb2.CreateCollectionRequest(name="docs")
    message.fields.add(dim=3, metric=9)
    with pytest.raises(errors.InvalidRequestError) as caught:
        collections.create_arguments(message)
    assert caught.value.details["where"] == "fields[0].metric"


@pytest.mark.parametrize("names", [("a", "a"), ("a", None), (None, None)])
def test_fields_of_a_declaration_need_names_of_their_own(names: tuple[str | None, ...]) -> None:
    fields = [collection_pb2.Field(name=name, dim=3) for name in names]
    with pytest.raises(errors.InvalidRequestError):
        collections.create_arguments(collection_service_pb2.CreateCollectionRequest(name="docs", fields=fields))


def joined(*entries: bytes) -> metadata_pb2.MetadataColumn:
    """A column of a reply with these entries."""
    return metadata_pb2.MetadataColumn(joined=arrays.array_head(len(entries)) + b"".join(entries))


def test_joined_metadata_is_read_as_that_of_one_entry_for_each_record() -> None:
    entries = [b"\x81\xa1a\x01", b"\x80", b"\x81\xa1b\xa1x"]
    wanted = metadata.read_metadata(metadata_pb2.MetadataColumn(packed=entries), 3, "metadata")
    assert metadata.read_metadata(joined(*entries), 3, "metadata", is_reply=True) == wanted


@pytest.mark.parametrize(
    "column",
    [
        joined(b"\x80"),
        joined(b"\x80", b"\x01"),
        joined(b"\x80", b"\x81\xa1a"),
        joined(b"\x80", b"\x81\xa1a" + b"\x91" * 100_000),
        metadata_pb2.MetadataColumn(joined=b"\xdd\xff\xff\xff\xff"),
        metadata_pb2.MetadataColumn(joined=joined(b"\x80", b"\x80").joined, packed=[b"", b""]),
    ],
    ids=["too few", "no map", "cut off", "deep", "bomb", "two forms"],
)
def test_joined_metadata_that_does_not_fit_is_refused(column: metadata_pb2.MetadataColumn) -> None:
    with pytest.raises(errors.InvalidMetadataError, match="joined"):
        metadata.read_metadata(column, 2, "metadata", is_reply=True)


def test_a_request_with_joined_metadata_is_refused() -> None:
    with pytest.raises(errors.InvalidMetadataError, match="plain or packed"):
        metadata.read_metadata(joined(b"\x80"), 1, "metadata")
