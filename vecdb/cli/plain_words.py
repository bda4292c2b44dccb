"""Reads the words of `vecdb ingest run` where they are plain: flags that it has, each with its value, and sources.

What typer makes of such words is known beforehand, and it takes a tenth of a second to make it, in which a run could
read and embed a thousand texts.
Promises: the arguments are those that typer would give. Whatever needs a word of explanation (unknown flags, missing
values, help) is left to typer.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from vecdb.ingest.operation.settings import flag_of, settings

STDIN: Final = "-"
SOURCES: Final = "sources"
MORE: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "--progress": ("progress", str),
    "--config": ("config", Path),
}
"""Flags that are no settings, what they are called, and what is made of their values."""


def read(words: Sequence[str], without: frozenset[str]) -> dict[str, Any] | None:
    """Arguments for the command, whose options are all settings but those of `without`; None for typer to read."""
    known = {name: entry for name, entry in settings().items() if name not in without}
    given: dict[str, Any] = {**dict.fromkeys(known), "progress": "auto", "config": None, "as_json": False}
    flags: dict[str, tuple[str, Callable[[str], Any]]]
    flags = {flag_of(name): (name, str) for name in known if name != SOURCES} | MORE
    switches = {flag_of(name): (name, True) for name, entry in known.items() if isinstance(entry.default, bool)}
    switches |= {f"--no-{flag[2:]}": (name, False) for flag, (name, _) in switches.items()} | {
        "--json": ("as_json", True)
    }
    lists = {name for name, entry in known.items() if "tuple" in str(entry.type) or "Mapping" in str(entry.type)}
    left = list(reversed(words))
    while left:
        word = left.pop()
        flag, equals, value = word.partition("=")
        if not word.startswith("-") or word == STDIN:
            given[SOURCES] = [*(given[SOURCES] or ()), word]
        elif word in switches:
            name, is_on = switches[word]
            given[name] = is_on
        elif flag in flags and flag not in switches and (equals or left):
            name, made = flags[flag]
            value = value if equals else left.pop()
            if value.startswith("-") and not equals:
                return None
            given[name] = [*(given[name] or ()), value] if name in lists else made(value)
        else:
            return None
    return given if given[SOURCES] else None
