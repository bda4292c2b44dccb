"""Bad input to the ingestor, through its command line: each is reported with its place, and everything else goes on."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.harness.ingesting import command_line
from tests.harness.paid_provider import CHARGED, DIM, FaultPlan, Provider, provider, vector_of
from tests.harness.process import Worker

ALL_DONE, NOT_FOUND, BAD_REQUEST, QUARANTINE, STAYED_AWAY = 0, 1, 2, 4, 5
BATCH_TEXTS = 8
SOUND = {f"sound-{number}": f"a sound text, number {number}" for number in range(40)}
LINES: dict[str, tuple[bytes, str]] = {
    "no json": (b'{"id": "a", "text": ', "JSON"),
    "no object": (b'["a", "text"]', "array|list"),
    "no id": (b'{"text": "there is no id"}', "id"),
    "no text": (b'{"id": "no-text"}', "text"),
    "a text that is a number": (b'{"id": "number", "text": 5}', "text"),
    "an empty text": (b'{"id": "empty", "text": ""}', "empty|blank|white space"),
    "a blank text": (b'{"id": "blank", "text": " \\n\\t "}', "empty|blank|white space"),
    "an empty id": (b'{"id": "", "text": "its id is empty"}', "id"),
    "an id that is an object": (b'{"id": {"a": 1}, "text": "its id is an object"}', "id"),
    "a negative id": (b'{"id": -1, "text": "its id is negative"}', "id"),
    "a long id": (b'{"id": "' + b"x" * 5_000 + b'", "text": "its id is long"}', "id"),
    "bytes that are no UTF-8": (b'{"id": "latin", "text": "caf\xe9"}', "UTF-8"),
    "a lone surrogate": (b'{"id": "surrogate", "text": "half a \\ud800"}', "surrogate|UTF-8|Unicode"),
    "metadata too deep": (b'{"id": "deep", "text": "deep", "m": ' + b"[" * 30 + b"]" * 30 + b"}", "deep|level"),
    "nesting without end": (b'{"id": "deeper", "text": "deeper", "m": ' + b"[" * 50_000, "JSON|nested"),
    "an id that was there before": (b'{"id": "sound-3", "text": "another text under its id"}', "before|twice|again"),
    "a text that is refused": (b'{"id": "poison-1", "text": "poison-refused"}', "400"),
    "a text whose vector is no number": (b'{"id": "poison-2", "text": "poison-nan"}', "finite|number|NaN"),
    "a text whose vector is too short": (b'{"id": "poison-3", "text": "poison-dimension"}', "dim|differ|components"),
}  # fmt: skip
FILES: dict[str, tuple[str, bytes, str]] = {
    "a text in another encoding": ("latin.txt", "caf\xe9 au lait".encode("latin-1"), "utf-8"),
    "an empty document": ("empty.md", b"", "empty|blank|white space|no text"),
    "a PDF that is none": ("broken.pdf", b"%PDF-1.7 and nothing else", "PDF|pdf"),
    "a compressed file that ends early": ("rows.jsonl.gz", gzip.compress(b"\n" * 99)[:-9], "gz|compress|ends|damaged"),
    "a table without the columns": ("table.csv", b"name,words\na,b\n", "column|id"),
    "bytes of a program": ("program.py", b"\x00\x01\x02\xff\xfe\x7fELF" * 40, "utf-8|binary"),
}  # fmt: skip


class Trial:
    """A folder that was ingested, and what was said of it. Without `rows`, all that is bad is among sound rows."""

    batch_texts = BATCH_TEXTS
    dim: int | None = DIM

    def __init__(self, base: Path, service: Provider, rows: dict[str, str] | None = None, *flags: str) -> None:
        self.base, self.service, self.flags = base, service, flags
        self.folder = base / "docs"
        self.folder.mkdir(parents=True)
        self.line_of: dict[str, int] = {}
        if rows is None:
            self._put_everything_bad()
        else:
            self.put(rows)
        self.code = self.vecdb("run")
        self.report = self.printed
        self.vecdb("failed", "--json")
        self.failures: list[dict[str, Any]] = self.printed["failures"]

    def _put_everything_bad(self) -> None:
        lines = [json.dumps({"id": key, "text": text}).encode() for key, text in SOUND.items()]
        for number, (line, _) in enumerate(LINES.values()):
            lines.insert(4 + 2 * number, line)
        self.line_of = {name: lines.index(line) + 1 for name, (line, _) in LINES.items()}
        (self.folder / "rows.jsonl").write_bytes(b"\n".join(lines))
        for name, content, _ in FILES.values():
            (self.folder / name).write_bytes(content)

    def put(self, rows: dict[str, str]) -> None:
        """Replace the rows."""
        lines = [json.dumps({"id": key, "text": text}) + "\n" for key, text in rows.items()]
        (self.folder / "rows.jsonl").write_text("".join(lines))

    def failed(self) -> set[Any]:
        """The ids in quarantine now."""
        self.vecdb("failed", "--json")
        return {one["id"] for one in self.printed["failures"]}

    def vecdb(self, command: str, *more: str) -> int:
        """Run the ingestor's command line in a process; what it prints is in `printed`."""
        options = {"url": self.service.url, "batch_texts": self.batch_texts, "timeout_s": 20}
        options |= {} if self.dim is None else {"dim": self.dim}
        model = [word for name, value in options.items() for word in ("--model-option", f"{name}={value}")]
        where = ["--to", str(self.base / "db"), "--collection", "docs", "--state", str(self.base / "state")]
        words = ["ingest", command, *where]
        if command not in {"failed", "status"}:
            words += [str(self.folder), "--model", "openai:paid", *model, "--json", "--progress", "none", *self.flags]
        return self.run([*words, *more])

    def run(self, words: list[str]) -> int:
        """Run any command line."""
        log = self.base / "log"
        log.unlink(missing_ok=True)
        with Worker(command_line, words, log=log) as worker:
            worker.expect("begins")
            code: int = worker.expect("ended")
            worker.join()
        said = log.read_text()
        self.said = said
        self.printed = json.loads(said[said.index("{") :]) if "{" in said else {}
        return code

    def failures_at(self, place: str) -> list[dict[str, Any]]:
        """The failures at a place: `rows.jsonl:7`."""
        path = str(self.folder / place)
        return [one for one in self.failures if one["position"] == path or one["position"].startswith(f"{path},")]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    base = tmp_path_factory.mktemp("bad-input")
    with provider(base) as service:
        yield Trial(base, service)


