"""Rows of JSON Lines, CSV, Parquet, Arrow and queries become items; bad ones become problems with their place."""

from __future__ import annotations

import gzip
import io
import sqlite3
import sys
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vecdb
from tests.conformance.served_fronts import server_in_this_process
from tests.unit.ingest.sources.reading import Everything, put, read
from vecdb.ingest.sources import collection, config, file, jsonl, table
from vecdb.ingest.sources.rows import checked_vector, plain_value

GOOD = '{"id": "a", "text": "one", "year": 2020}\n{"id": 2, "text": "two", "tags": ["x"]}\n'


# --- JSON Lines ------------------------------------------------------------------------------------------------------


def test_id_and_text_are_taken_and_the_rest_is_metadata(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.jsonl", GOOD))
    assert [(item.id, item.text, item.metadata) for item in found.items] == [
        ("a", "one", {"year": 2020}),
        (2, "two", {"tags": ["x"]}),
    ]
    assert not found.problems


def test_other_fields_can_be_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"key": "a", "body": "one", "id": 7}\n')
    found = read(f"{path}?id-field=key&text-field=body")
    assert [(item.id, item.text, item.metadata) for item in found.items] == [("a", "one", {"id": 7})]


def test_rows_without_ids_can_be_numbered(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"text": "one"}')
    assert read(f"{path}?id-field=@row").ids == ["a.jsonl#1"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "b", "text"', "no JSON"),
        ("[1, 2]", "list"),
        ('{"id": "b"}', "'text'"),
        ('{"text": "b"}', "id-field"),
        ('{"id": "b", "text": ""}', "empty"),
        ('{"id": "b", "text": "  \\n"}', "empty"),
        ('{"id": "b", "text": 5}', "not text"),
        ('{"id": "", "text": "b"}', "id"),
        ('{"id": -1, "text": "b"}', "2^64"),
        ('{"id": true, "text": "b"}', "bool"),
        ('{"id": 1.5, "text": "b"}', "float"),
        ('{"id": "b", "text": "b", "x": NaN}', "no JSON"),
        ('{"id": "b", "text": "\\ud800"}', "no JSON"),
        ('{"id": "b", "text": "b", "x": 123456789012345678901234567890}', "64 bits"),
        ('{"id": "b", "text": "b", "x": ' + "[" * 50 + "]" * 50 + "}", "nested"),
        ("[" * 100_000, "nested"),
        ('{"id": "' + "b" * 300 + '", "text": "b"}', "256"),
        ("\x00\x01\x02", "no JSON"),
    ],
)
def test_a_bad_line_is_a_problem_and_the_rest_is_read(tmp_path: Path, line: str, says: str) -> None:
    found = read(put(tmp_path / "a.jsonl", f'{{"id": "a", "text": "one"}}\n\n{line}\n{{"id": "c", "text": "three"}}\n'))
    assert found.ids == ["a", "c"]
    assert found.lines == [3]
    assert says in str(found.problems[0])


