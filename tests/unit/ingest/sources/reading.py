"""Reads sources in tests: everything that one gives, sorted by what it is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vecdb.ingest.sources.item import Item, PartEnd, Problem, SourceEnd
from vecdb.ingest.sources.source import Known, nothing_known, read_sources
from vecdb.ingest.sources.spec import open_source

LONG_AGO = 1_600_000_000


@dataclass(slots=True)
class Everything:
    """What was read, by type."""

    items: list[Item] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ends: list[PartEnd] = field(default_factory=list)
    sources: list[SourceEnd] = field(default_factory=list)

    @property
    def ids(self) -> list[Any]:
        return [item.id for item in self.items]

    @property
    def known(self) -> dict[str, str | None]:
        """Fingerprints to remember."""
        return {end.part: end.fingerprint for end in self.ends}

    @property
    def lines(self) -> list[int | None]:
        """Lines of the problems."""
        return [problem.position.line for problem in self.problems]


def read(*specs: object, known: Known = nothing_known, **options: Any) -> Everything:
    """Read sources by their specs."""
    found = Everything()
    boxes: dict[type, list[Any]] = {
        Item: found.items, Problem: found.problems, PartEnd: found.ends, SourceEnd: found.sources,
    }  # fmt: skip
    for event in read_sources([open_source(str(spec), options) for spec in specs], known):
        boxes[type(event)].append(event)
    return found


def put(path: Path, content: str | bytes) -> Path:
    """Write a file that was last changed long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path
