"""`vecdb info`, `vecdb get`, `vecdb count`."""

from __future__ import annotations

from pathlib import Path

import pytest

import vecdb
from tests.conformance.served_fronts import server_in_this_process
from tests.unit.cli.conftest import DIM, ROWS, SHARED_UUID, Shell
from vecdb.config import FORMAT_VERSION


def test_info_lists_every_collection_and_field(shell: Shell, directory: Path) -> None:
    document = shell("info", directory, "--json").document
    assert [entry["name"] for entry in document["collections"]] == ["docs", "shop"]
    assert {field["name"]: field["dim"] for field in document["collections"][1]["fields"]} == {"text": 3, "image": 2}
    assert document["collections"][0]["records"] == ROWS
    assert document["format_version"] == FORMAT_VERSION
    assert document["file_bytes"] > 0


def test_info_of_one_collection_shows_only_that(shell: Shell, directory: Path) -> None:
    document = shell("info", directory, "shop", "--json").document
    assert [entry["name"] for entry in document["collections"]] == ["shop"]


def test_info_prints_a_table_for_people(shell: Shell, directory: Path) -> None:
    outcome = shell("info", directory)
    assert outcome.code == 0
    assert f"docs: {ROWS} record(s)" in outcome.out
    assert "tail rows" in outcome.out


def test_info_of_an_empty_database_says_so(shell: Shell, tmp_path: Path) -> None:
    vecdb.open(tmp_path / "empty").close()
    outcome = shell("info", tmp_path / "empty")
    assert outcome.code == 0
    assert "0 collection(s)" in outcome.out


def test_reading_commands_work_beside_a_live_writer(shell: Shell, directory: Path) -> None:
    with vecdb.open(directory) as db:
        db.collection("docs").upsert(["late"], [[1.0] * DIM])
        assert shell("count", directory, "docs").out == f"{ROWS + 1}\n"


def test_get_prints_one_json_object_per_record(shell: Shell, directory: Path) -> None:
    outcome = shell("get", directory, "docs", "seven")
    assert outcome.out == '{"id":"seven","metadata":{"row":17,"text":"[bold]x"}}\n'


def test_get_with_vectors_prints_them(shell: Shell, directory: Path) -> None:
    document = shell("get", directory, "docs", "seven", "--vectors", "--json").document
    assert [len(vector) for vector in document["records"][0]["vectors"].values()] == [DIM]


def test_get_of_a_missing_record_prints_the_others_and_exits_with_one(shell: Shell, directory: Path) -> None:
    outcome = shell("get", directory, "docs", "3", "nobody")
    assert outcome.code == 1
    assert '"row":3' in outcome.out
    assert "'nobody'" in outcome.err


def test_get_of_a_missing_record_is_named_in_the_document(shell: Shell, directory: Path) -> None:
    outcome = shell("get", directory, "docs", "nobody", "--json")
    assert outcome.code == 1
    assert outcome.document == {"records": [], "missing": ["nobody"]}


def test_get_finds_a_uuid_by_its_text(shell: Shell, directory: Path) -> None:
    assert shell("get", directory, "docs", SHARED_UUID, "--json").document["records"][0]["metadata"]["row"] == 19


def test_id_that_may_be_two_records_must_be_typed(shell: Shell, directory: Path) -> None:
    outcome = shell("get", directory, "docs", "7")
    assert outcome.code == 2
    assert "--id-type" in outcome.err


@pytest.mark.parametrize(("id_type", "row"), [("int", 7), ("str", 18)])
def test_id_type_chooses_between_equal_spellings(shell: Shell, directory: Path, id_type: str, row: int) -> None:
    document = shell("get", directory, "docs", "7", "--id-type", id_type, "--json").document
    assert document["records"][0]["metadata"]["row"] == row


@pytest.mark.parametrize("id_type", ["int", "uuid"])
def test_id_that_cannot_be_of_its_type_is_a_wrong_request(shell: Shell, directory: Path, id_type: str) -> None:
    outcome = shell("get", directory, "docs", "seven", "--id-type", id_type)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_count_of_all_collections_has_a_total(shell: Shell, directory: Path) -> None:
    assert shell("count", directory, "--json").document == {"counts": {"docs": ROWS, "shop": 2}, "total": ROWS + 2}


def test_count_of_one_collection_is_a_bare_number(shell: Shell, directory: Path) -> None:
    assert shell("count", directory, "docs").out == f"{ROWS}\n"


def test_count_takes_a_filter(shell: Shell, directory: Path) -> None:
    assert shell("count", directory, "docs", "--filter", '{"row": {"$gte": 15}}').out == "5\n"


@pytest.mark.parametrize("text", ["row > 3", "[1]", '{"row": {"$gtee": 1}}'])
def test_a_filter_that_is_none_is_a_wrong_request(shell: Shell, directory: Path, text: str) -> None:
    outcome = shell("count", directory, "docs", "--filter", text)
    assert outcome.code == 2
    assert "filter" in outcome.err


def test_info_names_the_indexes(shell: Shell, directory: Path) -> None:
    with vecdb.open(directory) as db:
        db.collection("docs").create_index("row", "int")
    assert "row (int)" in shell("info", directory).out
    [docs, _] = shell("info", directory, "--json").document["collections"]
    assert docs["indexes"] == [{"path": "row", "kind": "int", "ready": True}]


def test_a_server_is_asked_as_a_directory_is(shell: Shell) -> None:
    with server_in_this_process() as place:
        [address] = place.addresses
        with vecdb.connect(address) as db:
            db.create_collection("docs", dim=2).upsert([1, 2], [[1, 0], [0, 1]], [{"n": 1}, {"n": 2}])
        got = shell("get", address, "docs", 1, 3, "--json")
        counted = shell("count", address, "--filter", '{"n": {"$gt": 1}}', "--json").document
        info = shell("info", address, "--json").document
        told = shell("info", address).out
        recall = shell("recall", address, "docs", "--k", 1, "--json").document
    assert (got.code, got.document) == (1, {"records": [{"id": 1, "metadata": {"n": 1}}], "missing": ["3"]})
    assert counted == {"counts": {"docs": 1}, "total": 1}
    assert recall["recall"] == 1.0
    assert info["address"] == address
    assert [(entry["name"], entry["records"]) for entry in info["collections"]] == [("docs", 2)]
    assert told.startswith(f"{address}: seq {info['seq']}, 1 collection(s)\n")
