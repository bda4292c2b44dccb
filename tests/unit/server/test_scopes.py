"""The table of scopes is complete, names what exists, and finds the collections of a request."""

from __future__ import annotations

from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.unit.server.echo import METHODS, SERVICES, message_of
from vecdb._pb.v1 import ingest_service_pb2, record_service_pb2, search_service_pb2
from vecdb.errors import PermissionDeniedError
from vecdb.server.principals import Principal
from vecdb.server.scopes import ANYWHERE, DATABASE, PUBLIC, RULES, named

OTHERS = [
    *health_pb2.DESCRIPTOR.services_by_name.values(),
    *reflection_pb2.DESCRIPTOR.services_by_name.values(),
]
ALL = {
    f"/{service.full_name}/{method.name}": method
    for service in (*SERVICES.values(), *OTHERS)
    for method in service.methods
}
WITH_PATH = [name for name, rule in RULES.items() if rule.about not in {PUBLIC, ANYWHERE, DATABASE}]


def test_every_method_of_every_service_has_a_rule_and_no_rule_is_left_over() -> None:
    assert set(RULES) == set(ALL)


def test_the_tests_know_every_service_of_the_protocol() -> None:
    packages = {name.rpartition(".")[0] for name in SERVICES}
    assert packages == {"vecdb.v1"}
    assert {name for name in RULES if name.startswith("/vecdb.")} == set(METHODS)


def test_only_health_is_public() -> None:
    assert {name.split("/")[1] for name, rule in RULES.items() if rule.is_public} == {"grpc.health.v1.Health"}


@pytest.mark.parametrize("name", WITH_PATH)
def test_the_path_of_a_rule_is_a_text_of_the_request(name: str) -> None:
    descriptor = ALL[name].input_type
    *above, last = RULES[name].about.split(".")
    for part in above:
        descriptor = descriptor.fields_by_name[part].message_type
    assert descriptor.fields_by_name[last].type == descriptor.fields_by_name[last].TYPE_STRING


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_request_with_a_collection_is_checked_by_it(name: str) -> None:
    """A rule that forgets the collection of its request would let a key on one collection into all."""
    fields = {field.name for field in ALL[name].input_type.fields}
    if "collection" in fields:
        assert RULES[name].about == "collection"


@pytest.mark.parametrize("name", WITH_PATH)
def test_a_request_that_names_another_collection_is_denied(name: str) -> None:
    rule = RULES[name]
    message = _naming(message_of(ALL[name].input_type)(), rule.about.split("."), "other")
    with pytest.raises(PermissionDeniedError):
        rule.check(Principal("p", {"docs": "admin"}), message)


@pytest.mark.parametrize("name", WITH_PATH)
def test_a_request_that_names_its_own_collection_is_allowed(name: str) -> None:
    rule = RULES[name]
    message = _naming(message_of(ALL[name].input_type)(), rule.about.split("."), "docs")
    rule.check(Principal("p", {"docs": rule.scope}), message)


def test_each_collection_of_a_transaction_is_looked_at() -> None:
    operations = [record_service_pb2.WriteOperation(collection=name) for name in ("docs", "other")]
    message = record_service_pb2.CommitTransactionRequest(operations=operations)
    rule = RULES["/vecdb.v1.RecordService/CommitTransaction"]
    with pytest.raises(PermissionDeniedError):
        rule.check(Principal("p", {"docs": "write"}), message)


def test_what_is_not_set_names_nothing() -> None:
    batch = ingest_service_pb2.IngestRequest(batch=ingest_service_pb2.IngestBatch())
    assert list(named(batch, "start.collection")) == []
    assert list(named(search_service_pb2.SearchStreamRequest(), "search.collection")) == []


def test_an_empty_name_needs_a_grant_on_everything() -> None:
    rule = RULES["/vecdb.v1.SearchService/Search"]
    with pytest.raises(PermissionDeniedError):
        rule.check(Principal("p", {"docs": "admin"}), search_service_pb2.SearchRequest())


def _naming(message: Any, path: list[str], name: str) -> Any:
    """`message` with the text `name` at `path`."""
    target = message
    for part in path[:-1]:
        target = getattr(target, part)
        if hasattr(target, "add"):
            target = target.add()
    setattr(target, path[-1], name)
    return message
