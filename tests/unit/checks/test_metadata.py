"""Metadata: what is taken comes back equal, what is not is refused by name, and both are quick."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecdb.checks import metadata as module
from vecdb.checks.metadata import encode_metadata
from vecdb.config import METADATA_BYTES_MAX, METADATA_DEPTH_MAX
from vecdb.errors import InvalidMetadataError

texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
    st.datetimes(timezones=st.just(UTC)),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=20,
)


class Name(str):
    """A str subclass."""

    __slots__ = ()


class Colour(str, enum.Enum):  # noqa: UP042 - what many still write
    """An enum of strings, the old way."""

    RED = "red"


class Stamp(datetime):
    """A datetime subclass, as pandas has one."""


class Endless(Mapping[str, int]):
    """A mapping without an end."""

    def __init__(self) -> None:
        self.asked = 0

    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        while True:
            self.asked += 1
            yield str(self.asked)


def stored(metadata: object) -> Any:
    """What comes back."""
    return msgspec.msgpack.decode(bytes(encode_metadata(metadata, 0)))


def nested(depth: int) -> dict[str, Any]:
    """A dict with lists in it, `depth` containers deep."""
    inner: Any = 1
    for _ in range(depth - 1):
        inner = [inner]
    return {"key": inner}


@given(st.dictionaries(texts, values, max_size=5))
def test_what_is_stored_comes_back_equal(metadata: dict[str, Any]) -> None:
    assert stored(metadata) == metadata


def test_no_metadata_is_an_empty_dict() -> None:
    assert stored(None) == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.int32(7), 7),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("text"), "text"),
        (Name("text"), "text"),
        (Colour.RED, "red"),
        ((1, (2, 3)), [1, [2, 3]]),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (datetime(2024, 5, 6, 7, 8, 9, 10), datetime(2024, 5, 6, 7, 8, 9, 10, UTC)),  # noqa: DTZ001
        (Stamp(2024, 5, 6, tzinfo=UTC), datetime(2024, 5, 6, tzinfo=UTC)),
        (datetime(2024, 5, 6, tzinfo=timezone(timedelta(hours=2))), datetime(2024, 5, 5, 22, tzinfo=UTC)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_kindred_types_become_plain_ones(given: object, expected: object) -> None:
    assert stored({"key": given}) == {"key": expected}
    assert type(stored({"key": given})["key"]) is type(expected)


@pytest.mark.parametrize("key", [Name("key"), np.str_("key")])
def test_keys_become_plain_str(key: str) -> None:
    assert [type(found) for found in stored(types.MappingProxyType({key: 1}))] == [str]


@pytest.mark.parametrize(
    "value",
    [
        2**64,
        -(2**63) - 1,
        float("nan"),
        float("inf"),
        np.float32("nan"),
        b"bytes",
        {1, 2},
        object(),
        timedelta(1),
        np.zeros(3),
        1j,
        "\ud800",
        {1: "key is no str"},
        {None: 1},
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
    ],
    ids=lambda value: f"{type(value).__name__}-{value!r:.20}".encode("ascii", "replace").decode(),
)
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(InvalidMetadataError):
        encode_metadata({"key": value}, 0)


@pytest.mark.parametrize("metadata", [[1], "text", 5, [("a", 1)], b""])
def test_metadata_that_is_no_dict_is_refused(metadata: object) -> None:
    with pytest.raises(InvalidMetadataError, match="record 3"):
        encode_metadata(metadata, 3)


def test_a_refusal_names_record_and_place() -> None:
    with pytest.raises(InvalidMetadataError, match=r"record 4, key 'a\.b\[1\]' is bytes") as refused:
        encode_metadata({"a": {"b": [0, b"x"]}}, 4)
    assert refused.value.details == {"position": 4}


def test_the_deepest_nesting_allowed_is_taken_and_one_more_refused() -> None:
    assert stored(nested(METADATA_DEPTH_MAX)) == nested(METADATA_DEPTH_MAX)
    with pytest.raises(InvalidMetadataError, match="deeper"):
        encode_metadata(nested(METADATA_DEPTH_MAX + 1), 0)


def test_the_largest_metadata_is_taken_and_one_byte_more_refused() -> None:
    overhead = len(bytes(encode_metadata({"a": "x" * 1000}, 0))) - 1000
    assert stored({"a": "x" * (METADATA_BYTES_MAX - overhead)})
    with pytest.raises(InvalidMetadataError, match="bytes"):
        encode_metadata({"a": "x" * (METADATA_BYTES_MAX - overhead + 1)}, 0)


def shared(width: int, kind: type[list[Any] | tuple[Any, ...]]) -> Any:
    """Lists of one list of one list ...: width^12 items, width * 12 objects."""
    value: Any = 1
    for _ in range(12):
        value = kind([value] * width)
    return value


def cyclic_list() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


def cyclic_dict() -> dict[str, Any]:
    """A dict that holds itself."""
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "value",
    [
        shared(10, list),
        shared(10, tuple),
        cyclic_list(),
        (cyclic_list(),),
        cyclic_dict(),
        types.MappingProxyType(cyclic_dict()),
        [cyclic_list()] * 1000,
        ([],) * 1_000_000,
        [[]] * 1_000_000,
        Endless(),
    ],
    ids=["shared", "shared-tuples", "list", "list-in-tuple", "dict", "proxy", "many", "wide-tuple", "wide", "endless"],
)
def test_cycles_and_shared_lists_are_refused_after_little_work(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = 0

    def counted(function: Any) -> Any:
        def call(*given: Any) -> Any:
            nonlocal visits
            visits += 1
            return function(*given)

        return call

    monkeypatch.setattr(module, "_sound_size", counted(module._sound_size))
    monkeypatch.setattr(module._Normaliser, "value", counted(module._Normaliser.value))
    with pytest.raises(InvalidMetadataError):
        encode_metadata({"key": value}, 0)
    assert visits <= 2 * METADATA_BYTES_MAX
