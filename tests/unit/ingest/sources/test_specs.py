"""What users write for a source is understood, or refused with what to write; ids and hashes are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ingest.sources.reading import put, read
from vecdb.errors import InvalidSourceError, SourceNotFoundError, VecDBError
from vecdb.ingest.sources import seen
from vecdb.ingest.sources.item import Item, Position
from vecdb.ingest.sources.seen import SeenIds
from vecdb.ingest.sources.spec import open_source

# --- what users write ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("", InvalidSourceError, "write a path"),
        ("nowhere.txt", SourceNotFoundError, "nowhere"),
        ("~nobody0/x.txt", SourceNotFoundError, "nobody0"),
        ("x" * 5_000, InvalidSourceError, "too long"),
        ("nowhere/*.txt", SourceNotFoundError, "matches"),
        ("https://example.com/a.html", InvalidSourceError, "fetch"),
        ("postgresql://host/db", InvalidSourceError, "dbapi:"),
        ("gopher:x", InvalidSourceError, "sqlite:"),
        ("sqlite:a.db", InvalidSourceError, "query"),
        ("sqlite:a.db?query=DELETE FROM x", InvalidSourceError, "must read"),
        ("sqlite:a.db?query=SELECT 1", SourceNotFoundError, "a.db"),
        ("sqlite:", InvalidSourceError, "nothing"),
        ("dbapi:nope?query=SELECT 1", InvalidSourceError, "MODULE:FUNCTION"),
        ("dbapi:nope:f?query=SELECT 1", InvalidSourceError, "found"),
        ("vecdb:localhost:1", InvalidSourceError, "collection"),
        ("vecdb:nowhere?collection=c", InvalidSourceError, "HOST:PORT"),
        ("-?format=pdf", InvalidSourceError, "standard input"),
        ("-?format=docx", InvalidSourceError, "jsonl"),
        ("-?colour=red", InvalidSourceError, "id-field"),
        ("-?encoding=utf-9", InvalidSourceError, "cp1252"),
        ("-?encoding=hex", InvalidSourceError, "cp1252"),
        ("-?delimiter=ab", InvalidSourceError, "one character"),
        ("-?hidden=yes", InvalidSourceError, "true or false"),
    ],
)
def test_what_is_no_source_is_refused_with_what_to_write(spec: str, error: type[VecDBError], says: str) -> None:
    with pytest.raises(error, match=says):
        open_source(spec)


@pytest.mark.parametrize(
    ("name", "says"), [("a.json", "jsonl"), ("a.db", "sqlite:"), ("a.xyz", "format=text"), ("a.zip", "unpack")]
)
def test_a_file_that_nothing_reads_says_what_to_do(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InvalidSourceError, match=says):
        open_source(str(put(tmp_path / name, "x")))


def test_a_format_can_be_given_for_any_extension(tmp_path: Path) -> None:
    assert read(f"{put(tmp_path / 'a.xyz', 'text')}?format=text").items[0].text == "text"


def test_a_file_with_a_colon_in_its_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "note:1.txt", "text")
    monkeypatch.chdir(tmp_path)
    assert read("note:1.txt").ids == ["note:1.txt"]


def test_a_url_of_a_file_is_its_path(tmp_path: Path) -> None:
    assert read(f"file://{put(tmp_path / 'a.txt', 'text')}").ids == ["a.txt"]


@given(spec=st.text(max_size=60))
def test_any_text_is_a_source_or_a_typed_error(spec: str) -> None:
    try:
        name = open_source(spec).name
    except VecDBError:
        return
    assert spec.startswith(name)


# --- values ----------------------------------------------------------------------------------------------------------


def test_the_hash_of_an_item_covers_text_and_metadata_and_not_its_place() -> None:
    place = Position("f", 1)
    item = Item("a", "p", 0, "row", place, text="t", metadata={"a": 1, "b": 2})
    moved = Item("a", "q", 5, "row", Position("g", 9), text="t", metadata={"b": 2, "a": 1})
    others = [
        Item("a", "p", 0, "row", place, text="u", metadata={"a": 1, "b": 2}),
        Item("a", "p", 0, "row", place, text="t", metadata={"a": 1, "b": 3}),
    ]
    assert item.content_hash == moved.content_hash
    assert len({item.content_hash, *(other.content_hash for other in others)}) == 3


def test_ids_are_remembered_beyond_the_recent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "IDS_RECENT_MAX", 7)
    ids = SeenIds()
    assert all(ids.add(number) for number in range(500))
    assert not any(ids.add(number) for number in range(500))
    assert ids.add("new")
