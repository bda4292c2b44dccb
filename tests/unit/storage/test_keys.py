"""Keys: how ids are spelled, sorted and refused."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from vecdb.config import ID_BYTES_MAX, INT_ID_MAX
from vecdb.errors import CorruptionError, InvalidIdError
from vecdb.storage import keys
from vecdb.storage.keys import Table

SOME_UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize("record_id", [0, 1, INT_ID_MAX, "a", "é" * 128, SOME_UUID, "1"])
def test_an_id_comes_back_as_the_type_it_was(record_id: int | str | uuid.UUID) -> None:
    back = keys.id_from_key(keys.id_key(record_id))
    assert back == record_id
    assert type(back) is type(record_id)


def test_a_numpy_integer_id_is_an_int() -> None:
    assert keys.id_key(np.int32(7)) == keys.id_key(7)  # type: ignore[arg-type]


def test_a_subclass_of_str_is_stored_as_its_text() -> None:
    assert keys.id_key(np.str_("a")) == keys.id_key("a")


@pytest.mark.parametrize("bad", ["", "x" * (ID_BYTES_MAX + 1), "\ud800", -1, INT_ID_MAX + 1, True, 1.5, None, b"raw"])
def test_what_is_no_id_is_refused_by_name(bad: object) -> None:
    with pytest.raises(InvalidIdError):
        keys.id_key(bad)  # type: ignore[arg-type]


def test_the_longest_id_is_accepted() -> None:
    assert len(keys.id_table_key(2**32 - 1, keys.id_key("x" * ID_BYTES_MAX))) < 511


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x01" + bytes(7), b"\x02", b"\x02\xff", b"\x03" + bytes(15), b"\x09a"])
def test_bytes_that_are_no_id_key_are_corruption(raw: bytes) -> None:
    with pytest.raises(CorruptionError):
        keys.id_from_key(raw)


def test_one_id_of_each_type_with_the_same_text_has_its_own_key() -> None:
    assert len({keys.id_key(1), keys.id_key("1"), keys.id_key(SOME_UUID), keys.id_key(str(SOME_UUID))}) == 4


def test_keys_of_a_prefix_lie_below_its_stop() -> None:
    prefix = keys.segment_prefix(1, 2, 3)
    stop = keys.prefix_stop(prefix)
    assert stop is not None
    assert prefix <= keys.chunk_key(1, 2, 3, 255, 2**32 - 1) < stop <= keys.chunk_key(1, 2, 4, 0, 0)


def test_the_last_prefix_of_all_has_no_stop() -> None:
    assert keys.prefix_stop(b"\xff\xff") is None


def test_a_key_is_spelled_out_for_messages() -> None:
    assert keys.describe_key(Table.CHUNKS, keys.chunk_key(1, 2, 3, 4, 5)) == (
        "chunks, collection 1, field 2, segment 3, kind 4, chunk 5"
    )


def test_an_id_is_not_spelled_out_for_messages() -> None:
    assert "secret" not in keys.describe_key(Table.IDS, keys.id_table_key(1, keys.id_key("secret")))


def test_the_end_of_a_key_is_read_back() -> None:
    assert keys.slot_from_key(keys.record_key(1, 77)) == 77
    assert keys.seq_from_log_key(keys.log_key(2**63)) == 2**63
