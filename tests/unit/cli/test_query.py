"""`vecdb search` and `vecdb recall`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vecdb
from tests.unit.cli.conftest import DIM, Shell


def _save(path: Path, array: object) -> Path:
    np.save(path, np.asarray(array))
    return path


def test_search_like_a_record_leaves_that_record_out(shell: Shell, directory: Path) -> None:
    hits = shell("search", directory, "docs", "--like", "0", "--limit", "4", "--json").document["hits"]
    assert sorted(hit["id"] for hit in hits) == [4, 8, 12, 16]


def test_search_with_a_vector_file_finds_the_nearest(shell: Shell, directory: Path, tmp_path: Path) -> None:
    query = _save(tmp_path / "query.npy", [0.0, 1.0, 0.0, 0.0])
    hits = shell("search", directory, "docs", "--vector", query, "--limit", "1", "--json").document["hits"]
    assert [hit["id"] for hit in hits] == [1]
    assert hits[0]["metadata"]["row"] == 1


def test_search_prints_metadata_without_interpreting_it(shell: Shell, directory: Path) -> None:
    assert "[bold]x" in shell("search", directory, "docs", "--like", "0").out


def test_long_metadata_does_not_push_out_the_other_columns(shell: Shell, tmp_path: Path) -> None:
    with vecdb.open(tmp_path / "data") as db:
        db.create_collection("docs", dim=2).upsert(["one", "two"], [[1, 0], [1, 1]], [{"text": "long " * 100}] * 2)
    outcome = shell("search", tmp_path / "data", "docs", "--like", "one")
    assert "two" in outcome.out
    assert "0.7071" in outcome.out


def test_search_in_a_field_uses_its_vectors(shell: Shell, directory: Path, tmp_path: Path) -> None:
    query = _save(tmp_path / "query.npy", [[0.0, 1.0]])
    document = shell(
        "search", directory, "shop", "--vector", query, "--field", "image", "--limit", "1", "--json"
    ).document
    assert [hit["id"] for hit in document["hits"]] == ["b"]


def test_search_like_a_record_of_several_fields_needs_a_field(shell: Shell, directory: Path) -> None:
    outcome = shell("search", directory, "shop", "--like", "a")
    assert outcome.code == 2
    assert "--field" in outcome.err


def test_search_can_explain_itself(shell: Shell, directory: Path) -> None:
    assert "tail" in shell("search", directory, "docs", "--like", "0", "--explain", "--json").document["explain"]


@pytest.mark.parametrize("words", [(), ("--like", "0", "--vector", "query.npy")])
def test_search_needs_exactly_one_kind_of_query(shell: Shell, directory: Path, words: tuple[str, ...]) -> None:
    outcome = shell("search", directory, "docs", *words)
    assert outcome.code == 2
    assert "--like" in outcome.err


def test_search_like_a_missing_record_exits_with_one(shell: Shell, directory: Path) -> None:
    outcome = shell("search", directory, "docs", "--like", "nobody", "--json")
    assert outcome.code == 1
    assert outcome.document["error"]["reason"] == "RECORD_NOT_FOUND"


@pytest.mark.parametrize(
    "array", [np.zeros((2, DIM)), np.array(1.0), np.array(["a"])], ids=["matrix", "scalar", "text"]
)
def test_vector_file_of_another_shape_is_a_wrong_request(
    shell: Shell, directory: Path, tmp_path: Path, array: object
) -> None:
    outcome = shell("search", directory, "docs", "--vector", _save(tmp_path / "query.npy", array), "--json")
    assert outcome.code == 2
    assert outcome.document["error"]["reason"] == "INVALID_VECTOR"


def test_vector_file_of_another_dimension_is_a_wrong_request(shell: Shell, directory: Path, tmp_path: Path) -> None:
    query = _save(tmp_path / "query.npy", np.ones(DIM + 1))
    outcome = shell("search", directory, "docs", "--vector", query, "--json")
    assert outcome.document["error"]["reason"] == "DIMENSION_MISMATCH"


def test_vector_file_with_pickled_objects_is_not_loaded(shell: Shell, directory: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "query.npy", np.array([{}], dtype=object), allow_pickle=True)
    outcome = shell("search", directory, "docs", "--vector", tmp_path / "query.npy")
    assert outcome.code == 2


def test_vector_file_that_promises_too_much_is_not_loaded(shell: Shell, directory: Path, tmp_path: Path) -> None:
    """A header of 10^15 numbers over an empty body costs no memory."""
    with (tmp_path / "query.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)})
    assert shell("search", directory, "docs", "--vector", tmp_path / "query.npy").code == 2


def test_missing_vector_file_is_a_wrong_request(shell: Shell, directory: Path) -> None:
    assert shell("search", directory, "docs", "--vector", "nowhere.npy").code == 2


def test_recall_of_a_small_collection_is_perfect(shell: Shell, directory: Path) -> None:
    document = shell("recall", directory, "docs", "--k", "3", "--sample", "10", "--json").document
    assert document["recall"] == 1.0
    assert document["k"] == 3


def test_recall_prints_one_line_for_people(shell: Shell, directory: Path) -> None:
    outcome = shell("recall", directory, "docs", "--k", "3")
    assert outcome.out.startswith("recall@3 1.0000")
    assert outcome.out.count("\n") == 1


def test_search_takes_a_filter(shell: Shell, directory: Path) -> None:
    outcome = shell("search", directory, "docs", "--like", "0", "--filter", '{"row": {"$lt": 3}}', "--json")
    hits = outcome.document["hits"]
    assert sorted(hit["metadata"]["row"] for hit in hits) == [1, 2]


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_that_is_none_is_refused_for_searches_like_a_record_too(
    shell: Shell, directory: Path, limit: str
) -> None:
    refused = shell("search", directory, "docs", "--like", "0", "--limit", limit)
    assert refused.code == 2
    assert f"limit is {limit}" in refused.err


@pytest.mark.parametrize("text", ["", "  "])
def test_a_search_for_an_empty_text_is_refused(shell: Shell, directory: Path, text: str) -> None:
    refused = shell("search", directory, "docs", text)
    assert refused.code == 2
    assert "TEXT is empty" in refused.err
