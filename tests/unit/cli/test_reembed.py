"""The commands of re-embedding, as a shell gives them: words in, lines, documents and exit codes out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.unit.cli.conftest import Shell
from tests.unit.ingest.reembedding.models import NEW, OLD, fill, make
from vecdb.cli.app import run


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the collection is, for every command."""
    make(tmp_path, 12)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VECDB_INGEST_MODEL", OLD)  # that of the ingestor, which is not the new one
    return ["docs", "--to", "db", "--state", "state"]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The document that a command prints."""
    run(["reembed", *words, "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_whole_way_and_back(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reembed", *words, "--model", NEW, "--progress", "none"]) == 0
    out = capsys.readouterr().out
    assert "12 records filled" in out
    assert "level: every record has vectors of both models" in out
    assert "next: vecdb reembed compare docs --to db --state state, or switch" in out
    assert run(["reembed", "compare", *words, "--k", "3", "--sample", "5"]) == 0
    out = capsys.readouterr().out
    assert "overlap@3" in out
    assert "least alike:\n  overlap 0." in out
    assert re.search(r"    new: \d+  text \d+\n", out)
    assert run(["reembed", "switch", *words, "--progress", "none"]) == 0
    assert "switched: field default of docs holds the vectors of callable" in capsys.readouterr().out
    assert run(["reembed", "rollback", *words, "--progress", "none"]) == 0
    assert "rolled back" in capsys.readouterr().out
    assert run(["reembed", "switch", *words, "--progress", "none"]) == 0
    assert run(["reembed", "finish", *words]) == 0
    assert "the re-embedding is finished" in capsys.readouterr().out
    assert told(capsys, "status", *words)["stage"] == "idle"


def test_a_run_may_switch_at_its_end(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    document = told(capsys, *words, "--model", NEW, "--switch", "--progress", "none")
    assert (document["level"], document["switched"]["kept_as"]) == (True, "default-previous")
    assert told(capsys, "status", *words)["stage"] == "switched"


def test_documents_say_what_lines_say(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "run", *words, "--model", NEW, "--progress", "none")["counts"]["stored"] == 12
    found = told(capsys, "status", *words)
    assert (found["stage"], found["records"], found["due"], found["beside"]) == ("filling", 12, 0, "default-next")
    assert told(capsys, "compare", *words)["queries"] == 12
    assert told(capsys, "cancel", *words) == {"collection": "docs", "field": "default", "dropped": "default-next"}


def test_records_that_are_left_out_are_told_and_the_exit_code_says_so(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with vecdb.open("db") as db:
        fill(db.collection("docs"), ["poison"], first=90)
    assert run(["reembed", *words, "--model", NEW, "--progress", "none"]) == 4
    assert "left out: 90: text 0 is poison" in capsys.readouterr().out
    assert run(["reembed", "failed", *words]) == 4
    assert "poison" in capsys.readouterr().out
    assert run(["reembed", "switch", *words, "--progress", "none"]) == 2
    assert "--allow-missing" in capsys.readouterr().err
    assert run(["reembed", "switch", *words, "--progress", "none", "--allow-missing"]) == 4


def test_progress_is_told_in_json_lines_where_there_is_no_terminal(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["reembed", *words, "--model", NEW])
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [lines[0]["event"], lines[-1]["event"]] == ["started", "ended"]
    assert lines[-1]["counts"]["stored"] == 12


def test_queries_of_a_file_tell_what_is_found_of_known_pairs(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("pairs.csv").write_text("query,id\ntext 3,3\ntext 4,4\nelsewhere,none\n", encoding="utf-8")
    run(["reembed", *words, "--model", NEW, "--progress", "none"])
    capsys.readouterr()
    assert run(["reembed", "compare", *words, "--queries", "pairs.csv", "--k", "1"]) == 0
    out = capsys.readouterr().out
    assert "recall@1 of 2 known pairs, new model" in out
    assert "1 pairs left out" in out


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["docs", "--model", NEW], 2, "to is missing"),
        (["nope", "--to", "db", "--model", NEW], 1, "no collection 'nope'"),
        (["docs", "--to", "elsewhere", "--model", NEW], 1, "there is no database at"),
        (["docs", "--to", "db"], 2, "Name it with --model"),
        (["docs", "--to", "db", "--model", "unknown:x"], 2, "there is no provider"),
        (["docs", "--to", "db", "--model", NEW, "--progress", "loud"], 2, "--progress is 'loud'"),
        (["docs", "--to", "db", "--model", NEW, "--embedders", "0"], 2, "--embedders is 0"),
        (["finish", "docs", "--to", "db"], 2, "nothing is beside it"),
        (["compare", "docs", "--to", "db", "--queries", "none.txt"], 1, "there is no file of queries"),
    ],
)
def test_a_wrong_request_is_answered_in_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str], more: list[str], code: int, message: str
) -> None:
    del words
    assert run(["reembed", *more, "--state", "state"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert "Traceback" not in " ".join(lines)


def test_without_words_the_help_tells_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    run(["reembed", "--help"])
    out = capsys.readouterr().out
    assert "Steps: run adds a field" in out
    for command in ("run", "status", "failed", "compare", "switch", "rollback", "finish", "cancel"):
        assert f"  {command} " in out


def test_the_help_says_what_the_field_is_to_this_command(shell: Shell) -> None:
    assert "field that is moved to the new model" in " ".join(shell("reembed", "status", "--help").out.split())
    assert "Only pipelines that fill this vector field" in " ".join(shell("ingest", "status", "--help").out.split())