def test_a_problem_names_file_and_line(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", "{\n")
    assert str(read(path).problems[0]).startswith(f"{path}:1: ")


def test_a_problem_has_the_id_where_the_row_has_one(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.jsonl", '{"id": "b"}\n')).problems[0].item_id == "b"


def test_a_line_that_is_not_utf8_is_a_problem_of_that_line(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.jsonl", b'{"id": "a", "text": "caf\xe9"}\n{"id": "b", "text": "x"}\n'))
    assert (found.ids, found.lines) == (["b"], [1])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    found = read(put(tmp_path / "a.jsonl", '{"id": "a", "text": "café"}\n'.encode(encoding)))
    assert [item.text for item in found.items] == ["café"]


def test_a_declared_encoding_is_used(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"id": "a", "text": "café"}\n'.encode("cp1252"))
    assert [item.text for item in read(path, encoding="cp1252").items] == ["café"]


def test_a_line_that_is_too_long_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LINE_BYTES_MAX", 40)
    long = '{"id": "b", "text": "' + "b" * 200 + '"}'
    found = read(put(tmp_path / "a.jsonl", f'{{"id": "a", "text": "one"}}\n{long}\n{{"id": "c", "text": "three"}}\n'))
    assert (found.ids, found.lines) == (["a", "c"], [2])


def test_an_empty_file_has_no_items_and_no_problems(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.jsonl", ""))
    assert (found.items, found.problems, found.ends[0].state) == ([], [], "read")


def test_an_id_given_twice_is_a_problem_of_the_second(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.jsonl", GOOD + '{"id": "a", "text": "again"}\n{"id": "2", "text": "as text"}\n'))
    assert found.ids == ["a", 2]
    assert [(problem.reason, problem.position.line) for problem in found.problems] == [
        ("DUPLICATE_ID", 3),
        ("DUPLICATE_ID", 4),
    ]


def test_vectors_of_rows_are_taken_as_they_are(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"id": 1, "v": [1, 2.5]}\n{"id": 2, "v": [1, null]}\n{"id": 3, "v": [[1]]}\n')
    found = read(path, vector_field="v")
    assert [item.vector.tolist() for item in found.items if item.vector is not None] == [[1.0, 2.5]]
    assert found.lines == [2, 3]


# --- compressed files ------------------------------------------------------------------------------------------------


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.jsonl.gz", gzip.compress(GOOD.encode()))).ids == ["a", 2]


def test_a_compressed_file_cut_off_gives_what_was_before(tmp_path: Path) -> None:
    rows = "".join(f'{{"id": {number}, "text": "{uuid.UUID(int=number)}"}}\n' for number in range(5_000))
    packed = gzip.compress(rows.encode())
    found = read(put(tmp_path / "a.jsonl.gz", packed[: len(packed) // 2]))
    assert 0 < len(found.items) < 5_000
    assert [(problem.scope, end.state) for problem, end in zip(found.problems, found.ends, strict=True)] == [
        ("part", "failed")
    ]
    assert "cut off" in found.problems[0].message


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.txt.gz"])
def test_what_only_says_that_it_is_compressed_is_a_problem(tmp_path: Path, name: str) -> None:
    found = read(put(tmp_path / name, GOOD))
    assert ("damaged" in found.problems[0].message, found.items) == (True, [])


def test_a_file_that_unpacks_without_measure_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "INFLATED_BYTES_FREE", 1_000_000)
    found = read(put(tmp_path / "a.jsonl.gz", gzip.compress(b" " * 8_000_000)))
    assert "unpacks" in found.problems[0].message


# --- CSV -------------------------------------------------------------------------------------------------------------


def test_csv_has_its_columns_in_the_first_line(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.csv", 'id,text,year\n1,"one, with\na break",2020\n007,two,\n'))
    assert [(item.id, item.text, item.metadata) for item in found.items] == [
        ("1", "one, with\na break", {"year": "2020"}),
        ("007", "two", {"year": ""}),
    ]
    assert [item.position.line for item in found.items] == [2, 4]


def test_cells_become_numbers_where_that_is_asked_for(tmp_path: Path) -> None:
    path = put(tmp_path / "a.tsv", "id\ttext\ta\tb\tc\td\te\n1\tx\t5\t-2.5\ttrue\t007\t\n")
    assert read(path, types="infer").items[0].metadata == {"a": 5, "b": -2.5, "c": True, "d": "007", "e": None}


@pytest.mark.parametrize(
    ("row", "says"),
    [("b,two,extra", "3 fields"), ("b", "1 fields"), ('b,"two" x', "no CSV"), ("b,", "empty"), (b"b,\xff", "UTF-8")],
)
def test_a_bad_row_of_csv_is_a_problem_and_the_rest_is_read(tmp_path: Path, row: str | bytes, says: str) -> None:
    raw = row if isinstance(row, bytes) else row.encode()
    found = read(put(tmp_path / "a.csv", b"id,text\na,one\n" + raw + b"\nc,three\n"))
    assert (found.ids, found.lines) == (["a", "c"], [3])
    assert says in found.problems[0].message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("name,text\n1,x\n", "no column 'id'"),
        ("id,body\n1,x\n", "text-field"),
        ("id;text\n1;x\n", "delimiter=';'"),
        ("id,text,id\n1,x,2\n", "two columns"),
        ('"id,text\n', "header"),
    ],
)
def test_a_table_without_what_it_needs_is_one_problem(tmp_path: Path, content: str, says: str) -> None:
    found = read(put(tmp_path / "a.csv", content))
    assert [problem.scope for problem in found.problems] == ["part"]
    assert says in found.problems[0].message


def test_another_delimiter_can_be_given(tmp_path: Path) -> None:
    assert read(f"{put(tmp_path / 'a.csv', 'id;text' + chr(10) + '1;x')}?delimiter=;").ids == ["1"]


def test_a_quote_that_never_ends_loses_no_row_before_it(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.csv", 'id,text\na,one\nb,"two\nc,three\n'))
    assert (found.ids, found.lines) == (["a"], [3])


@given(cell=st.one_of(st.text(max_size=8), st.integers().map(str), st.floats(allow_nan=False).map(str)))
def test_a_cell_is_a_number_only_if_nothing_of_it_is_lost(cell: str) -> None:
    value = table.inferred(cell)
    if isinstance(value, int) and not isinstance(value, bool):
        assert str(value) == cell


# --- Parquet and Arrow -----------------------------------------------------------------------------------------------

pa = pytest.importorskip("pyarrow")


def _table(**extra: Any) -> Any:
    return pa.table({"id": [1, 2, 3], "text": ["one", None, "three"], **extra})


def _parquet(path: Path, content: Any) -> Path:
    import pyarrow.parquet as pq

    pq.write_table(content, path)
    return put(path, path.read_bytes())


def _arrow(content: Any, *, stream: bool) -> bytes:
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, content.schema) as writer:
        writer.write_table(content)
    return sink.getvalue()


def test_parquet_is_read_by_rows(tmp_path: Path) -> None:
    found = read(_parquet(tmp_path / "a.parquet", _table(when=[date(2020, 1, 2)] * 3, price=[Decimal("1.50")] * 3)))
    assert found.ids == [1, 3]
    assert found.items[0].metadata == {"when": datetime(2020, 1, 2, tzinfo=UTC), "price": 1.5}  # no zone is UTC
    assert [problem.position.row for problem in found.problems] == [2]


@pytest.mark.parametrize("stream", [False, True], ids=["file", "stream"])
def test_arrow_is_read_by_rows(tmp_path: Path, stream: bool) -> None:
    assert read(put(tmp_path / "a.arrow", _arrow(_table(), stream=stream))).ids == [1, 3]


def test_vectors_of_parquet_are_checked(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "a.parquet", _table(v=[[1.0, 2.0], [float("nan"), 1.0], [3.0, 4.0]]))
    found = read(path, vector_field="v")
    assert found.ids == [1, 3]
    assert "nan" in found.problems[0].message


def test_instants_in_nanoseconds_are_read_to_the_microsecond(tmp_path: Path) -> None:
    when = pa.array([1_000_000_001_000_000_001] * 3, pa.timestamp("ns", "UTC"))
    metadata = read(put(tmp_path / "a.arrow", _arrow(_table(when=when), stream=False))).items[0].metadata
    assert metadata == {"when": datetime(2001, 9, 9, 1, 46, 41, tzinfo=UTC)}


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
@pytest.mark.parametrize("content", [b"", b"junk" * 100, b"PAR1" + b"\xff" * 50 + b"PAR1", b"\xff" * 64])
def test_tables_that_are_none_are_problems(tmp_path: Path, name: str, content: bytes) -> None:
    found = read(put(tmp_path / name, content))
    assert (found.items, [problem.scope for problem in found.problems]) == ([], ["part"])


def test_parquet_cut_off_is_a_problem(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "a.parquet", _table())
    assert read(put(path, path.read_bytes()[:-20])).ends[0].state == "failed"


def test_damage_anywhere_in_parquet_never_raises(tmp_path: Path, rng: np.random.Generator) -> None:
    whole = bytearray(_parquet(tmp_path / "a.parquet", _table()).read_bytes())
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
        assert read(put(tmp_path / "b.parquet", bytes(damaged))).ends


def test_a_table_without_the_columns_says_which_there_are(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "a.parquet", pa.table({"key": [1], "text": ["x"]}))
    assert "'key'" in read(path).problems[0].message


# --- queries ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.execute("create table docs (id integer primary key, text text, price real, raw blob)")
        db.executemany("insert into docs values (?, ?, ?, ?)", [(1, "one", 1.5, None), (2, "two", 2.5, b"x")])
    db.close()
    return put(path, path.read_bytes())


TEXTS = "SELECT id, text FROM docs"


def query(path: Path, wanted: str, **options: Any) -> Everything:
    return read(f"sqlite:{path}?query={wanted}", **options)


def test_the_rows_of_a_query_are_items(shop: Path) -> None:
    found = query(shop, "SELECT id, text, price FROM docs WHERE text LIKE '%o%' AND 1 & 1 ORDER BY id")
    assert [(item.id, item.metadata) for item in found.items] == [(1, {"price": 1.5}), (2, {"price": 2.5})]


def test_a_row_that_metadata_cannot_hold_is_a_problem(shop: Path) -> None:
    found = query(shop, "SELECT * FROM docs ORDER BY id")
    assert (found.ids, [problem.position.row for problem in found.problems]) == ([1], [2])


@pytest.mark.parametrize(
    "wanted",
    [
        "SELECT id, text FROM nowhere",
        "WITH x AS (SELECT 1) DELETE FROM docs",
        "SELECT id, text FROM docs; DROP TABLE docs",
        "SELECT id FROM docs",
        "SELECT id, id, text FROM docs",
        "SELECT load_extension('x') AS id, 'x' AS text",
    ],
)
def test_a_query_that_fails_or_writes_is_a_problem_and_changes_nothing(shop: Path, wanted: str) -> None:
    before = shop.read_bytes()
    found = query(shop, wanted)
    assert ([problem.scope for problem in found.problems], shop.read_bytes()) == (["part"], before)


def test_a_file_that_is_no_database_is_a_problem(tmp_path: Path) -> None:
    path = put(tmp_path / "a.db", b"junk" * 1000)
    assert "not a database" in query(path, TEXTS).problems[0].message


def test_text_of_a_database_that_is_no_utf8_is_a_problem_of_its_row(shop: Path) -> None:
    found = query(shop, "SELECT 1 AS id, cast(x'ff' AS text) AS text UNION ALL SELECT 2, 'ok'")
    assert (found.ids, [problem.position.row for problem in found.problems]) == ([2], [1])


def test_an_unchanged_database_is_skipped(shop: Path) -> None:
    known = query(shop, TEXTS).known
    assert [end.state for end in query(shop, TEXTS, known=known.get).ends] == ["unchanged"]


def test_any_connection_of_python_can_be_read(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("shop_connection")
    module.connect = lambda: sqlite3.connect(shop)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_connection", module)
    assert read("dbapi:shop_connection:connect?query=SELECT id, text FROM docs ORDER BY id").ids == [1, 2]


def test_two_queries_of_one_file_are_told_apart_by_prefix(shop: Path) -> None:
    wanted = "query=SELECT id, text FROM docs WHERE id"
    found = read(f"sqlite:{shop}?prefix=one&{wanted} = 1", f"sqlite:{shop}?prefix=two&{wanted} = 2")
    assert (found.ids, len(set(found.known))) == ([1, 2], 2)


def test_a_connection_that_fails_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("no_connection")
    module.connect = lambda: 1 / 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "no_connection", module)
    assert "division" in read("dbapi:no_connection:connect?query=SELECT 1").problems[0].message


# --- standard input and collections ----------------------------------------------------------------------------------


def test_standard_input_is_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(GOOD.encode()))))
    found = read("-")
    assert (found.ids, str(found.items[0].position)) == (["a", 2], "standard input:1")


def test_standard_input_can_be_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"hello"))))
    assert [item.text for item in read("-?format=text").items] == ["hello"]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    with vecdb.open(tmp_path / "db") as db:
        db.create_collection("docs", dim=2).upsert(
            ["a", 2], np.eye(2, dtype=np.float32), [{"text": "one", "n": 1}, {"n": 2}]
        )
    return tmp_path / "db"


