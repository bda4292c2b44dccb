"""Metadata that is not JSON-like, too deep or too large is refused by name, and nothing has changed afterwards."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pytest

from tests.security.unchanged import DIM, refused
from vecdb.config import METADATA_BYTES_MAX, METADATA_DEPTH_MAX
from vecdb.errors import InvalidMetadataError, InvalidRequestError

ROW = np.ones((1, DIM), dtype=np.float32)


def nested(levels: int, kind: str) -> Any:
    """Metadata of `levels` levels, the outermost dict included."""
    value: Any = {} if kind == "dicts" else []
    for _ in range(levels - 2):
        value = {"d": value} if kind == "dicts" else [value]
    return {"top": value}


def cyclic_dict() -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    metadata["self"] = metadata
    return metadata


def cyclic_list() -> dict[str, Any]:
    items: list[Any] = []
    items.append(items)
    return {"items": items}


BAD_METADATA = [
    pytest.param({"k": {1, 2}}, id="set"),
    pytest.param({"k": b"bytes"}, id="bytes"),
    pytest.param({"k": bytearray(b"x")}, id="bytearray"),
    pytest.param({"k": float("nan")}, id="nan"),
    pytest.param({"k": float("inf")}, id="infinity"),
    pytest.param({"k": [1, float("-inf")]}, id="nested-infinity"),
    pytest.param({"k": 2**64}, id="beyond-u64"),
    pytest.param({"k": -(2**63) - 1}, id="below-i64"),
    pytest.param({"k": [2**1_000_000]}, id="astronomical"),
    pytest.param({"k": 1j}, id="complex"),
    pytest.param({"k": object()}, id="object"),
    pytest.param({"k": decimal.Decimal(1)}, id="decimal"),
    pytest.param({"k": np.ones(3)}, id="array"),
    pytest.param({"k": "\ud800"}, id="lone-surrogate"),
    pytest.param({"\ud800": 1}, id="lone-surrogate-key"),
    pytest.param({"k": ["\ud800"]}, id="nested-lone-surrogate"),
    pytest.param({1: "x"}, id="int-key"),
    pytest.param({None: "x"}, id="none-key"),
    pytest.param({("a",): "x"}, id="tuple-key"),
    pytest.param({"k": {2: "x"}}, id="nested-int-key"),
    pytest.param(cyclic_dict(), id="cyclic-dict"),
    pytest.param(cyclic_list(), id="cyclic-list"),
    pytest.param(nested(METADATA_DEPTH_MAX + 1, "dicts"), id="too-deep-dicts"),
    pytest.param(nested(METADATA_DEPTH_MAX + 1, "lists"), id="too-deep-lists"),
    pytest.param(nested(100_000, "lists"), id="far-too-deep"),
    pytest.param({"k": "x" * (METADATA_BYTES_MAX + 1)}, id="too-large-text"),
    pytest.param({"k": [1.5] * METADATA_BYTES_MAX}, id="too-large-list"),
    pytest.param({f"k{n}": n for n in range(METADATA_BYTES_MAX)}, id="too-many-keys"),
]


@pytest.mark.parametrize("bad", BAD_METADATA)
def test_bad_metadata_is_refused_by_every_write(db: Any, docs: Any, bad: Any) -> None:
    with refused(db, InvalidMetadataError, "metadata of record 1"):
        docs.upsert(["x", "y"], np.repeat(ROW, 2, axis=0), [{"good": 1}, bad])
    with refused(db, InvalidMetadataError, "metadata"):
        docs.insert([{"id": "x", "vector": ROW[0], "metadata": bad}])
    with refused(db, InvalidMetadataError, "metadata"):
        docs.update("a", metadata=bad)


@pytest.mark.parametrize("bad", ["text", 7, [("a", 1)], {"a"}, True])
def test_metadata_that_is_no_dict_is_refused(db: Any, docs: Any, bad: Any) -> None:
    with refused(db, InvalidMetadataError, "metadata of record 0"):
        docs.upsert(["x"], ROW, [bad])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_metadata_than_ids_is_refused(db: Any, docs: Any, count: int) -> None:
    with refused(db, InvalidRequestError, "metadata", str(count), "2"):
        docs.upsert(["x", "y"], np.repeat(ROW, 2, axis=0), [{}] * count)


@pytest.mark.parametrize("bad", [{"a": 1}, "text", 7])
def test_metadata_that_is_no_list_is_refused(db: Any, docs: Any, bad: Any) -> None:
    with refused(db, InvalidRequestError, "metadata"):
        docs.upsert(["x", "y"], np.repeat(ROW, 2, axis=0), bad)


@pytest.mark.parametrize("kind", ["dicts", "lists"])
def test_metadata_at_the_depth_limit_is_stored(docs: Any, kind: str) -> None:
    metadata = nested(METADATA_DEPTH_MAX, kind)
    docs.upsert(["x"], ROW, [metadata])
    assert docs.get("x").metadata == metadata


def test_metadata_at_the_size_limit_is_stored(docs: Any) -> None:
    overhead = len(b"\x81\xa1k\xda\xff\xff")  # msgpack: map of one, key "k", text of 16-bit length
    metadata = {"k": "x" * (METADATA_BYTES_MAX - overhead)}
    docs.upsert(["x"], ROW, [metadata])
    assert docs.get("x").metadata == metadata


def test_metadata_one_byte_beyond_the_size_limit_is_refused(db: Any, docs: Any) -> None:
    with refused(db, InvalidMetadataError, str(METADATA_BYTES_MAX), "metadata of record 0"):
        docs.upsert(["x"], ROW, [{"k": "x" * (METADATA_BYTES_MAX - 5)}])


def test_the_error_does_not_repeat_the_metadata(db: Any, docs: Any) -> None:
    with pytest.raises(InvalidMetadataError) as caught:
        docs.upsert(["x"], ROW, [{"k": "canary " * METADATA_BYTES_MAX}])
    assert "canary" not in str(caught.value)
    assert "x" not in docs
    assert db.verify().ok
