"""Declarations, indexes, statistics and reports come back as they were."""

from __future__ import annotations

from typing import Any

import pytest

from vecdb import config
from vecdb._pb.v1 import admin_service_pb2, collection_pb2, collection_service_pb2
from vecdb.types import CollectionStats, Field, FieldStats, IndexInfo, RecallReport, VerifyReport
from vecdb.wire import admin, collections

TEXT = Field(dim=3, metric="dot", dtype="float16", m=8, ef_construction=50, builder="hnswlib", layout="compact")
IMAGE = Field(dim=2, metric="l2")


def sent(message: Any) -> Any:
    """The message as the other side gets it."""
    return type(message).FromString(message.SerializeToString())


def test_a_collection_comes_back_as_it_was_declared() -> None:
    indexes = (IndexInfo("a.b", "keyword", ready=True), IndexInfo("place", "geo", ready=False))
    message = collection_pb2.Collection()
    fields = {"text": TEXT, "image": IMAGE}
    collections.put_collection(message, "docs", fields, "x.y", indexes, main_field="text")
    read = collections.read_collection(sent(message))
    assert list(read.fields.items()) == [("text", TEXT), ("image", IMAGE)]
    assert (read.name, read.ttl_field, read.indexes, read.main_field) == ("docs", "x.y", indexes, "text")


def test_a_declaration_of_named_fields_arrives_as_one() -> None:
    message = collection_service_pb2.CreateCollectionRequest()
    collections.put_declaration(message, "docs", {"text": TEXT, "image": IMAGE}, ttl_field="x", exist_ok=True)
    assert collections.create_arguments(sent(message)) == {
        "name": "docs",
        "fields": {"text": TEXT, "image": IMAGE},
        "ttl_field": "x",
        "exist_ok": True,
    }


def test_a_field_without_a_name_is_the_only_one_and_has_the_defaults() -> None:
    message = collection_service_pb2.CreateCollectionRequest(name="docs", fields=[collection_pb2.Field(dim=5)])
    read = collections.create_arguments(message)
    assert Field(
        **{part: read[part] for part in ("dim", "metric", "dtype", "m", "ef_construction", "builder", "layout")}
    ) == (Field(dim=5))
    assert read["ttl_field"] is None


@pytest.mark.parametrize("kind", ["keyword", "int", "float", "bool", "datetime", "text", "geo"])
def test_an_index_arrives_with_its_kind(kind: str) -> None:
    message = collection_service_pb2.CreateIndexRequest(exist_ok=True)
    collections.put_index_path(message, "a.b", kind)
    read = collections.create_index_arguments(sent(message))
    assert read == {"path": "a.b", "kind": kind, "exist_ok": True, "wait": True}


@pytest.mark.parametrize("kind", [None, "int"])
def test_dropping_indexes_may_name_a_kind_or_mean_all(kind: str | None) -> None:
    message = collection_service_pb2.DropIndexRequest()
    collections.put_index_path(message, "a", kind)
    assert collections.drop_index_arguments(sent(message)) == {"path": "a", "kind": kind}


def test_statistics_come_back_as_they_were() -> None:
    one = FieldStats(rows=5, segments=2, segment_rows=(3, 2), tail_rows=1, dead_rows=4, index_bytes=2**40)
    other = FieldStats(rows=0, segments=0, segment_rows=(), tail_rows=0, dead_rows=0, index_bytes=0)
    stats = CollectionStats(name="docs", records=6, seq=2**50, fields={"text": one, "image": other})
    message = admin_service_pb2.GetStatsResponse()
    admin.put_stats(message, stats)
    assert admin.read_stats(sent(message)) == stats


@pytest.mark.parametrize(("ef", "target"), [(None, None), (5, None), (None, 0.9)])
def test_a_report_of_recall_comes_back_as_it_was(ef: int | None, target: float | None) -> None:
    report = RecallReport(recall=0.98, low=0.9, high=1.0, k=10, sample=200, ef=ef, target_recall=target)
    message = admin_service_pb2.MeasureRecallResponse()
    admin.put_recall(message, report)
    assert admin.read_recall(sent(message)) == report


def test_what_measures_recall_arrives_as_it_was_given() -> None:
    message = admin_service_pb2.MeasureRecallRequest()
    admin.put_recall_request(message, 5, 20, ef=7, field="text", seed=3)
    assert admin.recall_arguments(sent(message)) == {"k": 5, "sample": 20, "ef": 7, "field": "text", "seed": 3}


def test_what_verify_found_comes_back_as_it_was() -> None:
    report = VerifyReport(pages=1, values=2, records=3, chunks=4, problems=("a", "b"), seconds=0.5)
    message = admin_service_pb2.VerifyResponse()
    admin.put_verify(message, report)
    assert admin.read_verify(sent(message)) == report


def test_every_limit_of_a_server_is_told() -> None:
    message = admin_service_pb2.ServerLimits()
    admin.put_limits(message, message_bytes_max=5, in_flight_bytes_max=6)
    assert all(getattr(message, field.name) > 0 for field in message.DESCRIPTOR.fields)
    assert message.limit_max == config.LIMIT_MAX
