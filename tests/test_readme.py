"""Runs the README's code and checks the facts it states against the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vecdb import config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
QUICKSTART_LINES_MAX = 20
LIMIT_ROWS = re.findall(r"^\| [^|]+ \| ([^|]+) \| `([A-Z_]+)` \|$", README, flags=re.MULTILINE)


def test_readme_code_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All blocks, in order, in one namespace and an empty directory."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), namespace)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "doc-42 1.0 {'page': 42}"
    assert lines[3:5] == ["['new'] None 5000", "(100, 10) (100, 10)"]
    assert set(re.findall(r"'([^']+)'", lines[-1])) == {"doc-7", "fresh"}


def test_quickstart_has_at_most_twenty_lines() -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= QUICKSTART_LINES_MAX


@pytest.mark.parametrize(("stated", "name"), LIMIT_ROWS, ids=[name for _, name in LIMIT_ROWS])
def test_stated_limit_is_the_configured_one(stated: str, name: str) -> None:
    assert float(stated.replace(",", "")) == float(getattr(config, name))


def test_limits_table_names_every_limit_of_requests() -> None:
    text = (ROOT / "vecdb" / "config.py").read_text(encoding="utf-8")
    section = text.split("# --- limits")[1].split("# --- ")[0]
    named = re.findall(r"^([A-Z_]+_MAX)\b", section, flags=re.MULTILINE)
    assert set(named) <= {name for _, name in LIMIT_ROWS}


def test_readme_names_the_commands_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for verb in re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{verb}:", makefile, flags=re.MULTILINE)