@pytest.mark.parametrize("name", LINES)
def test_a_bad_row_is_reported_with_its_file_and_line(name: str, trial: Trial) -> None:
    found = trial.failures_at(f"rows.jsonl:{trial.line_of[name]}")
    assert len(found) == 1, trial.failures
    assert re.search(LINES[name][1], found[0]["message"]), found[0]["message"]


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_reported_with_its_name(name: str, trial: Trial) -> None:
    file, _, words = FILES[name]
    found = [one for one in trial.failures if str(trial.folder / file) in one["position"]]
    assert found, trial.failures
    assert re.search(words, found[0]["message"]), found[0]["message"]


def test_everything_sound_is_there_and_nothing_else(trial: Trial) -> None:
    with vecdb.open(trial.base / "db", mode="r") as database:
        records = {record.id: record for record in database.collection("docs").iterate(with_vectors=True)}
    assert set(records) == set(SOUND)
    for key, text in SOUND.items():
        assert records[key].metadata["text"] == text
        assert np.allclose(np.asarray(records[key].vector), vector_of(text), atol=1e-5)


def test_the_exit_code_says_that_something_failed(trial: Trial) -> None:
    assert trial.code == QUARANTINE
    assert trial.report["failures"] == len(trial.failures)


def test_nothing_else_is_in_quarantine(trial: Trial) -> None:
    assert len(trial.failures) == len(LINES) + len(FILES)


# --- what can be mended -----------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Trial]:
    """A folder with one row that is refused."""
    with provider(tmp_path) as service:
        yield Trial(tmp_path, service, {"sound": "a sound text", "refused": "poison-refused"})


