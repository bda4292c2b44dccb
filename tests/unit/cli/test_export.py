"""`vecdb export`: records are taken out, and read again by the ingestor."""

from __future__ import annotations

import gzip
import io
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.conformance.served_fronts import server_in_this_process
from tests.unit.cli.conftest import DIM, ROWS, SHARED_UUID, Shell
from vecdb.cli import export_files
from vecdb.cli.waiting import counting


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _contents(directory: Path, collection: str) -> dict[Any, tuple[dict[str, Any], list[float]]]:
    with vecdb.open(directory, mode="r") as db:
        records = db.collection(collection).iterate(with_vectors=True)
        return {record.id: (record.metadata, next(iter(record.vectors.values())).tolist()) for record in records}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A database whose records JSON and Parquet can spell: text ids, and metadata of one type for each key."""
    path = tmp_path / "plain"
    metadata = [{"n": row, "x": row / 3, "text": f"text {row}", "tags": ["a", "ü"], "ok": row > 3} for row in range(9)]
    vectors = np.random.default_rng(7).normal(size=(9, 3)).astype(np.float32)
    with vecdb.open(path) as db:
        db.create_collection("docs", dim=3).upsert([f"id {row}" for row in range(9)], vectors, metadata)
    return path


@pytest.mark.parametrize("name", ["records.jsonl", "records.jsonl.gz", "records.parquet"])
def test_what_was_exported_is_the_same_collection_once_it_is_ingested(
    shell: Shell, plain: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_files, "ROW_GROUP", 4)
    file, copy = tmp_path / name, tmp_path / "copy"
    written = shell("export", plain, "docs", "--vectors", "--output", file, "--json").document
    assert (written["records"], written["file_bytes"]) == (9, file.stat().st_size)
    options = ("--to", copy, "--collection", "docs", "--vector-field", "vector", "--state", tmp_path / "state")
    assert shell("ingest", "run", file, *options).code == 0
    assert _contents(copy, "docs") == _contents(plain, "docs")


def test_a_row_has_the_id_as_it_is_and_the_metadata_beside_it(shell: Shell, directory: Path) -> None:
    rows = {json.dumps(row["id"]): row for row in _lines(shell("export", directory, "docs").out)}
    assert len(rows) == ROWS
    assert rows["7"] == {"id": 7, "row": 7, "text": "[bold]x"}
    assert rows['"7"']["row"] == 18
    assert rows[json.dumps(str(SHARED_UUID))]["row"] == 19


def test_a_filter_and_a_limit_choose_records(shell: Shell, directory: Path) -> None:
    rows = _lines(shell("export", directory, "docs", "--filter", '{"row": {"$gte": 5}}', "--limit", 3).out)
    assert len(rows) == 3
    assert all(row["row"] >= 5 for row in rows)


def test_vectors_of_several_fields_have_keys_of_their_own(shell: Shell, directory: Path) -> None:
    rows = _lines(shell("export", directory, "shop", "--vectors").out)
    assert rows[0] == {"id": "a", "vector.text": [1.0, 0.0, 0.0], "vector.image": [1.0, 0.0]}


def test_one_field_is_written_as_the_vector(shell: Shell, directory: Path) -> None:
    assert _lines(shell("export", directory, "shop", "--field", "image").out)[1] == {"id": "b", "vector": [0.0, 1.0]}


def test_a_field_that_is_not_there_is_named_with_those_that_are(shell: Shell, directory: Path) -> None:
    outcome = shell("export", directory, "shop", "--field", "sound")
    assert outcome.code == 1
    assert "'sound'; it has 'text', 'image'" in outcome.err


def test_metadata_under_the_key_of_the_id_is_an_error_that_names_the_way_out(shell: Shell, tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "data") as db:
        db.create_collection("docs", dim=2).upsert(["a"], [[1, 0]], [{"id": 5}])
    outcome = shell("export", tmp_path / "data", "docs")
    assert outcome.code == 2
    assert "--id-field" in outcome.err
    assert _lines(shell("export", tmp_path / "data", "docs", "--id-field", "key").out) == [{"key": "a", "id": 5}]


def test_a_server_is_exported_as_a_directory_is(shell: Shell) -> None:
    with server_in_this_process() as place:
        [address] = place.addresses
        with vecdb.connect(address) as db:
            db.create_collection("docs", dim=2).upsert([1, 2], [[1, 0], [0, 1]], [{"n": 1}, {"n": 2}])
        lines = _lines(shell("export", address, "docs", "--vectors").out)
    assert lines == [{"id": 1, "n": 1, "vector": [1.0, 0.0]}, {"id": 2, "n": 2, "vector": [0.0, 1.0]}]


def test_an_export_that_fails_leaves_the_file_that_was_there(shell: Shell, tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "data") as db:
        db.create_collection("docs", dim=2).upsert(["a", "b"], [[1, 0], [0, 1]], [{"n": 1}, {"id": 2}])
    file = tmp_path / "records.jsonl"
    file.write_text("precious")
    assert shell("export", tmp_path / "data", "docs", "--output", file).code == 2
    assert file.read_text() == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "records.jsonl"]


def test_parquet_keeps_times_and_has_null_where_a_record_lacks_a_key(shell: Shell, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    when = datetime(2026, 5, 17, 12, tzinfo=UTC)
    with vecdb.open(tmp_path / "data") as db:
        docs = db.create_collection("docs", dim=2)
        docs.upsert(["a", uuid.UUID(int=7)], [[1, 0], [0, 1]], [{"when": when}, {"n": 1.5}])
    assert shell("export", tmp_path / "data", "docs", "-o", tmp_path / "out.parquet").code == 0
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert rows == [
        {"id": "a", "when": when, "n": None},
        {"id": str(uuid.UUID(int=7)), "when": None, "n": 1.5},
    ]


def test_records_of_mixed_types_do_not_fit_parquet_and_the_error_names_the_key(shell: Shell, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with vecdb.open(tmp_path / "data") as db:
        db.create_collection("docs", dim=2).upsert(["a", "b"], [[1, 0], [0, 1]], [{"year": 1}, {"year": "old"}])
    outcome = shell("export", tmp_path / "data", "docs", "-o", tmp_path / "out.parquet")
    assert outcome.code == 2
    assert "'year'" in outcome.err
    assert "jsonl" in outcome.err
    assert not (tmp_path / "out.parquet").exists()


def test_an_empty_collection_is_an_empty_file(shell: Shell, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with vecdb.open(tmp_path / "data") as db:
        db.create_collection("docs", dim=2)
    assert shell("export", tmp_path / "data", "docs").out == ""
    assert shell("export", tmp_path / "data", "docs", "--vectors", "-o", tmp_path / "out.parquet").code == 0
    assert parquet.read_table(tmp_path / "out.parquet").num_rows == 0


@pytest.mark.parametrize(
    "words", [("--json",), ("--format", "parquet"), ("--vector-field", "id", "--vectors"), ("--output", "records.csv")]
)
def test_options_that_do_not_go_together_are_a_wrong_request(
    shell: Shell, directory: Path, words: tuple[str, ...]
) -> None:
    assert shell("export", directory, "docs", *words).code == 2


def test_a_file_that_cannot_be_written_is_one_line(shell: Shell, directory: Path, tmp_path: Path) -> None:
    outcome = shell("export", directory, "docs", "--output", tmp_path / "nowhere" / "out.jsonl")
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1
    assert "nowhere" in outcome.err


def test_a_compressed_export_is_the_same_text(shell: Shell, directory: Path, tmp_path: Path) -> None:
    shell("export", directory, "docs", "--vectors", "-o", tmp_path / "out.jsonl.gz")
    text = gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()).decode()
    assert text == shell("export", directory, "docs", "--vectors").out
    assert len(_lines(text)[0]["vector"]) == DIM


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_shows_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    for stream in (_Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with counting("exporting [1]") as report:
            if report is not None:
                report(5, 10)
        shown.append(stream.getvalue())
    assert "exporting [1]" in shown[0]
    assert shown[1] == ""
