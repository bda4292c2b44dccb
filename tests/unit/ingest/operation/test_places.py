"""What `--to` and sources mean, and where a pipeline is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vecdb.errors import InvalidConfigError
from vecdb.ingest.operation.places import absolute_source, read_destination, state_root
from vecdb.ingest.operation.settings import IngestSettings


def _directory(**given: Any) -> Path:
    return IngestSettings(**{"sources": ["docs"], "to": "data", "collection": "docs", **given}).pipeline.directory


@pytest.mark.parametrize("word", ["localhost:50051", "[::1]:5", "unix:/tmp/s", "127.0.0.1:1"])
def test_an_address_is_a_server(word: str) -> None:
    assert str(read_destination(word)) == word


@pytest.mark.parametrize("word", ["data", "./data:1", "a/b:50051", "C:"])
def test_anything_else_is_a_directory(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_destination(word).directory == (tmp_path / word).resolve()


def test_a_directory_that_looks_like_an_address_is_one_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data:1").mkdir()
    assert read_destination("data:1").directory == tmp_path / "data:1"


@pytest.mark.parametrize("word", ["http://localhost:50051", ":memory:", "localhost:0", "a b:1"])
def test_what_can_be_neither_is_refused(word: str) -> None:
    with pytest.raises(InvalidConfigError, match="to is"):
        read_destination(word)


def test_a_file_is_no_destination(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(InvalidConfigError, match="which is a file"):
        read_destination(str(tmp_path / "f"))


def test_a_pipeline_is_the_same_from_every_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    here = _directory(sources=["docs/", "-"])
    monkeypatch.chdir(tmp_path / "below")
    assert _directory(sources=["-", "../docs"], to="../data") == here


@pytest.mark.parametrize(
    "other", [{"to": "other"}, {"to": "localhost:1"}, {"collection": "d"}, {"field": "f"}, {"sources": ["docs", "x"]}]
)
def test_another_destination_collection_field_or_source_is_another_pipeline(other: dict[str, Any]) -> None:
    assert _directory(**other) != _directory()


def test_how_a_pipeline_works_does_not_make_it_another_one() -> None:
    assert _directory(readers=2, chunk_tokens=100, model="builtin") == _directory()


@pytest.mark.parametrize(
    ("given", "home", "expected"),
    [
        ("/s", "/x", "/s"),
        (None, "/x", "/x/vecdb/ingest"),
        (None, "relative", "/home/u/.local/state/vecdb/ingest"),
        (None, "", "/home/u/.local/state/vecdb/ingest"),
    ],
)
def test_state_lies_where_it_is_said_or_where_the_desktop_keeps_such_things(
    given: str | None, home: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    assert state_root(given, {"XDG_STATE_HOME": home}) == Path(expected)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("-", "-"),
        ("-?format=csv", "-?format=csv"),
        ("docs/*.md?prefix=a/", "{here}/docs/*.md?prefix=a/"),
        ("sqlite:a.db?query=SELECT 1", "sqlite:{here}/a.db?query=SELECT 1"),
        ("file:a.txt", "file:{here}/a.txt"),
        ("vecdb:localhost:1?collection=c", "vecdb:localhost:1?collection=c"),
        ("dbapi:mod:fn?query=SELECT 1", "dbapi:mod:fn?query=SELECT 1"),
        ("https://example.com/a", "https://example.com/a"),
    ],
)
def test_paths_of_sources_become_absolute(
    spec: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_source(spec) == expected.format(here=tmp_path)