def ids_of(trial: Trial) -> set[Any]:
    with vecdb.open(trial.base / "db", mode="r") as database:
        return {record.id for record in database.collection("docs").iterate()}


def test_a_row_that_was_mended_leaves_quarantine(small: Trial) -> None:
    assert (small.code, ids_of(small)) == (QUARANTINE, {"sound"})
    small.put({"sound": "a sound text", "refused": "mended"})
    assert small.vecdb("run") == ALL_DONE
    assert ids_of(small) == {"sound", "refused"}
    assert small.vecdb("failed", "--json") == ALL_DONE


def test_a_collection_says_the_dimension_of_its_model_so_that_no_service_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "dim", None)
    with provider(tmp_path) as service:
        trial = Trial(tmp_path, service, {"sound": "a sound text"})
        asked = len(service.requests())
        assert (trial.code, trial.vecdb("run")) == (ALL_DONE, ALL_DONE)
        assert len(service.requests()) == asked


def test_a_row_that_was_removed_leaves_quarantine(small: Trial) -> None:
    small.put({"sound": "a sound text"})
    assert small.vecdb("run") == ALL_DONE
    assert small.vecdb("failed", "--json") == ALL_DONE


def test_a_row_that_turned_bad_is_reported_and_its_old_record_does_not_stay_in_its_place(small: Trial) -> None:
    small.put({"sound": "poison-refused", "refused": "poison-refused"})
    assert small.vecdb("run") == QUARANTINE
    assert small.failed() == {"sound", "refused"}


def test_retry_stores_what_the_provider_takes_now_and_pays_for_nothing_else(small: Trial) -> None:
    assert small.vecdb("retry") == QUARANTINE
    small.service.behave(FaultPlan(poison=False))
    before = small.service.charged()
    assert small.vecdb("retry", "--only", "refused") == ALL_DONE
    assert ids_of(small) == {"sound", "refused"}
    assert small.service.charged() == before + 1


def test_a_failure_stays_reported_by_runs_in_which_nothing_changed(small: Trial) -> None:
    assert small.vecdb("run") == QUARANTINE
    assert small.failed() == {"refused"}


@pytest.mark.parametrize("fault", CHARGED)
def test_a_provider_that_always_answers_wrongly_ends_the_run_and_nothing_is_stored(fault: str, tmp_path: Path) -> None:
    with provider(tmp_path, FaultPlan(share={fault: 1.0})) as service:
        rows = {f"row-{number}": f"text {number}" for number in range(200)}
        trial = Trial(tmp_path, service, rows, "--retry-for-s", "2")
    assert trial.code not in {ALL_DONE, BAD_REQUEST}
    assert ids_of(trial) == set()
    assert sum(len(request.texts) for request in service.requests()) < 2_000


@pytest.mark.slow
def test_a_text_that_the_provider_stumbles_over_each_time_is_found_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "batch_texts", 1)  # each halving of a batch takes a few attempts, with pauses
    with provider(tmp_path) as service:
        trial = Trial(tmp_path, service, {"sound": "a sound text", "poison": "poison-error", "last": "another text"})
    assert (trial.code, ids_of(trial)) == (QUARANTINE, {"sound", "last"})
    assert [one["id"] for one in trial.failures] == ["poison"]
    assert re.search("50[023]", trial.failures[0]["message"])


def test_a_text_of_a_megabyte_is_cut_and_one_too_large_for_the_model_is_reported(tmp_path: Path) -> None:
    with provider(tmp_path) as service:
        trial = Trial(tmp_path, service, {"large": "word " * 200_000, "sound": "a sound text"})
    assert trial.code == ALL_DONE
    assert len(ids_of(trial)) > 100
    with provider(tmp_path) as service:
        whole = Trial(tmp_path / "whole", service, {"large": "x" * 2_000_000, "sound": "a text"}, "--chunker", "none")
    assert (whole.code, ids_of(whole)) == (QUARANTINE, {"sound"})
    assert whole.failures[0]["position"].endswith("rows.jsonl:1")
