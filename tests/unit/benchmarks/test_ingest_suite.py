"""Checks the `ingest` suite: on very few texts, and that wrong results and missed targets would be seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets import DatasetError
from benchmarks.datasets.texts import read_texts, text_records, write_texts
from benchmarks.reporting.ingest import growth_of, ingest_tables, targets_of
from benchmarks.reporting.ingest_plots import draw_ingest
from benchmarks.suites import ingest
from benchmarks.suites.ingest_process import IngestorError, Pipeline, ingestor
from benchmarks.suites.serve_processes import ServerError

# --- the texts ------------------------------------------------------------------------------------------------------


def test_made_up_texts_have_ids_of_their_own_and_come_back_from_the_file(tmp_path: Path) -> None:
    records = text_records("texts", 50, None)
    assert len({record["id"] for record in records}) == 50
    assert all(record["text"] for record in records)
    write_texts(tmp_path / "texts.jsonl", records)
    assert read_texts(tmp_path / "texts.jsonl") == records


def test_a_data_set_without_texts_is_refused() -> None:
    with pytest.raises(DatasetError, match="sift-like"):
        text_records("sift-like", 10, None)


# --- the process ----------------------------------------------------------------------------------------------------


class Stub(Pipeline):
    """A pipeline whose command is a line of Python."""

    __slots__ = ()

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", self.model]


def stub(tmp_path: Path, code: str) -> Stub:
    return Stub(tmp_path / "texts.jsonl", "", tmp_path / "state", code)


def test_an_ingestor_that_fails_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    code = "import sys; print('no such model', file=sys.stderr); sys.exit(3)"
    with ingestor(stub(tmp_path, code)) as one, pytest.raises(IngestorError, match=r"status 3: no such model"):
        one.finish()


def test_an_ingestor_that_ends_before_what_is_waited_for_is_an_error(tmp_path: Path) -> None:
    with ingestor(stub(tmp_path, "print('{}')")) as one, pytest.raises(IngestorError, match="ended before"):
        one.until(lambda: False)


def test_memory_is_watched_while_it_runs(tmp_path: Path) -> None:
    with ingestor(stub(tmp_path, "import time; print(1, flush=True); time.sleep(60)")) as one:
        one.until(lambda: one.output.stat().st_size > 0 and len(one.memory) > 1)
        one.kill()
    _, resident, own = one.memory[-1]
    assert resident > own > 0


METRICS = """
import http.server, sys, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'# TYPE\\nvecdb_ingest_chunks_embedded_total{collection="docs"} 3.0\\n')
server = http.server.HTTPServer(("127.0.0.1", 0), Page)
print('{"event": "started", "metrics_port": %d}' % server.server_port, file=sys.stderr, flush=True)
server.serve_forever()
"""


def test_what_is_embedded_so_far_is_read_from_the_page_of_metrics(tmp_path: Path) -> None:
    with ingestor(stub(tmp_path, METRICS)) as one:
        one.until(lambda: one.embedded() == 3)
        one.kill()


def test_a_run_that_leaves_texts_out_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_stored", lambda _address: 9)
    with pytest.raises(IngestorError, match="9 of 10"):
        ingest._whole_run(stub(tmp_path, "print('{}')"), 10)


def test_a_part_that_fails_is_reported_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise ServerError("no room")

    monkeypatch.setattr(ingest, "vecdb_server", fail)
    options = ingest.IngestOptions(records=text_records("texts", 5, None), scratch=tmp_path, parts=("resume",))
    assert ingest.run(options)["resume"] == {"failed": "no room"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_suite_runs_on_a_few_texts(tmp_path: Path) -> None:
    options = ingest.IngestOptions(records=text_records("texts", 12_000, None), scratch=tmp_path, repeats=1)
    results = json.loads(json.dumps(ingest.run(options), allow_nan=False))
    assert {name: part for name, part in results.items() if isinstance(part, dict) and "failed" in part} == {}
    assert results["resume"][0]["stored_at_kill"] < 12_000
    assert all(f"### {part}" in "\n".join(ingest_tables(results)) for part in ("Speed", "Resume"))


# --- the report -----------------------------------------------------------------------------------------------------


def _spread(middle: float) -> dict[str, Any]:
    return {"median": middle, "runs": [middle, middle * 1.1]}


def _made_up(end_to_end: float = 800.0, again: float = 0.2, resume_s: float = 1.0, last_mb: float = 101.0) -> Any:
    seconds = {"first": _spread(20.0), "untouched": _spread(again), "touched": _spread(0.3)}
    memory = [[(float(second), 150.0, last_mb if second > 7 else 100.0) for second in range(11)]]
    return {
        "texts": 16_000,
        "bytes": 1_000_000,
        "model": "builtin",
        "speed": {
            "dim": 256,
            "threads": 2,
            "rates": {
                "embedder_one_cpu": _spread(1_000.0),
                "embedder": _spread(1_100.0),
                "stream": _spread(5_000.0),
                "end_to_end": _spread(end_to_end),
            },
            "seconds": seconds,
            "work_seconds": seconds,
            "memory": memory,
        },
        "resume": [
            {"stored_at_kill": 9, "first_embedded_s": resume_s, "first_stored_s": 2.0, "seconds": 3.0, "embedded": 7}
        ],
    }


def test_targets_that_are_reached_are_told_from_those_that_are_not() -> None:
    assert [one.is_met for one in targets_of(_made_up())] == [True] * 9
    bad = targets_of(_made_up(end_to_end=690.0, again=0.5, resume_s=3.5, last_mb=120.0))
    assert [one.name for one in bad if not one.is_met] == [
        "end to end / the model alone, one CPU",
        "end to end / the model alone, all CPUs",
        "the run itself / the model alone, one CPU, without the start of Python",
        "first run / run with nothing changed, whole processes",
        "first run / run with nothing changed, without the start of Python",
        "own memory at the end / half way",
        "first text embedded after SIGKILL, s",
    ]


def test_growth_of_a_run_too_short_to_tell_is_not_known() -> None:
    assert growth_of([]) is None
    assert growth_of([(0.0, 10.0, 5.0)]) is None
    assert growth_of([(float(second), 9.0, 5.0 + (second >= 8)) for second in range(11)]) == pytest.approx(1.2)


def test_the_report_says_why_a_part_was_not_measured() -> None:
    results = _made_up() | {"resume": {"failed": "it ended"}}
    assert "Not measured: it ended" in ingest_tables(results)
    assert len(targets_of(results)) == 8


def test_a_stream_slower_than_the_model_is_what_the_whole_is_compared_with() -> None:
    made_up = _made_up()
    made_up["speed"]["rates"]["stream"] = _spread(900.0)
    assert [one.name for one in targets_of(made_up)[:3]] == [
        "end to end / ingest stream of the same vectors alone",
        "the run itself / ingest stream of the same vectors alone, without the start of Python",
        "first run / run with nothing changed, whole processes",
    ]


def test_the_run_itself_is_compared_without_the_start_of_its_process() -> None:
    made_up = _made_up()
    made_up["speed"]["work_seconds"] = made_up["speed"]["work_seconds"] | {"first": _spread(16.0)}
    assert targets_of(made_up)[2].value == pytest.approx(1.0)


def test_the_plot_is_drawn_of_what_there_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert draw_ingest({"results": _made_up()}, tmp_path) == ["ingest.png"]
    assert draw_ingest({"results": _made_up() | {"speed": {"failed": "x"}}}, tmp_path) == []
