"""Sources that change, and what a collection that is true to them holds: for the tests of the ingestor.

Rows lie in JSONL files, pages are Markdown; all in one folder. A text says which document at which version it is, so no
two are alike, and whatever is found in a collection tells when it was read.
Promises: a file is replaced by a rename, so whoever reads it reads a whole one. The same seed makes the same changes.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vecdb.ingest.chunkers.choosing import ItemChunker
from vecdb.ingest.chunkers.chunk import ChunkSize
from vecdb.types import RecordId

WORDS: Final = ("quiet", "river", "copper", "lantern", "meadow", "orbit", "thistle", "harbour", "violet", "granite")
CHUNK_TOKENS: Final = 32
CHUNK_OVERLAP: Final = 4
ROW_FILES: Final = 5
SECTIONS_MAX: Final = 5


@dataclass(slots=True)
class Row:
    """Versions of a row's text and of the metadata beside it."""

    text: int = 0
    note: int = 0


@dataclass(frozen=True, slots=True)
class Expected:
    """A record that must be there: its text, and some of its metadata."""

    text: str
    metadata: dict[str, Any]


@dataclass
class Library:
    """The folder and what was put there."""

    folder: Path
    seed: int
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    pages: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = random.Random(f"library {self.seed}")
        self._made = self._version = 0
        self.folder.mkdir(parents=True, exist_ok=True)

    def fill(self, rows: int, pages: int) -> None:
        """The first state."""
        for number in range(ROW_FILES):
            self.rows[f"rows-{number}.jsonl"] = {}
        self._add(rows)
        for _ in range(pages):
            self._new_page()
        for name in self.rows:
            self._write_rows(name)

    def change(self, edits: int) -> None:
        """Some random edits; a file is written once for all of them."""
        kinds = (
            self._edit,
            self._edit,
            self._note,
            self._remove,
            self._move,
            self._edit_page,
            self._turn_file,
            self._add,
        )
        for _ in range(edits):
            self._rng.choice(kinds)()
        if self._rng.random() < 0.5:
            self._new_page()
        for name in self.rows:
            self._write_rows(name)
        for path in self.folder.iterdir():
            if path.name not in self.rows and path.name not in self.pages:
                path.unlink()

    def expected(self) -> dict[RecordId, Expected]:
        """The records of a collection that is true to the folder."""
        found: dict[RecordId, Expected] = {}
        for name in self.rows:
            for key, row in self.rows[name].items():
                found[key] = Expected(_text_of_row(key, row.text), {"note": row.note})
        chunker = ItemChunker(size=ChunkSize(tokens=CHUNK_TOKENS, overlap=CHUNK_OVERLAP))
        for name, sections in self.pages.items():
            for chunk in chunker.chunks(name, _text_of_page(name, sections), "markdown"):
                found[chunk.id] = Expected(chunk.text, {})
        return found

    # --- edits --------------------------------------------------------------------------------------------------------

    def _add(self, count: int = 24) -> None:
        for _ in range(count):
            self._made += 1
            self.rows[self._rng.choice(list(self.rows))][f"row-{self._made}"] = Row(self._next(), 0)

    def _edit(self) -> None:
        for row in self._some():
            row[2].text = self._next()

    def _note(self) -> None:
        for row in self._some():
            row[2].note = self._next()

    def _remove(self) -> None:
        for name, key, _ in self._some():
            del self.rows[name][key]

    def _move(self) -> None:
        """Rows go to another file, and keep their ids."""
        for name, key, row in self._some():
            del self.rows[name][key]
            self.rows[self._rng.choice(list(self.rows))][key] = row

    def _turn_file(self) -> None:
        """A file of rows or a page vanishes; another is there instead."""
        if self._rng.random() < 0.5 and len(self.rows) > 1:
            gone = self._rng.choice(list(self.rows))
            kept = self.rows.pop(gone)
            self._made += 1
            # half of the rows come back in another file
            self.rows[f"rows-{self._made}.jsonl"] = {key: row for key, row in kept.items() if self._rng.random() < 0.5}
        elif self.pages:
            del self.pages[self._rng.choice(list(self.pages))]

    def _new_page(self) -> None:
        self._made += 1
        name = f"page-{self._made}.md"
        self.pages[name] = [self._next() for _ in range(self._rng.randint(1, SECTIONS_MAX))]
        self._write(name, _text_of_page(name, self.pages[name]))

    def _edit_page(self) -> None:
        """A page gets longer, shorter, or another section."""
        if not self.pages:
            return
        name = self._rng.choice(list(self.pages))
        sections = self.pages[name]
        choice = self._rng.random()
        if choice < 0.3 and len(sections) > 1:
            del sections[self._rng.randrange(len(sections))]
        elif choice < 0.6 and len(sections) < SECTIONS_MAX:
            sections.insert(self._rng.randint(0, len(sections)), self._next())
        else:
            sections[self._rng.randrange(len(sections))] = self._next()
        self._write(name, _text_of_page(name, sections))

    def _some(self) -> list[tuple[str, str, Row]]:
        """A few rows with their files and ids."""
        every = [(name, key, row) for name, rows in self.rows.items() for key, row in rows.items()]
        return self._rng.sample(every, min(len(every), self._rng.randint(1, 8)))

    def _next(self) -> int:
        self._version += 1
        return self._version

    def _write_rows(self, name: str) -> None:
        lines = [
            json.dumps({"id": key, "text": _text_of_row(key, row.text), "note": row.note})
            for key, row in self.rows[name].items()
        ]
        self._write(name, "".join(f"{line}\n" for line in lines))

    def _write(self, name: str, text: str) -> None:
        """Replace a file whose content is another."""
        path = self.folder / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return
        fresh = self.folder.parent / f"{name}.new"
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


def _text_of_row(key: str, version: int) -> str:
    return f"{key} at version {version}: {_words(f'{key}/{version}', 5)}."


def _text_of_page(name: str, sections: list[int]) -> str:
    """A heading and two paragraphs for each section: a few chunks."""
    parts = [f"# {name}"]
    for version in sections:
        parts.append(f"## Section {version}")
        parts += [f"{name} at version {version}, {half}: {_words(f'{name}/{version}/{half}', 25)}." for half in "ab"]
    return "\n\n".join(parts) + "\n"


def _words(seed: str, count: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(count))
