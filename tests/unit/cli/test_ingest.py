"""`vecdb ingest`: options, results and exit codes, in this process."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.unit.cli.conftest import Outcome, Shell
from vecdb.fingerprint import ModelFingerprint
from vecdb.ingest.operation.settings import settings

ROWS = [
    {"id": "hours", "text": "The office is open from nine to five.", "topic": "office"},
    {"id": "leave", "text": "Holidays are asked for two weeks ahead.", "topic": "people"},
    {"id": "key", "text": "Lost keys are reported at the front desk.", "topic": "office"},
]


class Desk:
    """A folder with rows to ingest, and the command to do it."""

    def __init__(self, folder: Path, shell: Shell) -> None:
        self.folder = folder
        self.rows = folder / "rows.jsonl"
        self.data = folder / "data"
        self.state = folder / "state"
        self._shell = shell
        self.write(*ROWS)

    def write(self, *rows: dict[str, Any]) -> None:
        self.rows.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def vecdb(self, action: str, *words: object, **changed: object) -> Outcome:
        given = {"to": self.data, "collection": "help", "state": self.state, **changed}
        sources = [] if action in {"status", "failed"} else [self.rows]
        flags = [word for name, value in given.items() if value for word in (f"--{name}", value)]
        return self._shell("ingest", action, *sources, *flags, *words)

    def run(self, *words: str) -> Outcome:
        """Any command."""
        return self._shell(*words)

    def report(self, action: str, *words: object) -> dict[str, Any]:
        return self.vecdb(action, "--json", *words).document

    def texts(self) -> dict[Any, str]:
        with vecdb.open(self.data, mode="r") as db:
            return {record.id: record.metadata["text"] for record in db.collection("help").iterate()}


@pytest.fixture
def desk(tmp_path: Path, shell: Shell) -> Desk:
    return Desk(tmp_path, shell)


# --- options --------------------------------------------------------------------------------------------------------


def test_every_setting_has_its_option(shell: Shell) -> None:
    text = shell("ingest", "watch", "--help").out
    assert not [name for name in settings() if name != "sources" and f"--{name.replace('_', '-')}" not in text]


def test_the_help_says_where_state_lies_and_what_exit_codes_mean(shell: Shell) -> None:
    assert "XDG_STATE_HOME" in shell("ingest", "--help").out
    assert "Exit codes:" in shell("ingest", "run", "--help").out


def test_an_unknown_option_is_a_usage_error_with_a_suggestion(desk: Desk) -> None:
    outcome = desk.vecdb("run", "--chunk-token", 3)
    assert outcome.code == 2
    assert "--chunk-tokens" in outcome.err


def test_an_unknown_variable_is_an_error_with_a_suggestion(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECDB_INGEST_CHUNKR", "none")
    outcome = desk.vecdb("run", "--json")
    assert (outcome.code, outcome.document["error"]["reason"]) == (2, "INVALID_CONFIG")
    assert "did you mean chunker?" in outcome.document["error"]["message"]


def test_a_key_on_the_command_line_is_refused_and_not_repeated(desk: Desk) -> None:
    outcome = desk.vecdb("run", "--model", "openai:m", "--model-option", "api_key=sk-secret")
    assert outcome.code == 2
    assert "key_env" in outcome.err
    assert "sk-secret" not in outcome.err


def test_a_toml_file_may_say_it_all(desk: Desk, shell: Shell) -> None:
    file = desk.folder / "i.toml"
    file.write_text(
        f"sources = ['{desk.rows}']\nto = '{desk.data}'\ncollection = 'help'\nstate = '{desk.state}'\n"
        "chunker = 'none'\n[model_option]\n"
    )
    assert shell("ingest", "run", "--config", file).code == 0
    assert len(desk.texts()) == len(ROWS)


# --- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_makes_the_collection_and_a_second_one_finds_nothing_to_do(desk: Desk) -> None:
    first = desk.vecdb("run")
    assert (first.code, desk.texts()["hours"]) == (0, ROWS[0]["text"])
    assert "3 new" in first.out
    again = desk.report("run")["counts"]
    assert (again["embedded"], again["stored"], again["unchanged"] + again["skipped"]) == (0, 0, 3)


def test_changes_and_what_vanished_reach_the_collection(desk: Desk) -> None:
    desk.vecdb("run")
    desk.write({**ROWS[0], "text": "The office is closed."}, ROWS[1])
    counts = desk.report("run")["counts"]
    assert (counts["changed"], counts["deleted"], counts["unchanged"]) == (1, 1, 1)
    assert desk.texts() == {"hours": "The office is closed.", "leave": ROWS[1]["text"]}


def test_what_vanished_is_kept_if_wanted(desk: Desk) -> None:
    desk.vecdb("run")
    desk.write(ROWS[0])
    desk.vecdb("run", "--keep-vanished")
    assert set(desk.texts()) == {"hours", "leave", "key"}


def test_what_is_left_of_a_row_becomes_metadata(desk: Desk) -> None:
    desk.vecdb("run")
    with vecdb.open(desk.data, mode="r") as db:
        record = db.collection("help").get("hours")
    assert record is not None
    assert record.metadata["topic"] == "office"


def test_fields_of_rows_may_have_other_names(desk: Desk) -> None:
    desk.write({"key": "a", "body": "some text"})
    assert desk.vecdb("run", "--id-field", "key", "--text-field", "body").code == 0
    assert desk.texts() == {"a": "some text"}


def test_the_collection_answers_in_words_by_its_own_model(desk: Desk) -> None:
    desk.vecdb("run")
    with vecdb.open(desk.data, mode="r") as db:
        collection = db.collection("help")
        model = vecdb.ingest.open_model(collection)
        found = collection.search(model.embed(["where is my lost key?"], role="query")[0], model=model.fingerprint)
        model.close()
    assert found[0].id == "key"


def test_without_a_terminal_progress_is_lines_of_json(desk: Desk) -> None:
    lines = [json.loads(line) for line in desk.vecdb("run").err.splitlines()]
    assert [line["event"] for line in lines] == ["started", "part", "source", "ended"]
    assert lines[-1]["outcome"] == "done"


def test_progress_may_be_left_out(desk: Desk) -> None:
    assert desk.vecdb("run", "--progress", "none").err == ""


def test_a_plan_counts_and_writes_nothing(desk: Desk) -> None:
    plan = desk.report("plan")
    assert (plan["new"], plan["to_embed"], plan["creates_collection"]) == (3, 3, True)
    assert plan["tokens"] > 0
    assert sorted(path.name for path in desk.folder.iterdir()) == ["rows.jsonl"]


def test_a_plan_after_a_run_tells_new_from_changed_from_gone(desk: Desk) -> None:
    desk.vecdb("run")
    desk.write({**ROWS[0], "text": "other"}, ROWS[1], {"id": "new", "text": "more"})
    plan = desk.report("plan")
    assert [plan[name] for name in ("new", "changed", "unchanged", "vanished", "to_embed")] == [1, 1, 1, 1, 2]
    assert set(desk.texts()) == {"hours", "leave", "key"}


def test_a_plan_is_readable(desk: Desk) -> None:
    text = desk.vecdb("plan").out
    assert "which would be made" in text
    assert "3 new, 0 changed, 0 unchanged, 0 to delete, 0 failed" in text
    assert "3 chunks to embed: about " in text


def test_images_that_the_model_cannot_embed_are_said_to_be_left_out(desk: Desk) -> None:
    folder = desk.folder / "docs"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0")
    (folder / "a.txt").write_text("text")
    to = ["--to", str(desk.data), "--collection", "c", "--state", str(desk.state)]
    out = desk.run("ingest", "run", str(folder), *to).out
    assert "1 image left out" in out


# --- failures -------------------------------------------------------------------------------------------------------


def test_a_bad_row_is_in_quarantine_and_the_exit_code_says_so(desk: Desk) -> None:
    desk.write(*ROWS, {"id": "bad"})
    outcome = desk.vecdb("run")
    assert (outcome.code, set(desk.texts())) == (4, {"hours", "leave", "key"})
    told = outcome.out.partition("see: vecdb ")[2].split()
    assert desk.run(*told).code == 4


def test_failures_are_listed_with_file_and_line_until_they_are_mended(desk: Desk) -> None:
    desk.write(*ROWS, {"id": "bad"})
    desk.vecdb("run")
    listed = desk.vecdb("failed")
    assert listed.code == 4
    assert f"{desk.rows}:4" in listed.out
    (failure,) = desk.vecdb("failed", "--json").document["failures"]
    assert (failure["id"], failure["reason"], failure["position"]) == ("bad", "INVALID_DOCUMENT", f"{desk.rows}:4")
    desk.write(*ROWS, {"id": "bad", "text": "mended"})
    assert desk.vecdb("retry").code == 0
    assert desk.vecdb("failed").code == 0
    assert desk.texts()["bad"] == "mended"


def test_failures_are_listed_in_the_order_of_their_lines(desk: Desk) -> None:
    """Rows with an id and rows without one, which are kept apart, and lines of one and of two digits."""
    desk.write(*ROWS, *({"id": f"bad {n}"} if n % 3 else {"text": f"no id {n}"} for n in range(9)))
    desk.vecdb("run")
    found = desk.vecdb("failed", "--json").document["failures"]
    assert [failure["position"] for failure in found] == [f"{desk.rows}:{line}" for line in range(4, 13)]


def test_retry_may_be_limited_to_some_items(desk: Desk) -> None:
    desk.write({"id": "a"}, {"id": "b"})
    desk.vecdb("run")
    desk.write({"id": "a", "text": "now"}, {"id": "b", "text": "too"})
    desk.vecdb("retry", "--only", "b")
    assert desk.texts() == {"b": "too"}


# --- history --------------------------------------------------------------------------------------------------------


def test_status_tells_what_is_held_and_what_runs_did(desk: Desk, shell: Shell) -> None:
    desk.vecdb("run")
    (pipeline,) = shell("ingest", "status", "--state", desk.state, "--json").document["pipelines"]
    assert (pipeline["items"], pipeline["failures"], pipeline["running"]) == (3, 0, None)
    assert (pipeline["to"], pipeline["sources"]) == (str(desk.data), [str(desk.rows)])
    assert (pipeline["runs"][0]["state"], pipeline["runs"][0]["counts"]["stored"]) == ("done", 3)


def test_status_is_readable(desk: Desk) -> None:
    desk.vecdb("run")
    text = desk.vecdb("status").out
    assert "3 items in 1 part, 0 failures in quarantine" in text
    assert "done" in text


def test_pipelines_are_told_apart_by_what_is_given(desk: Desk) -> None:
    desk.vecdb("run")
    desk.vecdb("run", collection="other")
    found = desk.vecdb("status", "--json", collection=None).document["pipelines"]
    assert sorted(pipeline["collection"] for pipeline in found) == ["help", "other"]
    assert len(desk.vecdb("status", "--json").document["pipelines"]) == 1


@pytest.mark.parametrize("action", ["status", "failed"])
def test_a_pipeline_that_never_ran_is_not_found(desk: Desk, action: str) -> None:
    assert desk.vecdb(action).code == 1
    desk.vecdb("run")
    outcome = desk.vecdb(action, collection="nothing")
    assert outcome.code == 1
    assert "vecdb ingest status" in outcome.err


# --- misuse ---------------------------------------------------------------------------------------------------------


def test_a_source_that_is_not_there_is_an_error_before_anything_is_made(desk: Desk) -> None:
    desk.rows.unlink()
    outcome = desk.vecdb("run")
    assert (outcome.code, desk.data.exists()) == (1, False)
    assert "no file or folder" in outcome.err


def test_a_server_that_is_not_there_is_an_error(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = desk.vecdb("run", "--retry-for-s", 0, "--json", to=f"127.0.0.1:{port}")
    assert (outcome.code, outcome.document["error"]["reason"]) == (5, "UNAVAILABLE")


def test_another_model_is_refused_and_the_way_out_is_named(desk: Desk) -> None:
    other = ModelFingerprint(provider="onnx", name="other", dim=256)
    with vecdb.open(desk.data) as db:
        db.create_collection("help", model=other)
    outcome = desk.vecdb("run", "--model", "builtin", "--json")
    assert (outcome.code, outcome.document["error"]["reason"]) == (2, "MODEL_MISMATCH")
    assert "reembed" in outcome.document["error"]["message"]


def test_an_unknown_model_is_refused(desk: Desk) -> None:
    outcome = desk.vecdb("run", "--model", "bultin")
    assert outcome.code == 2
    assert "builtin" in outcome.err


def test_a_state_that_cannot_be_written_is_an_error_that_names_it(desk: Desk) -> None:
    desk.state.write_text("a file, not a directory")
    outcome = desk.vecdb("run", "--json")
    assert outcome.code in {2, 3}
    assert str(desk.state) in outcome.document["error"]["message"]


def test_a_directory_that_somebody_writes_is_locked_and_nothing_is_lost(desk: Desk) -> None:
    with vecdb.open(desk.data):
        outcome = desk.vecdb("run", "--json")
    assert (outcome.code, outcome.document["error"]["reason"]) == (3, "DATABASE_LOCKED")
    assert "--to HOST:PORT" in outcome.document["error"]["message"]
    assert desk.vecdb("run").code == 0


def test_standard_input_cannot_be_watched(desk: Desk, shell: Shell) -> None:
    outcome = shell("ingest", "watch", "-", "--to", desk.data, "--collection", "help")
    assert outcome.code == 2
    assert "ingest run -" in outcome.err
