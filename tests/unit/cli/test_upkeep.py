"""`vecdb verify`, `vecdb backup`, `vecdb optimize`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vecdb
from tests.conformance.served_fronts import server_in_this_process
from tests.unit.cli.conftest import ROWS, Shell
from tests.unit.engine.filling import damage_record
from vecdb.types import VerifyReport


def test_verify_of_a_sound_database_exits_with_zero(shell: Shell, directory: Path) -> None:
    outcome = shell("verify", directory)
    assert outcome.code == 0
    assert "sound" in outcome.out


def test_verify_reports_what_it_read(shell: Shell, directory: Path) -> None:
    document = shell("verify", directory, "--json").document
    assert document["ok"] is True
    assert document["records"] == ROWS + 2


def test_verify_with_problems_exits_with_one(shell: Shell, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = VerifyReport(pages=1, values=1, records=1, chunks=1, problems=("page 7: bad checksum",), seconds=0.1)
    monkeypatch.setattr("vecdb.engine.database.Database.verify", lambda _: report)
    outcome = shell("verify", directory)
    assert outcome.code == 1
    assert "page 7: bad checksum" in outcome.out


@pytest.mark.parametrize("options", [(), ("--compact",)])
def test_backup_can_be_opened_and_holds_every_record(
    shell: Shell, directory: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    document = shell("backup", directory, tmp_path / "copy", *options, "--json").document
    assert document["file_bytes"] > 0
    assert shell("count", tmp_path / "copy", "docs").out == f"{ROWS}\n"


def test_backup_onto_something_existing_is_refused(shell: Shell, directory: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "file").write_text("precious")
    assert shell("backup", directory, tmp_path / "copy").code != 0
    assert (tmp_path / "copy" / "file").read_text() == "precious"


def test_optimize_leaves_every_record_in_place(shell: Shell, directory: Path) -> None:
    document = shell("optimize", directory, "docs", "--json").document
    assert [(entry["name"], entry["records"]) for entry in document["collections"]] == [("docs", ROWS)]


def test_optimize_beside_a_writer_says_who_holds_the_directory(shell: Shell, directory: Path) -> None:
    with vecdb.open(directory):
        outcome = shell("optimize", directory, "--json")
    assert outcome.code == 3
    assert outcome.document["error"]["reason"] == "DATABASE_LOCKED"
    assert "HOST:PORT" in outcome.document["error"]["message"]


def test_optimize_does_not_create_a_database(shell: Shell, tmp_path: Path) -> None:
    assert shell("optimize", tmp_path / "nothing").code == 1
    assert list(tmp_path.iterdir()) == []


def test_backup_of_a_damaged_database_fails_unless_it_is_not_to_be_checked(
    shell: Shell, directory: Path, tmp_path: Path
) -> None:
    with vecdb.open(directory) as db:
        damage_record(db)
    outcome = shell("backup", directory, tmp_path / "copy")
    assert outcome.code != 0
    assert "--no-check" in outcome.err
    assert shell("backup", directory, tmp_path / "copy", "--no-check").code == 0


def test_a_server_looks_after_what_it_serves(shell: Shell) -> None:
    with server_in_this_process() as place:
        [address] = place.addresses
        with vecdb.connect(address) as db:
            db.create_collection("docs", dim=2).upsert([1, 2], [[1, 0], [0, 1]])
        verified = shell("verify", address, "--json").document
        optimized = shell("optimize", address, "--json").document
        copied = shell("backup", address, "monday")
        assert shell("count", place.backups / "monday", "docs").out == "2\n"
    assert (verified["ok"], verified["records"]) == (True, 2)
    assert [entry["name"] for entry in optimized["collections"]] == ["docs"]
    assert copied.out == f"monday: written to the backups of {address}\n"


def test_a_backup_of_a_server_takes_a_name_and_no_path(shell: Shell, tmp_path: Path) -> None:
    with server_in_this_process() as place:
        outcome = shell("backup", *place.addresses, tmp_path / "copy")
    assert outcome.code == 2
    assert "backup name" in outcome.err


def test_calibrate_keeps_queries_and_forgets_them(shell: Shell, directory: Path, tmp_path: Path) -> None:
    with vecdb.open(directory, mode="r") as db:
        dim = db.collection("docs").fields["default"].dim
    np.save(tmp_path / "queries.npy", np.random.default_rng(1).standard_normal((60, dim)).astype(np.float32))
    assert "60 queries kept" in shell("calibrate", directory, "docs", tmp_path / "queries.npy").out
    assert shell("calibrate", directory, "docs", "--forget", "--json").document == {"collection": "docs", "kept": 0}


def test_calibrate_wants_an_array_of_queries(shell: Shell, directory: Path, tmp_path: Path) -> None:
    (tmp_path / "queries.npy").write_text("no array")
    assert "cannot read queries" in shell("calibrate", directory, "docs", tmp_path / "queries.npy").err
    np.save(tmp_path / "flat.npy", np.ones(4))
    assert "(n, dim)" in shell("calibrate", directory, "docs", tmp_path / "flat.npy").err
    assert "--forget" in shell("calibrate", directory, "docs").err


def test_info_shows_how_many_queries_recall_was_calibrated_with(shell: Shell, directory: Path) -> None:
    assert "calibrated" not in shell("info", directory).out
    with vecdb.open(directory, config=vecdb.EngineConfig(tail_rows_index=1, progress=False)) as db:
        docs = db.collection("docs")
        docs.optimize()
        docs.calibrate(np.random.default_rng(1).standard_normal((60, docs.fields["default"].dim)))
    assert "60 queries" in shell("info", directory).out
