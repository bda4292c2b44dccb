"""How many items there seem to be."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from vecdb.ingest.operation import outlook
from vecdb.ingest.operation.outlook import Outlook, lines_of
from vecdb.ingest.sources.spec import open_source


def _items(*specs: str, **options: Any) -> int | None:
    found = Outlook([open_source(spec, options) for spec in specs])
    found.start()
    found._thread.join()
    return found.items


def test_rows_of_files_and_documents_of_folders_are_counted(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n' * 30)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\ntext\n")
    (tmp_path / "docs" / "b.txt").write_text("text")
    (tmp_path / "docs" / "t.csv").write_text("id,text\n1,a\n2,b")
    assert _items(str(tmp_path / "rows.jsonl"), str(tmp_path / "docs")) == 30 + 1 + 1 + 2


def test_compressed_lines_are_counted(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as file:
        file.write("{}\n" * 12)
    assert _items(str(tmp_path / "rows.jsonl.gz")) == 12


def test_the_rows_of_parquet_are_asked_for(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"id": [1, 2, 3]}), tmp_path / "t.parquet")
    assert _items(str(tmp_path / "t.parquet")) == 3


@pytest.mark.parametrize("spec", ["-", "vecdb:localhost:1?collection=c"])
def test_what_cannot_be_counted_is_not_guessed(spec: str) -> None:
    assert _items(spec) is None


def test_one_source_that_cannot_be_counted_leaves_the_sum_unknown(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    assert _items(str(tmp_path / "rows.jsonl"), "-") is None


def test_a_long_file_is_taken_to_go_on_as_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "OUTLOOK_BYTES", 1_000)
    monkeypatch.setattr(outlook, "OUTLOOK_READ_BYTES", 1_000)
    (tmp_path / "rows").write_text("123456789\n" * 5_000)
    assert lines_of(tmp_path / "rows") == 5_000


def test_a_damaged_file_is_left_to_the_run(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1_000)[:-20])
    assert _items(str(tmp_path / "rows.jsonl.gz")) is None


def test_counting_ends_when_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    found = Outlook([open_source(str(tmp_path))])
    found._ended.set()
    found.start()
    found.close()
    assert (found.items, found._thread.is_alive()) == (None, False)
