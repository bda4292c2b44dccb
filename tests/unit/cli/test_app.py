"""Exit codes, errors and output that all commands share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import vecdb
from tests.unit.cli.conftest import Shell
from vecdb.cli.output import format_bytes, printable


def test_missing_database_is_not_found(shell: Shell, tmp_path: Path) -> None:
    outcome = shell("info", tmp_path / "nothing")
    assert outcome.code == 1
    assert outcome.err.startswith("vecdb: ")
    assert outcome.err.count("\n") == 1


def test_error_with_json_is_a_document_on_stdout(shell: Shell, tmp_path: Path) -> None:
    outcome = shell("info", tmp_path / "nothing", "--json")
    assert outcome.document["error"]["reason"] == "DATABASE_NOT_FOUND"
    assert outcome.err == ""


def test_directory_that_is_no_database_is_a_storage_error(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("hello")
    outcome = shell("info", tmp_path, "--json")
    assert outcome.code == 3
    assert outcome.document["error"]["reason"] == "NOT_A_DATABASE"


def test_missing_collection_is_not_found(shell: Shell, directory: Path) -> None:
    outcome = shell("count", directory, "nothing", "--json")
    assert outcome.code == 1
    assert outcome.document["error"]["reason"] == "COLLECTION_NOT_FOUND"


def test_wrong_limit_is_a_wrong_request(shell: Shell, directory: Path) -> None:
    assert shell("search", directory, "docs", "--like", "seven", "--limit", "-5").code == 2


def test_unknown_option_is_a_usage_error_in_one_line(shell: Shell, directory: Path) -> None:
    outcome = shell("info", directory, "--nonsense")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_usage_error_with_json_is_a_document(shell: Shell) -> None:
    outcome = shell("info", "--json")
    assert outcome.code == 2
    assert outcome.document["error"]["reason"] == "USAGE"


def test_no_command_prints_the_help(shell: Shell) -> None:
    assert "Commands" in shell().out


@pytest.mark.parametrize("group", ["ingest", "reembed", "keys"])
def test_a_group_without_a_command_prints_its_help(shell: Shell, group: str) -> None:
    outcome = shell(group)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Commands:" in outcome.out


@pytest.mark.parametrize("group", [(), ("ingest",), ("reembed",), ("keys",)])
def test_the_lists_of_commands_say_whole_sentences(shell: Shell, group: tuple[str, ...]) -> None:
    assert "..." not in shell(*group, "--help").out.partition("Commands:")[2]


def test_a_word_that_is_neither_directory_nor_address_is_told_how_servers_are_named(shell: Shell) -> None:
    outcome = shell("count", "localhost")
    assert outcome.code == 1
    assert "HOST:PORT" in outcome.err


def test_version_is_that_of_the_package(shell: Shell) -> None:
    assert shell("--version").out == f"vecdb {vecdb.__version__}\n"


@pytest.mark.parametrize("command", ["info", "get", "count", "search", "recall", "verify", "optimize", "backup"])
def test_every_command_takes_json_and_has_help(shell: Shell, command: str) -> None:
    outcome = shell(command, "--help")
    assert outcome.code == 0
    assert "--json" in outcome.out


def test_reader_of_the_output_may_go_away(directory: Path) -> None:
    """`vecdb get ... | head -0` ends quietly."""
    command = f"{sys.executable} -m vecdb info {directory} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_an_output_without_room_is_one_line(directory: Path) -> None:
    command = f"{sys.executable} -m vecdb get {directory} docs seven > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "vecdb: No space left on device\n")


def test_control_characters_are_shown_escaped() -> None:
    assert printable("a\x1b[2Jb\u009bc\nd") == r"a\x1b[2Jb\x9bc\nd"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB"), (1 << 52, "4096.0 TiB")]
)
def test_bytes_are_shown_in_binary_units(count: int, text: str) -> None:
    assert format_bytes(count) == text
