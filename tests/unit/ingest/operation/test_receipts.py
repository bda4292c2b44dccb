"""A run with nothing to do is answered by the receipt of the last one, and only then."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import vecdb
from vecdb.ingest import receipts
from vecdb.ingest.embedders.static import builtin
from vecdb.ingest.operation import commands
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.operation.standing import leave_receipt
from vecdb.server.app import serving
from vecdb.server.services import bind_services
from vecdb.server.settings import ServerConfig

ROOT = Path(__file__).resolve().parents[4]
QUIET = vecdb.EngineConfig(progress=False, background=False, map_bytes=1 << 32)
ROWS = {f"r{number}": f"text of row {number}" for number in range(20)}


@dataclass
class Desk:
    """A file of rows and a server, with a receipt of the last run."""

    folder: Path
    address: str

    @property
    def rows(self) -> Path:
        return self.folder / "rows.jsonl"

    @property
    def place(self) -> str:
        return str(self.folder / "receipts" / "one")

    def write(self, rows: dict[str, str], seconds: int = 1_000_000) -> None:
        self.rows.write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in rows.items()))
        os.utime(self.rows, (seconds, seconds))  # long ago, so that it is believed at once

    def run(self, **options: Any) -> None:
        """Run, and leave a receipt if that can be."""
        where = {"to": self.address, "collection": "docs", "state": str(self.folder / "state")}
        settings = IngestSettings(sources=(str(self.rows),), **(where | options))
        leave_receipt(self.place, settings, commands.run(settings))

    def is_answered(self) -> bool:
        return os.path.exists(self.place) and receipts.still_true(self.place) is not None  # noqa: PTH110 - a str


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    address = f"unix:{tmp_path}/socket"
    config = ServerConfig(data=str(tmp_path / "db"), listen=(address,), drain_s=1.0)
    with (
        vecdb.open(config.data, config=QUIET) as database,
        serving(config, bind_services(database, config), database=database, log_stream=io.StringIO()),
    ):
        desk = Desk(tmp_path, address)
        desk.write(ROWS)
        yield desk


@contextlib.contextmanager
def collection(desk: Desk) -> Iterator[vecdb.RemoteCollection]:
    with vecdb.connect(desk.address) as db:
        yield db.collection("docs")


def test_a_run_after_which_nothing_changed_is_answered_by_its_receipt(desk: Desk) -> None:
    desk.run()
    facts = receipts.still_true(desk.place)
    assert facts is not None
    assert facts["report"]["counts"]["skipped"] == len(ROWS)


def test_what_is_printed_is_what_a_run_with_nothing_to_do_reports(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.run()
    settings = IngestSettings(
        sources=(str(desk.rows),), to=desk.address, collection="docs", state=str(desk.folder / "state")
    )
    full = commands.run(settings).to_dict()
    desk.run()
    facts = receipts.still_true(desk.place)
    assert facts is not None
    receipts.tell(facts, full["seconds"], as_json=True, progress="none")
    assert json.loads(capsys.readouterr().out) == full


def test_a_changed_file_is_run(desk: Desk) -> None:
    desk.run()
    desk.write(ROWS | {"r3": "changed"})
    assert not desk.is_answered()


def test_a_changed_file_of_the_same_size_and_time_is_run(desk: Desk) -> None:
    desk.run()
    changed = desk.rows.with_suffix(".new")
    changed.write_text(desk.rows.read_text().replace("row 3", "row x"))
    os.utime(changed, (1_000_000, 1_000_000))
    changed.replace(desk.rows)
    assert not desk.is_answered()


def test_a_file_that_was_only_touched_is_answered_for_by_its_content(desk: Desk) -> None:
    desk.run()
    os.utime(desk.rows, (2_000_000, 2_000_000))
    assert desk.is_answered()
    noted = json.loads(Path(desk.place).read_text())["parts"][0]["state"]
    assert noted == receipts.state_of(str(desk.rows))


def test_a_file_that_was_touched_just_now_is_looked_at_again_next_time(desk: Desk) -> None:
    desk.run()
    before = Path(desk.place).read_text()
    os.utime(desk.rows)
    assert desk.is_answered()
    assert Path(desk.place).read_text() == before


def test_records_that_others_deleted_are_noticed_by_their_number(desk: Desk) -> None:
    desk.run()
    with collection(desk) as docs:
        docs.delete(["r3"])
    assert not desk.is_answered()


def test_a_collection_that_was_made_anew_is_noticed(desk: Desk) -> None:
    desk.run()
    with vecdb.connect(desk.address) as db:
        db.drop_collection("docs")
        assert not desk.is_answered()
        db.create_collection("docs", 256).upsert(list(ROWS), builtin().embed(list(ROWS.values())))
    assert not desk.is_answered()


def test_a_journal_that_was_written_since_is_noticed(desk: Desk) -> None:
    desk.run()
    kept = Path(desk.place).read_text()
    desk.run(reread=True)
    Path(desk.place).write_text(kept)
    assert not desk.is_answered()


def test_a_run_that_failed_in_part_leaves_no_receipt(desk: Desk) -> None:
    desk.write(ROWS | {"bad": ""})
    desk.run()
    assert not desk.is_answered()


def test_a_damaged_receipt_answers_nothing(desk: Desk) -> None:
    desk.run()
    Path(desk.place).write_text('{"form": 1, "kept": [')
    assert not desk.is_answered()


def test_other_words_or_another_place_have_another_receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["ingest", "run", "a", "--to", "h:1", "--collection", "c", "--state", str(tmp_path)]
    monkeypatch.chdir(tmp_path)
    places = {receipts.place_of(words, {}, "1"), receipts.place_of([*words, "--json"], {}, "1")}
    places |= {receipts.place_of(words, {"VECDB_INGEST_FIELD": "f"}, "1"), receipts.place_of(words, {}, "2")}
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert len(places | {receipts.place_of(words, {}, "1")}) == 5


@pytest.mark.parametrize("more", [["--reread"], ["--config=x.toml"], ["--metrics-listen", "127.0.0.1:0"]])
def test_a_run_that_is_to_look_has_no_receipt(more: list[str]) -> None:
    assert receipts.place_of(["ingest", "run", "a", *more], {}, "1") is None


def test_a_process_with_nothing_to_do_is_over_without_a_run(desk: Desk) -> None:
    words = ["ingest", "run", str(desk.rows), "--to", desk.address, "--collection", "docs", "--json"]
    command = [sys.executable, "-m", "vecdb", *words, "--state", str(desk.folder / "state")]
    ended = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(2)]
    first, again = (json.loads(one.stdout)["counts"] for one in ended)
    assert (first["stored"], again["stored"], again["skipped"]) == (len(ROWS), 0, len(ROWS))
    events = [json.loads(line)["event"] for line in ended[1].stderr.splitlines()]
    assert events == ["started", "part", "source", "ended"]
    [pipeline] = vecdb.ingest.status(state=str(desk.folder / "state"))
    assert len(pipeline.runs) == 1
