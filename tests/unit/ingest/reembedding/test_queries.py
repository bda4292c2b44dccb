"""Files of queries: their forms, and what is said of those that are wrong."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from vecdb.errors import InvalidDocumentError, SourceNotFoundError
from vecdb.ingest.reembedding.queries import Query, read_queries


def written(tmp_path: Path, name: str, content: str) -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_a_text_file_has_a_query_in_each_line_that_is_not_blank(tmp_path: Path) -> None:
    path = written(tmp_path, "q.txt", "how to tie a knot\n\n  what is a bowline \n")
    assert read_queries(path) == [Query("how to tie a knot"), Query("what is a bowline")]


def test_rows_of_one_query_are_one_query_with_all_their_ids(tmp_path: Path) -> None:
    path = written(tmp_path, "q.jsonl", '{"query": "knots", "id": "a"}\n{"query": "knots", "ids": [7, "a"]}\n')
    assert read_queries(path) == [Query("knots", (frozenset(["a"]), frozenset([7])))]


def test_a_number_of_a_table_may_be_an_int_or_a_str_but_one_of_json_is_an_int(tmp_path: Path) -> None:
    [table] = read_queries(written(tmp_path, "q.csv", "query,id\nknots,7\n"))
    [json] = read_queries(written(tmp_path, "q.jsonl", '{"query": "knots", "id": "7"}'))
    assert table.answers == (frozenset(["7", 7]),)
    assert json.answers == (frozenset(["7"]),)


def test_a_text_that_is_a_uuid_stands_for_both(tmp_path: Path) -> None:
    wanted = uuid.UUID(int=5)
    [query] = read_queries(written(tmp_path, "q.jsonl", f'{{"query": "knots", "id": "{wanted}"}}'))
    assert query.answers == (frozenset([str(wanted), wanted]),)


def test_a_table_without_ids_has_queries_alone(tmp_path: Path) -> None:
    assert read_queries(written(tmp_path, "q.tsv", "query\tnote\nknots\tx\n")) == [Query("knots")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", '{"query": "a"}\n{"query": ', "line 2 is no JSON"),
        ("q.jsonl", '["a"]', "write an object"),
        ("q.jsonl", '{"text": "a"}', "has no query"),
        ("q.jsonl", '{"query": "a", "id": 1.5}', "the id is"),
        ("q.jsonl", '{"query": "a", "ids": "b"}', "give a list"),
        ("q.csv", "text,id\na,b\n", "the columns text, id"),
        ("q.csv", "query,id\n,b\n", "line 2 has no query"),
        ("q.txt", "\n", "holds no query"),
        ("q.txt", "a" * 40_000, "a query has at most"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InvalidDocumentError, match=message):
        read_queries(written(tmp_path, name, content))


def test_bytes_that_are_no_text_are_no_queries(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidDocumentError, match="cannot be read as queries"):
        read_queries(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"none\.txt"):
        read_queries(tmp_path / "none.txt")
