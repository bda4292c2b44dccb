"""What a terminal shows of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vecdb.cli.ingest_bar import Bar, picture, spell_seconds
from vecdb.ingest.operation.progress import Progress
from vecdb.ingest.pipeline.events import Counts, ItemFailed, Progressed, Retrying


def _screen(progress: Progress) -> str:
    console = Console(file=io.StringIO(), width=140)
    with console.capture() as captured:
        console.print(picture(progress.snapshot()))
    return captured.get()


def test_items_tokens_failures_and_the_time_left_are_shown() -> None:
    now = [0.0]
    progress = Progress(lambda: 1_000, lambda: now[0])
    now[0] = 2.0
    progress.observe(Progressed(Counts(items=400, stored=398, failed=2, tokens=5_000)))
    shown = _screen(progress)
    assert "400/1,000 items" in shown
    assert "200/s" in shown
    assert "2,500 tokens/s" in shown
    assert "3 s left" in shown
    assert "2 failed" in shown


def test_without_a_known_end_there_is_no_time_left() -> None:
    assert "left" not in _screen(Progress())


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_the_bar_takes_one_line_on_any_terminal(columns: int) -> None:
    progress = Progress(lambda: 1_000_000)
    progress.observe(Progressed(Counts(items=400_000, stored=398_000, failed=2_000, tokens=5_000_000)))
    console = Console(file=io.StringIO(), width=columns)
    with console.capture() as captured:
        console.print(picture(progress.snapshot(), columns))
    assert len(captured.get().splitlines()) == 1


def test_trouble_stands_below_the_bar_without_steering_the_terminal() -> None:
    progress = Progress()
    progress.observe(Retrying("provider", 1, 2.0, "\x1b[2Jevil [bold]"))
    assert "\\x1b[2Jevil [bold]" in _screen(progress)


def test_failures_are_lines_above_the_bar() -> None:
    out = io.StringIO()
    with Bar(Progress(), Console(file=out, width=140, force_terminal=True)) as bar:
        bar.observe(ItemFailed("a", "part", "rows.jsonl:3", "INVALID_DOCUMENT", "has no \x07 text"))
    assert "failed: rows.jsonl:3: has no \\x07 text" in out.getvalue()


def test_what_is_printed_meanwhile_goes_where_it_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(Progress(), Console(file=io.StringIO(), width=140, force_terminal=True)):
        print("a result")
    assert capsys.readouterr().out == "a result\n"


def test_only_the_first_of_many_failures_are_shown() -> None:
    out = io.StringIO()
    with Bar(Progress(), Console(file=out, width=140, force_terminal=True)) as bar:
        for number in range(500):
            bar.observe(ItemFailed(number, "part", f"rows.jsonl:{number}", "INVALID_DOCUMENT", "bad"))
    assert out.getvalue().count("failed: ") < 50
    assert "lists all" in out.getvalue()


def test_times_are_spelled_as_people_do() -> None:
    assert [spell_seconds(seconds) for seconds in (0.4, 59, 60, 3_725)] == ["0 s", "59 s", "1:00", "1:02:05"]