def test_the_texts_of_a_collection_are_read(stored: Path) -> None:
    found = read(f"vecdb:{stored}?collection=docs")
    assert [(item.id, item.text, item.metadata) for item in found.items] == [("a", "one", {"n": 1})]
    assert [problem.item_id for problem in found.problems] == [2]


def test_the_vectors_of_a_collection_are_read(stored: Path) -> None:
    found = read(f"vecdb:{stored}?collection=docs&vector-field=default")
    vectors = {item.id: item.vector.tolist() for item in found.items if item.vector is not None}
    assert vectors == {"a": [1.0, 0.0], 2: [0.0, 1.0]}


def test_a_collection_of_a_server_is_read() -> None:
    with server_in_this_process() as place, vecdb.connect(place.addresses[0]) as db:
        db.create_collection("docs", dim=2).upsert(["a"], np.eye(1, 2, dtype=np.float32), [{"text": "one", "n": 1}])
        found = read(f"vecdb:{place.addresses[0]}?collection=docs")
    assert [(item.id, item.text, item.metadata) for item in found.items] == [("a", "one", {"n": 1})]


def test_a_server_that_is_not_there_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "CLIENT_RETRIES_DEFAULT", 0)
    assert read("vecdb:unix:/nowhere/socket?collection=docs").problems[0].reason == "UNAVAILABLE"


