"""Plain words of `vecdb ingest run` are read as typer reads them; the others are left to it."""

from __future__ import annotations

from typing import Any

import pytest

from vecdb.cli import app, ingest, plain_words

TO = ["--to", "data", "--collection", "docs"]


class SeenError(Exception):
    """Stands for all that a run does."""


def arguments_of(words: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command is called with: all that was said, and what was not is left out."""
    seen: dict[str, Any] = {}

    def request(given: dict[str, Any]) -> None:
        seen.update({name: value for name, value in given.items() if value not in (None, [], ())})
        raise SeenError

    monkeypatch.setattr(ingest, "_request", request)
    with pytest.raises(SeenError):
        app.run(["ingest", "run", *words])
    return seen


@pytest.mark.parametrize(
    "words",
    [
        ["a.jsonl", *TO],
        [*TO, "a.jsonl", "b c.jsonl", "--json"],
        ["-", "--format=jsonl", "--collection=docs", "--to=localhost:1"],
        ["a", *TO, "--model-option", "dim=3", "--model-option=url=http://x", "--include", "*.md", "--include", "*.txt"],
        ["a", *TO, "--keep-vanished", "--no-hidden", "--reread", "--progress", "none", "--config", "x.toml"],
        ["a", *TO, "--to", "elsewhere", "--chunk-tokens", "64", "--text-field", "", "--prefix=-p"],
        ["dbapi:m:f?query=select 1", *TO, "--retry-for-s", "2.5"],
    ],
)
def test_plain_words_are_read_as_typer_reads_them(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain_words.read(words, ingest.WATCH_ONLY) is not None
    quick = arguments_of(words, monkeypatch)
    monkeypatch.setattr(plain_words, "read", lambda *_: None)
    assert quick == arguments_of(words, monkeypatch)


@pytest.mark.parametrize(
    "words",
    [
        TO,
        ["a", *TO, "--help"],
        ["a", *TO, "--no-such-flag", "1"],
        ["a", *TO, "--interval-s", "1"],
        ["a", *TO, "--model"],
        ["a", "--to", "--json", "--collection", "docs"],
        ["a", *TO, "--reread=yes"],
        ["a", *TO, "-x"],
        ["a", *TO, "--", "--b"],
    ],
)
def test_other_words_are_left_to_typer(words: list[str]) -> None:
    assert plain_words.read(words, ingest.WATCH_ONLY) is None
