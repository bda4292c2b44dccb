"""What tools such as grpcurl do: ask a server what it serves, and call it, without a line of generated code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.security.served import Served, outcome_of, served
from tests.unit.server.echo import SERVICES
from vecdb.server.keyfile import change_keys, make_key


class Reflected:
    """A server as it describes itself."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self.database)

    def method(self, service: str, name: str) -> Any:
        """The description of an RPC."""
        return self.pool.FindServiceByName(service).FindMethodByName(name)

    def call(self, service: str, name: str, /, **fields: Any) -> list[dict[str, Any]]:
        """Call an RPC with JSON, and return the replies as JSON."""
        method = self.method(service, name)
        request = json_format.ParseDict(fields, GetMessageClass(method.input_type)())
        replies = self._channel.unary_stream(
            f"/{service}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )(request, timeout=20)
        return [json_format.MessageToDict(reply, preserving_proto_field_name=True) for reply in replies]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("reflected"), reflection=True) as one:
        yield one


@pytest.fixture(scope="module")
def reflected(server: Served) -> Reflected:
    return Reflected(server.channel)


def test_all_services_are_listed(reflected: Reflected) -> None:
    names = set(reflected.database.get_services())
    assert names == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_described_as_it_is(reflected: Reflected, name: str) -> None:
    found, known = reflected.pool.FindServiceByName(name), SERVICES[name]
    described = [
        (one.name, one.input_type.full_name, one.client_streaming, one.server_streaming) for one in found.methods
    ]
    assert described == [
        (one.name, one.input_type.full_name, one.client_streaming, one.server_streaming) for one in known.methods
    ]


def test_messages_and_enums_are_described(reflected: Reflected) -> None:
    condition = reflected.pool.FindMessageTypeByName("vecdb.v1.Filter")
    assert [field.name for field in condition.oneofs_by_name["node"].fields][:3] == ["all_of", "any_of", "negated"]
    assert "METRIC_L2" in reflected.pool.FindEnumTypeByName("vecdb.v1.Metric").values_by_name


def test_a_collection_is_made_filled_and_searched_by_json_alone(reflected: Reflected, server: Served) -> None:
    declared = {"name": "described", "fields": [{"dim": "2", "metric": "METRIC_L2"}]}
    reflected.call("vecdb.v1.CollectionService", "CreateCollection", **declared)
    records = {
        "ids": {"ints": {"values": ["1", "2"]}},
        "vectors": [{"vectors": {"dim": 2, "floats": {"values": [0, 1, 1, 0]}}}],
        "metadata": {"plain": [{"values": {"t": {"text": "a"}}}, {"values": {"t": {"text": "b"}}}]},
    }
    [stored] = reflected.call("vecdb.v1.RecordService", "UpsertRecords", collection="described", records=records)
    [found] = reflected.call(
        "vecdb.v1.SearchService",
        "Search",
        collection="described",
        query={"dim": 2, "floats": {"values": [0, 1]}},
        options={
            "limit": "1",
            "filter": {"compare": {"path": "t", "op": "COMPARISON_EQ", "value": {"text": "b"}}},
            "with_metadata": True,
            "min_seq": stored["seq"],
        },
    )
    server.db.drop_collection("described")
    assert found["hits"]["counts"] == [1]
    assert found["hits"]["ids"] == {"ints": {"values": ["2"]}}
    assert found["hits"]["metadata"] == {"plain": [{"values": {"t": {"text": "b"}}}]}


def test_a_stream_is_read_by_json_alone(reflected: Reflected) -> None:
    parts = reflected.call("vecdb.v1.ExportService", "Export", collection="docs", page_size=30)
    assert [len(part["records"]["versions"]) for part in parts] == [30, 11]


def test_a_server_describes_nothing_unless_it_is_told_to(tmp_path: Any) -> None:
    with served(tmp_path) as quiet, pytest.raises(grpc.RpcError) as caught:
        ProtoReflectionDescriptorDatabase(quiet.channel).get_services()
    assert outcome_of(caught.value) == "UNIMPLEMENTED -"


def test_a_server_with_keys_describes_itself_only_to_those_who_have_one(tmp_path: Any) -> None:
    key, spoken = make_key("reader", {"docs": "read"})
    change_keys(str(tmp_path / "keys.json"), lambda _held: [key])
    path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    listing = b"\x3a\x01*"  # ServerReflectionRequest.list_services
    with served(tmp_path, reflection=True, keys=str(tmp_path / "keys.json")) as guarded:
        assert guarded.outcome(path, listing) == "UNAUTHENTICATED UNAUTHENTICATED"
        [reply] = guarded.call(path, listing, metadata=[("x-api-key", spoken)])
    assert b"vecdb.v1.SearchService" in reply