def test_a_collection_that_is_not_there_is_a_problem(stored: Path) -> None:
    assert read(f"vecdb:{stored}?collection=other").problems[0].reason == "COLLECTION_NOT_FOUND"


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (date(2020, 1, 2), datetime(2020, 1, 2)),  # noqa: DTZ001 - metadata takes no zone as UTC
        (datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)),
        (Decimal("0.5"), 0.5),
        (uuid.UUID(int=1), str(uuid.UUID(int=1))),
        (np.float32(0.5), 0.5),
        (np.array([1, 2]), [1, 2]),
        (({"a": Decimal(1)},), [{"a": 1.0}]),
    ],
)
def test_values_of_tables_become_what_metadata_holds(value: object, plain: object) -> None:
    assert plain_value(value, "x") == plain


@pytest.mark.parametrize("vector", [[], [float("inf")], [1e300], ["a"], [[1], [1, 2]], 5, None, [0.0] * (2**16 + 1)])
def test_what_is_no_vector_is_refused(vector: object) -> None:
    with pytest.raises(vecdb.errors.InvalidDocumentError):
        checked_vector(vector)


def test_texts_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecdb.ingest.sources.rows.ITEM_TEXT_CHARS_MAX", 10)
    assert config.ITEM_TEXT_CHARS_MAX > 10
    found = read(put(tmp_path / "a.jsonl", '{"id": 1, "text": "' + "x" * 11 + '"}\n{"id": 2, "text": "ok"}\n'))
    assert (found.ids, found.lines) == ([2], [1])
